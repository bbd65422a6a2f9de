//! What people do with a run by a button.

use futures::stream::{self, StreamExt as _};
use subak_core::ids::{Instance, RunKey, TaskNo};
use subak_core::state::TaskState;
use subak_store::read::RunRecord;

use super::viewer::Viewer;
use crate::app::App;
use crate::engine::Mark;
use crate::problem::ApiError;

/// Runs on which one request acts side by side.
const BESIDE: usize = 4;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunAction {
    /// All of its tasks run again.
    Clear,
    /// Those that failed run again, and what is below them.
    ClearFailed,
    MarkSuccess,
    MarkFailed,
    Cancel,
    Delete,
}

impl RunAction {
    /// As forms send it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "clear" => Self::Clear,
            "clear_failed" => Self::ClearFailed,
            "mark_success" => Self::MarkSuccess,
            "mark_failed" => Self::MarkFailed,
            "cancel" => Self::Cancel,
            "delete" => Self::Delete,
            _ => return None,
        })
    }

    /// Does it with several runs: what came of each, in their order.
    pub(super) async fn run_all(
        self,
        app: &App,
        viewer: &Viewer,
        runs: &[RunRecord],
    ) -> Vec<Result<(), ApiError>> {
        let mut together: Vec<RunKey> = Vec::new();
        if self == Self::Clear {
            // Those that go on are held only for their own clear.
            let ended = runs.iter().filter(|run| run.state.is_final());
            together.extend(ended.map(|run| run.run_key));
        }
        let mut done = app.actions.runs_clear(&together).await;
        let mut all = Vec::new();
        for run in runs {
            let done = done.remove(&run.run_key);
            all.push(async move {
                match done {
                    Some(done) => done,
                    None => self.run(app, viewer, run).await,
                }
            });
        }
        stream::iter(all).buffered(BESIDE).collect().await
    }

    pub(super) async fn run(
        self,
        app: &App,
        viewer: &Viewer,
        run: &RunRecord,
    ) -> Result<(), ApiError> {
        let (actions, key, user) = (&app.actions, run.run_key, viewer.name());
        match self {
            Self::Clear => actions.tasks_clear(key, None).await,
            Self::ClearFailed => {
                let failed = failed(app, run).await?;
                actions.instances_clear(key, &failed, false).await
            }
            Self::MarkSuccess => actions.tasks_mark(key, None, Mark::Success, user).await.map(drop),
            Self::MarkFailed => actions.run_fail(key, user).await,
            Self::Cancel => actions.run_cancel(key, user).await,
            Self::Delete => actions.run_delete(key, user).await,
        }
    }
}

async fn failed(app: &App, run: &RunRecord) -> Result<Vec<Instance>, ApiError> {
    let version = app.versions.of_run(run).await?;
    let all = app.store.instance_list(run, &version.record).await?;
    let failed = all
        .iter()
        .filter(|it| matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed)));
    Ok(failed.map(|it| Instance { task: TaskNo(it.task), map_index: it.map_index }).collect())
}
