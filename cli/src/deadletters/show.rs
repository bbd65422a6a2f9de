//! `subak deadletters show`.

use anyhow::Context;
use clap::Args;
use subak_core::hex;

use super::view::Whole;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output};
use crate::place::{At, Place};

/// Shows one rejected record: where it was, every reason, and the record itself.
#[derive(Debug, Args)]
#[command(after_help = "\
A record that is not UTF-8 is shown as hexadecimal digits. Secrets of the task's connections are hidden.

Example:
  subak deadletters show 214")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// As `subak deadletters list` shows it.
    id: i64,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let whole = match options.place.open().await? {
        At::Database(store) => {
            let found = store.letter_get(options.id).await?;
            let (letter, record) = found.with_context(|| {
                format!("dead letter {} does not exist: see `subak deadletters list`", options.id)
            })?;
            Whole::new(&letter, record)
        }
        At::Server(server) => server.get(&["deadLetters", &options.id.to_string()], &[]).await?,
    };
    match options.output.is_json() {
        true => output::json(&whole)?,
        false => print(&whole)?,
    }
    Ok(Ended::Success)
}

fn print(whole: &Whole) -> anyhow::Result<()> {
    let letter = &whole.letter;
    let run = letter.dag_run_id.as_deref().unwrap_or("dropped");
    let try_number = letter.try_number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let (id, state) = (letter.dead_letter_id, &letter.state);
    output::line(format!("dead letter {id}  {}  {state}", letter.place()))?;
    output::line(format!("dag   {}", letter.dag_id))?;
    output::line(format!("run   {run}"))?;
    output::line(format!("task  {}, try {try_number}", letter.task_id))?;
    output::line(format!("when  {}", output::instant(Some(letter.timestamp))))?;
    let others = [
        ("replayed by run", letter.replay_dag_run_id.clone()),
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
    let size = letter.size_bytes;
    match (&whole.text, &whole.hex) {
        (Some(text), _) => output::line(format!("record ({size} bytes):\n{text}"))?,
        (None, digits) => {
            let bytes = digits.as_deref().and_then(hex::decode).unwrap_or_default();
            let dump = hex::dump(&bytes);
            output::line(format!("record ({size} bytes, not UTF-8):\n{}", dump.trim_end()))?;
        }
    }
    Ok(())
}
