//! `subak deadletters`: records that tasks rejected.

mod dismiss;
mod export;
mod list;
mod replay;
mod show;
mod view;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
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

/// The dead letters that something is done about: by their numbers, or by what they are.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    filter: Filter,
    /// As `subak deadletters list` shows them; left out: all that the options name.
    ids: Vec<i64>,
}

impl Which {
    /// Nothing named would be all of them.
    fn check(&self) -> anyhow::Result<()> {
        if self.ids.is_empty() && self.filter.query().is_empty() {
            bail!("say which: by ids, or by --dag, --run, --task or --reason");
        }
        Ok(())
    }

    /// Returns them as a filter; a DAG that does not exist is an error.
    async fn checked(&self, store: &Store) -> anyhow::Result<LetterFilter> {
        Ok(LetterFilter { ids: self.ids.clone(), ..self.filter.clone().checked(store).await? })
    }

    /// The body of a request about them.
    fn body(&self) -> Value {
        let mut body = json!({"dead_letter_ids": self.ids});
        for (name, value) in self.filter.query() {
            body[name] = json!(value);
        }
        body
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
            ..LetterFilter::default()
        })
    }
}
