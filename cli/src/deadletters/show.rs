//! `subak deadletters show`.

use anyhow::Context;
use clap::Args;
use serde_json::json;
use subak_core::hex;

use super::list::as_json;
use super::place;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output;

/// Shows one rejected record: where it was, every reason, and the record itself.
#[derive(Debug, Args)]
#[command(after_help = "\
A record that is not UTF-8 is shown as hexadecimal digits. Secrets of the task's connections are hidden.

Example:
  subak deadletters show 214")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    /// As `subak deadletters list` shows it.
    id: i64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let found = store.letter_get(options.id).await?;
    let (letter, record) = found.with_context(|| {
        format!("dead letter {} does not exist: see `subak deadletters list`", options.id)
    })?;
    let text = String::from_utf8(record);
    if options.json {
        let mut value = as_json(&letter);
        value["text"] = json!(text.as_ref().ok());
        value["hex"] = json!(text.as_ref().err().map(|bytes| hex::encode(bytes.as_bytes())));
        output::json(&value)?;
        return Ok(Ended::Success);
    }
    let run = letter.run_id.as_deref().unwrap_or("dropped");
    let try_number = letter.try_number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    output::line(format!("dead letter {}  {}  {}", letter.id, place(&letter), letter.state))?;
    output::line(format!("dag   {}", letter.dag_id))?;
    output::line(format!("run   {run}"))?;
    output::line(format!("task  {}, try {try_number}", letter.task_id))?;
    output::line(format!("when  {}", output::instant(Some(letter.created_at))))?;
    let others = [
        ("replayed by run", letter.replay_run_id.clone()),
        ("rejected before as", letter.replay_of.map(|id| id.to_string())),
        ("rejected again as", letter.replayed_as.map(|id| id.to_string())),
    ];
    for (what, other) in others {
        if let Some(other) = other {
            output::line(format!("{what}  {other}"))?;
        }
    }
    output::line("reasons:")?;
    for reason in letter.reasons() {
        output::line(format!("  {reason}"))?;
    }
    match text {
        Ok(text) => output::line(format!("record ({} bytes):\n{text}", letter.size_bytes))?,
        Err(bytes) => {
            let dump = hex::dump(bytes.as_bytes());
            let size = letter.size_bytes;
            output::line(format!("record ({size} bytes, not UTF-8):\n{}", dump.trim_end()))?;
        }
    }
    Ok(Ended::Success)
}
