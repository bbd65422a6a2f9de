//! Where dead letters are exported to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use subak_store::Store;
use subak_store::read::{LetterFilter, LetterRecord};
use subak_worker::{ExportedLetter, LetterSink};

use super::{AT_ONCE, Format, value};
use crate::config::{KeySource, Metadata};
use crate::connections;
use crate::deadletters::view::Whole;

/// What `--to` names.
pub(super) enum Target {
    File(Format, PathBuf),
    System(System),
}

/// A topic or a table of a connection.
pub(super) struct System {
    /// The type that the connection is to have.
    conn_type: &'static str,
    connection: String,
    name: String,
}

impl Target {
    pub(super) fn parse(to: &str) -> anyhow::Result<Self> {
        let Some((scheme, rest)) = to.split_once("://") else {
            let format = match Path::new(to).extension().and_then(|it| it.to_str()) {
                Some("csv") => Format::Csv,
                Some("jsonl") => Format::JsonLines,
                _ => bail!(
                    "`{to}` says no format: let its name end in .csv or .jsonl, or name a topic as \
                     kafka://CONNECTION/TOPIC or a table as postgres://CONNECTION/TABLE"
                ),
            };
            return Ok(Self::File(format, PathBuf::from(to)));
        };
        let conn_type = match scheme {
            "kafka" => "kafka",
            "postgres" | "postgresql" => "postgres",
            other => bail!("`{other}://` is neither kafka:// nor postgres://"),
        };
        match rest.split_once('/') {
            Some((connection, name)) if !connection.is_empty() && !name.is_empty() => {
                let (connection, name) = (connection.to_owned(), name.to_owned());
                Ok(Self::System(System { conn_type, connection, name }))
            }
            _ => bail!(
                "`{to}` names no connection and topic or table: write {scheme}://CONNECTION/NAME"
            ),
        }
    }
}

impl System {
    /// Writes all that the filter finds; returns how many.
    pub(super) async fn take(
        &self,
        metadata: &Metadata,
        key: &KeySource,
        store: &Store,
        filter: &LetterFilter,
    ) -> anyhow::Result<usize> {
        let Self { conn_type, connection, name } = self;
        let value = connections::get(metadata, key, connection).await?;
        let found =
            value["conn_type"].as_str().unwrap_or_default().replace("postgresql", "postgres");
        if found != *conn_type {
            bail!(
                "connection `{connection}` is of type `{found}`, but a `{conn_type}` one is needed"
            );
        }
        let said = |why: String| anyhow::anyhow!(why);
        let mut sink = LetterSink::open(connection, &value, name).await.map_err(said)?;
        let (mut after, mut count) = (0, 0);
        loop {
            let some = store.letter_export(filter, after, AT_ONCE).await?;
            let Some((last, _)) = some.last() else { return Ok(count) };
            after = last.id;
            let letters: Vec<ExportedLetter> = some.into_iter().map(exported).collect();
            let these = letters.len();
            let put = sink.put(letters).await.map_err(said);
            sink = put
                .with_context(|| format!("{count} dead letters are there; do the export again"))?;
            count += these;
        }
    }
}

fn exported((letter, record): (LetterRecord, Vec<u8>)) -> ExportedLetter {
    ExportedLetter {
        id: letter.id,
        value: value(&Whole::new(&letter, record.clone())),
        of_run: match letter.is_of_topic {
            true => String::new(),
            // The run may be gone; its dead letters are of different records still.
            false => letter.run_id.clone().unwrap_or_else(|| format!("#{}", letter.id)),
        },
        reasons: letter.reasons().map(str::to_owned).collect(),
        dag_id: letter.dag_id,
        task_id: letter.task_id,
        source: letter.source,
        partition: letter.partition,
        position: letter.position,
        state: letter.state,
        rejected_at: letter.created_at,
        record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_file_a_topic_or_a_table() {
        assert!(matches!(Target::parse("a/b.csv"), Ok(Target::File(Format::Csv, _))));
        let Ok(Target::System(table)) = Target::parse("postgresql://w/a.b") else { panic!() };
        assert_eq!((table.conn_type, &*table.connection, &*table.name), ("postgres", "w", "a.b"));
        for wrong in ["x.txt", "kafka://a", "kafka:///b", "mysql://a/b"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
