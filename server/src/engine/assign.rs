//! Sends hand-overs to their workers: the task, the run's facts, and the values that its templates
//! and its connections need. Nothing else of the database reaches a worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use subak_core::dag::model::Task;
use subak_core::decide::Kind;
use subak_core::ids::{RunKey, TaskNo};
use subak_core::schedule::Timetable;
use subak_core::state::RunType;
use subak_core::variable::is_secret;
use subak_proto as proto;
use subak_store::engine::{Fence, HandedOver};
use subak_store::{StoreError, SuccessfulRun};

use super::caches::Facts;
use super::{Core, Outcome, TryReport};

/// Assignments of one message.
const ASSIGNMENTS_AT_ONCE: usize = 1_024;

impl Core {
    /// Sends committed hand-overs. One that can't be made ready to run ends as failed, with the
    /// reason; while the database does not answer nothing is sent, and no try is to blame.
    pub(crate) async fn assign(&self, handed: &[HandedOver]) -> anyhow::Result<()> {
        if handed.is_empty() {
            return Ok(());
        }
        let facts = self.caches.facts(handed.iter().map(|try_| try_.key.run)).await?;
        let mut by_session: BTreeMap<i64, Vec<proto::Assignment>> = BTreeMap::new();
        for try_ in handed {
            let Some(facts) = facts.get(&try_.key.run) else { continue };
            let made = self.assignment(try_, facts).await;
            match made.and_then(fitting) {
                Ok(assignment) => by_session.entry(try_.session).or_default().push(assignment),
                Err(error) if is_transient(&error) => return Err(error),
                Err(error) => self.fail_assignment(try_, &error),
            }
        }
        for (session, assignments) in by_session {
            for assignments in proto::grouped(assignments, ASSIGNMENTS_AT_ONCE) {
                let message = proto::Assignments { assignments };
                self.sessions.send(session, proto::server_message::Message::Assignments(message));
            }
        }
        Ok(())
    }

    async fn assignment(
        &self,
        try_: &HandedOver,
        facts: &Arc<Facts>,
    ) -> anyhow::Result<proto::Assignment> {
        let plan = &facts.plan;
        let planned = plan.task(try_.key.task).context("the DAG's version has no such task")?;
        let task = plan.spec(planned);
        let needs = self.caches.needs(facts, planned.no)?;
        let mut xcoms = match needs.tasks.is_empty() {
            true => Vec::new(),
            false => self.xcoms(try_.key.run, facts, &needs.tasks).await?,
        };
        xcoms.extend(self.gathered(try_.key, facts, planned, &needs.gathered).await?);
        xcoms.extend(self.single(try_.key.run, &needs.single).await?);
        let (json, item) = match &needs.base {
            Some(base) => {
                let (item, sent) = self.item(try_, facts, planned).await?;
                (serde_json::to_vec(&item.task(base))?.into(), sent)
            }
            None => (needs.json.clone(), None),
        };
        let connections = match task.connections.is_empty() {
            true => Vec::new(),
            false => self.connections(&task.connections).await?,
        };
        let variables = match needs.variables.is_empty() {
            true => Vec::new(),
            false => self.variables(&needs.variables).await?,
        };
        let previous = match needs.previous {
            true => self.store.run_successful_before(try_.key.run).await?.map(previous),
            false => None,
        };
        Ok(proto::Assignment {
            previous,
            variables,
            r#try: Some(try_ref(&try_.fence())),
            try_number: u32::try_from(try_.try_number).unwrap_or(0),
            resets: u32::try_from(try_.resets).unwrap_or(0),
            queue: try_.queue.clone(),
            run: Some(run_info(facts)?),
            task_id: task.task_id.0.clone(),
            task: match planned.kind {
                Kind::LatestOnly => with_newest(task, facts, try_.started_at)?.into(),
                _ => json,
            },
            xcoms,
            connections,
            timeout_micros: planned
                .execution_timeout
                .map_or(0, |timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)),
            // What a branch returns, or what tasks are mapped over, is how the server learns what to follow.
            do_xcom_push: task.do_xcom_push
                || planned.kind != Kind::Plain
                || !planned.feeds.is_empty(),
            installation: self.installation.clone(),
            started_micros: try_.started_at.timestamp_micros(),
            load_again: try_.resets > 0 && self.store.load_again(try_.key).await?,
            item,
        })
    }

    /// XComs and datasets of the tasks that the templates name.
    async fn xcoms(
        &self,
        run: RunKey,
        facts: &Facts,
        tasks: &[TaskNo],
    ) -> anyhow::Result<Vec<proto::XCom>> {
        let numbers: Vec<i32> = tasks.iter().map(|task| task.0).collect();
        let ids: HashMap<i32, &str> = tasks
            .iter()
            .filter_map(|no| Some((no.0, facts.plan.spec(facts.plan.task(*no)?))))
            .map(|(no, task)| (no, task.task_id.0.as_str()))
            .collect();
        let named = |task: i32, map_index, key: &str, value: &Value| {
            Some(proto::XCom {
                task_id: (*ids.get(&task)?).to_owned(),
                map_index,
                key: key.to_owned(),
                value: value.to_string().into_bytes(),
                ..proto::XCom::default()
            })
        };
        let values = self.store.xcoms_of(run, &numbers).await?;
        let datasets = self.store.datasets_of(run, &numbers).await?;
        let values = values.into_iter().filter_map(|x| {
            Some(proto::XCom {
                shown: x.shown.map_or_else(Vec::new, |shown| shown.to_string().into_bytes()),
                // Its worker reads a large one itself: it would fit into no message.
                object: x.object.unwrap_or_default(),
                ..named(x.task, x.map_index, &x.key, &x.value)?
            })
        });
        let datasets =
            datasets.iter().filter_map(|(task, map, value)| named(*task, *map, "output", value));
        Ok(values.chain(datasets).collect())
    }

    /// Connections by their ids: from the environment of the server, or the database. One
    /// that does not exist is left out: the task says so.
    pub(crate) async fn connections<'i>(
        &self,
        ids: impl IntoIterator<Item = &'i String>,
    ) -> anyhow::Result<Vec<proto::Connection>> {
        let mut found = Vec::new();
        let mut stored = Vec::new();
        for id in ids {
            match crate::connections::from_environment(id)? {
                Some(value) => found.push((id.clone(), value)),
                None => stored.push(id.clone()),
            }
        }
        if let Some(key) = &self.key {
            found.extend(self.store.connections_open(key, &stored).await?);
        }
        Ok(found
            .into_iter()
            .map(|(id, value)| proto::Connection { id, value: value.to_string().into_bytes() })
            .collect())
    }

    /// Variables by their names: from the environment of the server, or the database. One that does not
    /// exist is left out: the task says so, unless it has a default.
    async fn variables(&self, names: &[String]) -> anyhow::Result<Vec<proto::Variable>> {
        let mut found = Vec::new();
        let mut stored = Vec::new();
        for name in names {
            match crate::connections::variable_from_environment(name) {
                Some(value) => found.push((name.clone(), value)),
                None => stored.push(name.clone()),
            }
        }
        if let Some(key) = self.key.as_ref().filter(|_| !stored.is_empty()) {
            let opened = self.store.variables_open(key, &stored).await?;
            found.extend(opened.into_iter().map(|it| (it.key, it.value)));
        }
        let variable = |(key, value): (String, String)| proto::Variable {
            secret: is_secret(&key),
            key,
            value,
        };
        Ok(found.into_iter().map(variable).collect())
    }

    /// Reports a try as failed that never reached its worker.
    fn fail_assignment(&self, try_: &HandedOver, error: &anyhow::Error) {
        let message = format!("the task could not be handed over: {error:#}");
        tracing::error!(run.key = try_.key.run.0, task = try_.key.task.0, error = message);
        self.sessions.not_sent(try_.session);
        // What the same values lead to again.
        let outcome = Outcome::Failed(subak_core::decide::TryEnd::Permanent);
        let report = TryReport::bare(try_.fence(), outcome, Some(message));
        let _ = self.failures.try_send(report);
    }
}

