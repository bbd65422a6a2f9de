//! `subak deadletters replay`.

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value};
use subak_server::replay::{Wanted, replay};
use subak_store::read::LetterFilter;

use super::Filter;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::Table;
use crate::runs::follow::follow;
use crate::runs::trigger::conf;
use crate::runs::with_engine;

/// Puts rejected records through their DAG again, each once.
#[derive(Debug, Args)]
#[command(after_help = "\
For each task a run of the newest version of its DAG is made, in which the task takes these records and
nothing else is read. They stay open until the run has loaded them; one that is rejected again becomes a
dead letter of its own. A DAG that replaces what it wrote before cannot replay.

Examples:
  subak deadletters replay --dag user_registration --task check --wait
  subak deadletters replay 17 18 19
  subak deadletters replay --dag user_registration --reason 'not an e-mail address'

With --wait the exit code is 3 if a run fails.")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    filter: Filter,
    /// As `subak deadletters list` shows them; left out: all that the options name.
    ids: Vec<i64>,
    /// Values of params for the run, as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = conf)]
    conf: Option<Map<String, Value>>,
    /// Follows the runs to their ends.
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let filter = LetterFilter { ids: options.ids, ..options.filter.checked(&store).await? };
    if filter.is_empty() {
        bail!("say which: by ids, or by --dag, --run, --task or --reason");
    }
    let wanted =
        Wanted { filter, triggered_by: "cli", user: None, conf: options.conf.unwrap_or_default() };
    let started =
        with_engine(&store, async |engine| Ok(replay(&store, engine, &wanted).await?)).await?;
    let mut table = Table::new(&["dag", "task", "dead letters", "run"]);
    for it in &started {
        let letters = it.letters.to_string();
        table.row([it.dag_id.clone(), it.task_id.clone(), letters, it.run_id.clone()]);
    }
    table.print()?;
    let mut ended = Ended::Success;
    for it in started.iter().filter(|_| options.wait) {
        if matches!(follow(&store, &it.dag_id, &it.run_id).await?, Ended::RunFailed) {
            ended = Ended::RunFailed;
        }
    }
    Ok(ended)
}
