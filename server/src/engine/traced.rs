//! Spans of runs, for OpenTelemetry: sent when a run has ended. Its tries' spans come from the workers.

use subak_core::ids::RunKey;
use subak_core::state::RunState;
use subak_store::Store;
use subak_store::read::RunRecord;
use subak_trace::{Ids, Kind, Span, Traces};

use super::Core;

impl Core {
    /// Sends the spans of these runs, if somebody wants them; nobody waits for that.
    pub(super) fn trace(&self, ended: Vec<RunKey>) {
        if ended.is_empty() || !self.config.traces.is_on() {
            return;
        }
        let (store, traces) = (self.store.clone(), self.config.traces.clone());
        tokio::spawn(async move {
            if let Err(error) = send(&store, &traces, &ended).await {
                tracing::warn!(%error, runs = ended.len(), "runs are not in the traces");
            }
        });
    }
}

async fn send(
    store: &Store,
    traces: &Traces,
    ended: &[RunKey],
) -> Result<(), subak_store::StoreError> {
    for run in store.runs_of(ended).await? {
        traces.emit(span(run));
    }
    Ok(())
}

fn span(run: RunRecord) -> Span {
    let began = run.started_at.unwrap_or(run.created_at);
    Span {
        ids: Ids::run(run.uuid),
        kind: Kind::Internal,
        began: began.into(),
        ended: run.ended_at.unwrap_or(began).into(),
        error: (run.state == RunState::Failed)
            .then(|| run.cancel_cause.unwrap_or_else(|| "a task failed".to_owned())),
        attributes: vec![
            ("subak.dag.id", run.dag_id.as_str().into()),
            ("subak.dag.version", i64::from(run.version).into()),
            ("subak.run.id", run.run_id.into()),
            ("subak.run.type", run.run_type.into()),
            ("subak.run.state", run.state.as_str().into()),
        ],
        name: run.dag_id.into(),
    }
}
