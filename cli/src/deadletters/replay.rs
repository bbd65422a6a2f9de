//! `subak deadletters replay`.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use subak_server::replay::{Wanted, replay};
use subak_store::{NewAudit, Store};

use super::Which;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output::Table;
use crate::place::{At, Place};
use crate::remote::Server;
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
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Values of params for the run, as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = conf)]
    conf: Option<Map<String, Value>>,
    /// Follows the runs to their ends.
    #[arg(long)]
    wait: bool,
}

/// A run that takes dead letters, spelt as the API spells it.
#[derive(Deserialize)]
struct Started {
    dag_id: String,
    task_id: String,
    dag_run_id: String,
    dead_letters: i64,
}

#[derive(Deserialize)]
struct Replays {
    replays: Vec<Started>,
}

pub(crate) async fn run(options: Options) -> Outcome {
    options.which.check()?;
    let at = options.place.open().await?;
    let started = match &at {
        At::Database(store) => here(store, &options).await?,
        At::Server(server) => elsewhere(server, &options).await?,
    };
    let mut table = Table::new(&["dag", "task", "dead letters", "run"]);
    for it in &started {
        let letters = it.dead_letters.to_string();
        table.row([it.dag_id.clone(), it.task_id.clone(), letters, it.dag_run_id.clone()]);
    }
    table.print()?;
    let mut ended = Ended::Success;
    for it in started.iter().filter(|_| options.wait) {
        if matches!(follow(&at, &it.dag_id, &it.dag_run_id).await?, Ended::RunFailed) {
            ended = Ended::RunFailed;
        }
    }
    Ok(ended)
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<Vec<Started>> {
    let filter = options.which.checked(store).await?;
    let conf = options.conf.clone().unwrap_or_default();
    let wanted = Wanted { filter, triggered_by: "cli", user: None, conf };
    let started =
        with_engine(store, async |engine| Ok(replay(store, engine, &wanted).await?)).await?;
    let mut all = Vec::new();
    for it in started {
        let of = NewAudit {
            run_id: Some(it.run_id.clone()),
            task_id: Some(it.task_id.clone()),
            ..audit::of_dag("replay_dead_letters", &it.dag_id)
        };
        let after = json!({"dag_run_id": it.run_id, "dead_letters": it.letters});
        audit::add(store, of, Value::Null, after).await?;
        all.push(Started {
            dag_id: it.dag_id,
            task_id: it.task_id,
            dag_run_id: it.run_id,
            dead_letters: it.letters,
        });
    }
    Ok(all)
}

async fn elsewhere(server: &Server, options: &Options) -> anyhow::Result<Vec<Started>> {
    let mut body = options.which.body();
    body["conf"] = json!(options.conf);
    let replays: Replays = server.change(Method::POST, &["deadLetters", "replay"], &body).await?;
    Ok(replays.replays)
}
