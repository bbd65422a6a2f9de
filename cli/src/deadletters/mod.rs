//! `subak deadletters`: records that tasks rejected.

mod dismiss;
mod export;
mod list;
mod replay;
mod show;
mod view;

use anyhow::bail;
use clap::{Args, Subcommand};
use subak_store::Store;
use subak_store::read::LetterFilter;

use crate::exit::Outcome;

/// Lists, shows and exports records that tasks rejected, puts them through again or dismisses them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Options),
    Show(show::Options),
    Replay(replay::Options),
    Dismiss(dismiss::Options),
    Export(export::Options),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(options) => list::run(options).await,
        Command::Show(options) => show::run(options).await,
        Command::Replay(options) => replay::run(options).await,
        Command::Dismiss(options) => dismiss::run(options).await,
        Command::Export(options) => export::run(options).await,
    }
}

/// Which dead letters; all conditions together.
#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only of this DAG.
    #[arg(long, value_name = "DAG")]
    dag: Option<String>,
    /// Only of this run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only of this task.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Only with this text in one of their reasons.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Filter {
    /// The conditions, as the API spells them.
    fn query(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("dag_id", &self.dag),
            ("dag_run_id", &self.run),
            ("task_id", &self.task),
            ("reason", &self.reason),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    fn is_empty(&self) -> bool {
        self.query().is_empty()
    }

    /// Returns the conditions; a DAG that does not exist is an error.
    async fn checked(self, store: &Store) -> anyhow::Result<LetterFilter> {
        if let Some(dag_id) = &self.dag
            && store.dag_get(dag_id).await?.is_none()
        {
            bail!("DAG `{dag_id}` does not exist: `subak dags list` shows those that do");
        }
        Ok(LetterFilter {
            dag_id: self.dag,
            run_id: self.run,
            task_id: self.task,
            reason: self.reason,
            state: None,
            ids: Vec::new(),
            within: None,
        })
    }
}
