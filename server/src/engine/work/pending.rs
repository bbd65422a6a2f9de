//! What is decided about tasks of a run and was more than one transaction may write: the rest of it is in
//! the outbox. Until that is through, nothing else may decide about these tasks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::to_value;
use subak_core::decide::Ended;
use subak_core::ids::{RunKey, TaskNo};
use subak_store::engine::EngineTx;

use super::Work;
use super::effects::Part;

/// The rest of what ends did to other tasks at once: a row of kind `effects`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Effects {
    pub(super) parts: Vec<Part>,
    /// Ends that are followed once the rest is through.
    pub(super) ended: Vec<Ended>,
    /// The run is worked out anew then, from what its tasks are.
    pub(super) rebuild: bool,
}

/// What rows of the outbox hold for a run.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Tasks that will be skipped.
    pub(super) skips: BTreeSet<TaskNo>,
    /// The run will be worked out anew: no end is followed before.
    pub(super) holds: bool,
}

impl Work<'_> {
    /// Reads what is pending in runs of which something is to be followed.
    pub(super) async fn find_pending(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let follows = |work: &&super::RunWork| work.locked.has_resets && work.has_ends();
        let runs: Vec<RunKey> =
            self.runs.values().filter(follows).map(|work| work.locked.key).collect();
        for run in runs {
            self.run(run).pending = self.pending(tx, run).await?;
        }
        Ok(())
    }

    /// What rows of the outbox hold for a run.
    pub(super) async fn pending(
        &self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
    ) -> anyhow::Result<Pending> {
        let mut pending = Pending::default();
        for row in tx.outbox_of_run(run).await? {
            match row.kind.as_str() {
                "effects" => {
                    let effects: Effects = serde_json::from_value(row.payload)?;
                    pending.skips.extend(effects.parts.into_iter().flat_map(|part| part.tasks));
                    pending.holds |= effects.rebuild;
                }
                "rebuild" => pending.skips.extend(tx.against(run).await?),
                "skips" => pending.holds |= self.runs[&run].locked.cancelled,
                _ => {}
            }
        }
        Ok(pending)
    }

    /// Goes on with what ends did to other tasks.
    pub(in crate::engine) fn resume_effects(&mut self, run: RunKey, rest: Effects) {
        let work = self.run(run);
        work.effects.extend(rest.parts);
        work.ended.extend(rest.ended);
        work.rebuild |= rest.rebuild;
        self.after.changed.insert(run);
    }

    /// Leaves the rest of it to a transaction of its own, and with it what follows.
    pub(super) async fn leave_effects(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        parts: Vec<Part>,
    ) -> anyhow::Result<()> {
        let ended = std::mem::take(&mut self.run(run).ended);
        let rest = Effects { parts, ended, rebuild: false };
        tx.outbox_put("effects", Some(run), None, &to_value(rest)?).await?;
        self.after.timer = true;
        Ok(())
    }

    /// Tasks that are cleared are not skipped by what was decided before.
    pub(in crate::engine) async fn spare(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        cleared: &BTreeSet<TaskNo>,
    ) -> anyhow::Result<()> {
        self.change_effects(tx, run, |effects| {
            for part in &mut effects.parts {
                part.tasks.retain(|task| !cleared.contains(task));
            }
        })
        .await
        .map(drop)
    }

    /// Whether a run cannot be worked out yet: more of its tasks are to be skipped first, and whoever
    /// skips the last of them does it.
    pub(super) async fn rebuilds_later(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
    ) -> anyhow::Result<bool> {
        if self.runs[&run].locked.cancelled {
            return Ok(self.pending(tx, run).await?.holds);
        }
        self.change_effects(tx, run, |effects| effects.rebuild = true).await
    }

    /// Changes rows of kind `effects`; returns whether there is one.
    async fn change_effects(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        change: impl Fn(&mut Effects),
    ) -> anyhow::Result<bool> {
        let mut any = false;
        for row in tx.outbox_of_run(run).await?.into_iter().filter(|row| row.kind == "effects") {
            let mut effects: Effects = serde_json::from_value(row.payload)?;
            change(&mut effects);
            tx.outbox_change(row.id, &to_value(effects)?).await?;
            any = true;
        }
        Ok(any)
    }
}
