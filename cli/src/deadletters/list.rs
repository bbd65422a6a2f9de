//! `subak deadletters list`.

use clap::Args;
use serde_json::{Value, json};
use subak_store::read::{LetterFilter, LetterRecord};

use super::{Filter, place};
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

/// A reason is cut at this many characters.
const REASON_CHARS: usize = 80;

/// Lists records that tasks rejected, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak deadletters list --dag user_registration --open
  subak deadletters list --reason 'not an e-mail address' --limit 100 --json")]
pub(crate) struct Options {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    filter: Filter,
    /// Only those that were not replayed, dismissed or superseded.
    #[arg(long)]
    open: bool,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let store = options.metadata.store().await?;
    let filter = LetterFilter {
        state: options.open.then(|| "open".to_owned()),
        ..options.filter.checked(&store).await?
    };
    let page = store.letter_list(&filter, i64::from(options.limit), 0).await?;
    if options.json {
        output::json(&page.items.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Ended::Success);
    }
    let mut table = Table::new(&["id", "dag", "task", "run", "record", "state", "reasons"]);
    for letter in &page.items {
        table.row([
            letter.id.to_string(),
            letter.dag_id.clone(),
            letter.task_id.clone(),
            letter.run_id.clone().unwrap_or_else(|| "-".to_owned()),
            place(letter),
            letter.state.clone(),
            reasons(letter),
        ]);
    }
    table.print()?;
    let shown = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
    if shown < page.total {
        output::line(format!("{} more: see --limit", page.total - shown))?;
    }
    Ok(Ended::Success)
}

/// The first reason, and how many more there are.
fn reasons(letter: &LetterRecord) -> String {
    let first = letter.reasons().next().unwrap_or_default();
    let mut text: String = first.chars().take(REASON_CHARS).collect();
    if text.len() < first.len() {
        text.push('…');
    }
    match letter.reasons().count() {
        ..2 => text,
        all => format!("{text} (and {} more)", all - 1),
    }
}

/// The dead letter, spelt as the API spells it.
pub(super) fn as_json(letter: &LetterRecord) -> Value {
    let of_topic = letter.is_of_topic;
    json!({
        "dead_letter_id": letter.id,
        "dag_id": letter.dag_id,
        "dag_run_id": letter.run_id,
        "task_id": letter.task_id,
        "map_index": letter.map_index,
        "try_number": letter.try_number,
        "source": letter.source,
        "partition": of_topic.then_some(letter.partition),
        "offset": of_topic.then_some(letter.position),
        "line": (!of_topic).then_some(letter.position),
        "reasons": letter.reasons,
        "size_bytes": letter.size_bytes,
        "state": letter.state,
        "replay_dag_run_id": letter.replay_run_id,
        "replay_of": letter.replay_of,
        "replayed_as": letter.replayed_as,
        "timestamp": letter.created_at,
    })
}
