//! Dead letters into a topic or a table, for the command line: it sees no task crate itself.

use serde_json::Value;
use subak_task::{Connection, ExportedLetter, TaskError};
use subak_tasks_kafka::LetterTopic;
use subak_tasks_sql::LetterTable;
use tokio::task::spawn_blocking;

use crate::log::Patterns;

/// What takes dead letters, each at least once.
pub struct LetterSink {
    to: To,
    patterns: Patterns,
}

enum To {
    Topic(LetterTopic),
    Table(Box<LetterTable>),
}

impl LetterSink {
    /// Connects: to a topic of a connection of type `kafka`, to a table of one of type `postgres`.
    /// `value` is the connection's JSON; no message holds its secrets.
    pub async fn open(id: &str, value: &Value, name: &str) -> Result<Self, String> {
        let connection: Connection = serde_json::from_value(value.clone())
            .map_err(|_| format!("connection `{id}` cannot be read"))?;
        let patterns = Patterns::new(connection.secrets());
        let opened = match connection.conn_type.as_str() {
            "kafka" => {
                let (id, name) = (id.to_owned(), name.to_owned());
                let opening = spawn_blocking(move || LetterTopic::open(&id, &connection, &name));
                opening.await.map_err(|error| error.to_string())?.map(To::Topic)
            }
            _ => {
                let opening = LetterTable::open(id, &connection, name).await;
                opening.map(|table| To::Table(Box::new(table)))
            }
        };
        match opened {
            Ok(to) => Ok(Self { to, patterns }),
            Err(error) => Err(patterns.mask(&error.message)),
        }
    }

    /// Writes dead letters; once this returns they are there.
    pub async fn put(self, letters: Vec<ExportedLetter>) -> Result<Self, String> {
        let Self { to, patterns } = self;
        match put(to, letters).await {
            Ok(to) => Ok(Self { to, patterns }),
            Err(error) => Err(patterns.mask(&error.message)),
        }
    }
}

async fn put(to: To, letters: Vec<ExportedLetter>) -> Result<To, TaskError> {
    match to {
        To::Topic(mut topic) => {
            let putting = spawn_blocking(move || topic.put(&letters).map(|()| topic));
            let put = putting.await.map_err(|error| TaskError::permanent(error.to_string()))?;
            put.map(To::Topic)
        }
        To::Table(mut table) => {
            table.put(&letters).await?;
            Ok(To::Table(table))
        }
    }
}
