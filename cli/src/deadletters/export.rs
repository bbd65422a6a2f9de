//! `subak deadletters export`.

mod target;

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use subak_store::read::LetterFilter;

use self::target::Target;
use super::Filter;
use super::view::Whole;
use crate::config::KeySource;
use crate::exit::{Ended, Outcome};
use crate::output;
use crate::place::Place;
use crate::remote::{Query, Server};

/// Dead letters that are read at once; each may have 1 MiB.
const AT_ONCE: i64 = 50;

/// The columns of a CSV file, as the API spells them.
const COLUMNS: [&str; 17] = [
    "dead_letter_id",
    "dag_id",
    "dag_run_id",
    "task_id",
    "map_index",
    "try_number",
    "source",
    "partition",
    "offset",
    "line",
    "reasons",
    "size_bytes",
    "state",
    "replay_dag_run_id",
    "timestamp",
    "text",
    "hex",
];

/// Writes rejected records into a file, a topic or a table, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "\
A file is CSV or JSON, one object a line, as its name ends: .csv or .jsonl. A record is in `text`, or in
`hex` where it is not UTF-8; secrets of the task's connections are hidden. The file is replaced once all
of it is written.

kafka://CONNECTION/TOPIC writes each into a topic of a connection, which must exist, and
postgres://CONNECTION/TABLE into a table, which is made if there is none. An export that was interrupted
is done again: each dead letter is written at least once. Its key is its pipeline and its place (DAG,
task, topic, partition, offset); a table has it once.

Nothing becomes of the dead letters. From a server elsewhere they go into a file: it does not tell the
secrets of its connections.

Examples:
  subak deadletters export --dag user_registration --open --to rejected.jsonl
  subak deadletters export --dag user_registration --to kafka://kafka_main/rejected
  subak deadletters export --dag user_registration --to postgres://warehouse/audit.rejected")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    filter: Filter,
    /// Only those that were not replayed, dismissed or superseded.
    #[arg(long)]
    open: bool,
    /// The file, topic or table.
    #[arg(long, value_name = "FILE|kafka://…|postgres://…")]
    to: String,
}

/// How a file is written.
#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let target = Target::parse(&options.to)?;
    let place = &options.place;
    let count = match (&target, place.server()?) {
        (Target::File(format, path), Some(server)) => {
            let mut query = options.filter.query();
            query.extend(options.open.then(|| ("state", "open".to_owned())));
            to_file(*format, path, async |after| next(&server, &query, after).await).await?
        }
        (target, _) => {
            // The secrets of a connection are not a server's to tell.
            let metadata = place.here("name a file")?;
            let store = metadata.store().await?;
            let filter = LetterFilter {
                state: options.open.then(|| "open".to_owned()),
                ..options.filter.checked(&store).await?
            };
            match target {
                Target::File(format, path) => {
                    to_file(*format, path, async |after| {
                        let some = store.letter_export(&filter, after, AT_ONCE).await?;
                        let whole = some.into_iter();
                        Ok(whole.map(|(letter, record)| Whole::new(&letter, record)).collect())
                    })
                    .await?
                }
                Target::System(system) => {
                    system.take(metadata, &options.key, &store, &filter).await?
                }
            }
        }
    };
    output::line(format!("{count} dead letters in {}", options.to))?;
    Ok(Ended::Success)
}

/// A part of an export, as a server tells it.
#[derive(Deserialize)]
struct Exported {
    dead_letters: Vec<Whole>,
}

async fn next(server: &Server, query: &Query<'_>, after: i64) -> anyhow::Result<Vec<Whole>> {
    let mut query = query.to_vec();
    query.push(("after", after.to_string()));
    let some: Exported = server.get(&["deadLetters", "export"], &query).await?;
    Ok(some.dead_letters)
}

/// Writes what `next` reads, which takes the last that was written, until there is no more.
async fn to_file(
    format: Format,
    to: &Path,
    mut next: impl AsyncFnMut(i64) -> anyhow::Result<Vec<Whole>>,
) -> anyhow::Result<usize> {
    let folder = to.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let whole = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("writing into `{}`", folder.display()))?;
    let mut file = BufWriter::new(whole);
    format.begin(&mut file)?;
    let (mut after, mut count) = (0, 0);
    loop {
        let some = next(after).await?;
        let Some(last) = some.last() else { break };
        after = last.letter.dead_letter_id;
        count += some.len();
        for whole in &some {
            format.write(&mut file, whole)?;
        }
    }
    let whole = file.into_inner().context("writing the file")?;
    whole.persist(to).with_context(|| format!("writing `{}`", to.display()))?;
    Ok(count)
}

/// The dead letter with its record: as text, or in hexadecimal digits where it is not UTF-8.
fn value(whole: &Whole) -> Value {
    let mut value = json!(whole);
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, value| !(value.is_null() && ["text", "hex"].contains(&name.as_str())));
    }
    value
}

impl Format {
    fn begin(self, file: &mut impl Write) -> anyhow::Result<()> {
        if matches!(self, Self::Csv) {
            writeln!(file, "{}", COLUMNS.join(","))?;
        }
        Ok(())
    }

    fn write(self, file: &mut impl Write, whole: &Whole) -> anyhow::Result<()> {
        let value = value(whole);
        match self {
            Self::JsonLines => writeln!(file, "{value}")?,
            Self::Csv => {
                let cells: Vec<String> = COLUMNS.iter().map(|name| cell(&value[name])).collect();
                writeln!(file, "{}", cells.join(","))?;
            }
        }
        Ok(())
    }
}

/// A value as a field of CSV.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_what_they_hold() {
        assert_eq!(cell(&json!("plain")), "plain");
        assert_eq!(cell(&json!("a \"b\", c\n")), "\"a \"\"b\"\", c\n\"");
        assert_eq!(cell(&json!(["one", "two"])), "one; two");
        assert_eq!((cell(&json!(7)), cell(&Value::Null)), ("7".to_owned(), String::new()));
    }
}
