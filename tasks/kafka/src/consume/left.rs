//! Ranges that a run has left: who may finish them, and what becomes of loads that were skipped.

use subak_core::operators::data::OnSkip;
use subak_core::range::{Operation, Range, Skipped};
use subak_task::TaskError;

use super::Consume;

/// Runs in a row that may leave a load out.
const SKIPS_MOST: i32 = 3;

impl Consume {
    /// The sinks whose skipped loads count as done.
    pub(super) fn may_skip(&self) -> Vec<String> {
        let sinks = self.ctx.pipeline.sinks.iter();
        let sinks = sinks.filter(|sink| sink.on_skip == OnSkip::Commit);
        sinks.map(|sink| sink.task_id.clone()).collect()
    }

    /// A range of a sink that the DAG no longer has would stay open for ever, whatever version runs.
    pub(super) fn check_sinks(&self, range: &Range, sinks: &[String]) -> Result<(), TaskError> {
        let has = |sink: &String| self.ctx.pipeline.sinks.iter().any(|it| it.task_id == *sink);
        match sinks.iter().find(|sink| !has(sink)) {
            None => Ok(()),
            Some(gone) => Err(TaskError::permanent(format!(
                "range {} of topic {} is open for load `{gone}`, which the DAG does not have any \
                 more: put it back, or give its part up with `subak ranges abandon {} {gone}`",
                range.sequence, range.topic, range.id
            ))),
        }
    }

    /// A range that branches keep from a load for ever would keep the pipeline from what is new.
    pub(super) fn check_skips(
        &self,
        range: &Range,
        skipped: Option<Skipped>,
    ) -> Result<(), TaskError> {
        let Some(Skipped { sink, runs }) = skipped else { return Ok(()) };
        let shown = self.reference(range);
        if runs < SKIPS_MOST {
            self.ctx.log(format!("{shown}: load `{sink}` was skipped, and still lacks it"));
            return Ok(());
        }
        Err(TaskError::permanent(format!(
            "{shown} is not in load `{sink}`, which was skipped by {runs} runs in a row\
             \nwhat to do: clear that load where it should have the records, or set `on_skip: commit` on it \
             if a range that a branch keeps from it is done with"
        )))
    }

    /// Moves ledgers behind a range: of loads that were skipped, and may be, and of a pipeline without a
    /// load whose run has succeeded.
    pub(super) async fn pass(
        &self,
        range: &Range,
        skipped: &[String],
        run_id: &str,
    ) -> Result<(), TaskError> {
        let pipeline = &self.ctx.pipeline;
        let shown = self.reference(range);
        for sink in pipeline.sinks.iter().filter(|sink| skipped.contains(&sink.task_id)) {
            pipeline.ledgers.pass(sink, &shown, &self.ctx).await?;
            // Of a pipeline without a load nobody counts what became of the rows.
            let rows = (sink.task_id != self.ctx.identity.task_id).then_some(0);
            let commit = Operation::Commit { range: range.id, sink: sink.task_id.clone(), rows };
            self.ask(commit).await?;
            let records = range.records.unwrap_or_else(|| range.span());
            self.ctx.log(match sink.task_id == self.ctx.identity.task_id {
                true => format!("{shown}: run `{run_id}` has succeeded, it is done with"),
                false => format!(
                    "{shown}: load `{}` was skipped by run `{run_id}` and has on_skip: commit: its \
                     {records} records count as filtered there",
                    sink.task_id
                ),
            });
        }
        Ok(())
    }

    /// Why the run may not finish a range that another version has begun to load.
    pub(super) fn begun(&self, range: &Range, version: i32, run_id: Option<String>) -> TaskError {
        let dag_id = &self.ctx.identity.dag_id;
        let clear = run_id.map(|run| {
            format!("to finish it with that one: `subak runs clear {dag_id} {run} --failed`; ")
        });
        TaskError::permanent(format!(
            "{} is in some of its loads by version {version} of the DAG, and this run has another one: \
             loads of one range would differ\
             \nwhat to do: {}to finish it with whatever version runs: `subak ranges release {}`",
            self.reference(range),
            clear.unwrap_or_default(),
            range.id
        ))
    }
}