/// The task as JSON, with whether its run is the newest of its schedule at `now`.
fn with_newest(task: &Task, facts: &Facts, now: DateTime<Utc>) -> anyhow::Result<Vec<u8>> {
    let run = &facts.run;
    let interval = run.data_interval_start.zip(run.data_interval_end);
    let timetable = Timetable::of(&facts.plan.dag, now)?;
    let by_hand = run.run_type == RunType::Manual.as_str();
    let newest = match (timetable, interval) {
        (Some(timetable), Some(interval)) if !by_hand => timetable.is_newest(interval, now),
        _ => true,
    };
    let task = Task { with: json!({ "newest": newest }), ..task.clone() };
    Ok(serde_json::to_vec(&task)?)
}

/// An assignment that fits into a message.
fn fitting(assignment: proto::Assignment) -> anyhow::Result<proto::Assignment> {
    anyhow::ensure!(
        proto::fits(&assignment),
        "its params, conf and the XComs that its templates name are together more than a message \
         may have, 4 MiB: hand large data on as a dataset"
    );
    Ok(assignment)
}

/// Whether the database may answer the next time.
fn is_transient(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient))
}

/// What a try is called on the wire.
pub(crate) fn try_ref(fence: &Fence) -> proto::TryRef {
    proto::TryRef {
        session: fence.session.cast_unsigned(),
        run: fence.instance.run.0,
        task: fence.instance.task.0,
        map_index: fence.instance.map_index.0,
        token: fence.token,
    }
}

fn previous(run: SuccessfulRun) -> proto::PreviousRun {
    let micros = |date: Option<DateTime<Utc>>| date.map(|date| date.timestamp_micros());
    proto::PreviousRun {
        data_interval_start_micros: micros(run.data_interval_start),
        data_interval_end_micros: micros(run.data_interval_end),
        started_micros: micros(run.started_at),
        ended_micros: micros(run.ended_at),
    }
}

fn run_info(facts: &Facts) -> anyhow::Result<proto::RunInfo> {
    let run = &facts.run;
    let micros = |date: Option<DateTime<Utc>>| date.map(|date| date.timestamp_micros());
    Ok(proto::RunInfo {
        dag_id: facts.plan.dag.dag_id.0.clone(),
        run_id: run.run_id.clone(),
        uuid: run.uuid.to_string(),
        run_type: run.run_type.clone(),
        logical_date_micros: micros(run.logical_date),
        data_interval_start_micros: micros(run.data_interval_start),
        data_interval_end_micros: micros(run.data_interval_end),
        run_after_micros: run.run_after.timestamp_micros(),
        conf: serde_json::to_vec(&run.conf)?.into(),
        params: serde_json::to_vec(&facts.params)?.into(),
    })
}
