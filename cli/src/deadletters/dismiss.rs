//! `subak deadletters dismiss`.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_server::dismiss::dismiss;
use subak_store::{NewAudit, Store};

use super::Which;
use crate::audit;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::{At, Place};
use crate::remote::Server;

/// Dismisses rejected records: they are not put through any more.
#[derive(Debug, Args)]
#[command(after_help = "\
Only those that are open are dismissed. They can be looked at and exported until their run is dropped,
and are dropped then; open ones are kept for as long as they are open.

Examples:
  subak deadletters dismiss 17 18 19
  subak deadletters dismiss --dag user_registration --reason 'not an e-mail address'")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
}

#[derive(Deserialize)]
struct Dismissed {
    dead_letters: u64,
}

pub(crate) async fn run(options: Options) -> Outcome {
    options.which.check()?;
    let dismissed = match &options.place.open().await? {
        At::Database(store) => here(store, &options).await?,
        At::Server(server) => elsewhere(server, &options).await?,
    };
    output::line(format!("{dismissed} dismissed"))?;
    Ok(Ended::Success)
}

async fn here(store: &Store, options: &Options) -> anyhow::Result<u64> {
    let filter = options.which.checked(store).await?;
    let dismissed = dismiss(store, &filter).await?;
    let of = NewAudit {
        dag_id: filter.dag_id,
        run_id: filter.run_id,
        task_id: filter.task_id,
        extra: Some(json!({
            "dead_letter_ids": filter.ids,
            "reason": filter.reason,
        })),
        ..audit::by("dismiss_dead_letters")
    };
    audit::add(store, of, Value::Null, json!({"dead_letters": dismissed})).await?;
    Ok(dismissed)
}

async fn elsewhere(server: &Server, options: &Options) -> anyhow::Result<u64> {
    let path = ["deadLetters", "dismiss"];
    let done: Dismissed = server.change(Method::POST, &path, &options.which.body()).await?;
    Ok(done.dead_letters)
}
