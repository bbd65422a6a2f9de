//! Where logs are read: in the database and its storage, or at a server.

use std::io::{self, Write};

use anyhow::Context;
use serde::Deserialize;
use subak_core::ids::{MapIndex, TaskId};
use subak_store::read::LogCursor;

use crate::remote::is_missing;
use crate::runs::look::Watched;
use crate::runs::view::Task;

/// The logs of a run.
pub(super) struct Source<'a>(&'a Watched<'a>);

/// How far a log was read.
#[derive(Default)]
pub(super) struct Cursor {
    here: LogCursor,
    /// A server's; none: from the beginning.
    token: Option<String>,
}

/// A part of a log, as the API answers it.
#[derive(Deserialize)]
struct Part {
    content: Vec<Message>,
    continuation_token: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    event: String,
}

impl<'a> Source<'a> {
    pub(super) fn of(watched: &'a Watched<'a>) -> Self {
        Self(watched)
    }

    /// Prints a try's log from `cursor` on, and returns where it ends for now.
    pub(super) async fn print(
        &self,
        task: &Task,
        try_number: i32,
        mut cursor: Cursor,
    ) -> anyhow::Result<Cursor> {
        loop {
            let more = match self.0 {
                Watched::Here { .. } => self.part(task, try_number, &mut cursor).await?,
                Watched::Elsewhere { .. } => self.asked(task, try_number, &mut cursor).await?,
            };
            if !more {
                return Ok(cursor);
            }
        }
    }

    async fn part(
        &self,
        task: &Task,
        try_number: i32,
        cursor: &mut Cursor,
    ) -> anyhow::Result<bool> {
        let Watched::Here { store, run, version } = self.0 else { return Ok(false) };
        let number = version.numbers.get(&TaskId(task.task_id.clone())).copied();
        let number = number.with_context(|| format!("there is no task `{}`", task.task_id))?;
        let index = MapIndex(task.map_index);
        let part = store.log_read(run.run_key, number, index, try_number, cursor.here).await?;
        write(part.lines.iter().map(Vec::as_slice))?;
        cursor.here = part.next;
        Ok(part.more)
    }

    async fn asked(
        &self,
        task: &Task,
        try_number: i32,
        cursor: &mut Cursor,
    ) -> anyhow::Result<bool> {
        let Watched::Elsewhere { server, dag_id, run_id } = self.0 else { return Ok(false) };
        let number = try_number.to_string();
        let path =
            ["dags", dag_id, "dagRuns", run_id, "taskInstances", &task.task_id, "logs", &number];
        let mut query = vec![("live", "true".to_owned())];
        query.extend(task.index().map(|index| ("map_index", index.to_string())));
        query.extend(cursor.token.clone().map(|token| ("token", token)));
        let part: Part =
            server.get(&path, &query).await.map_err(|error| match is_missing(&error) {
                true => error.context(format!("task `{}` has no try {try_number}", task.name())),
                false => error,
            })?;
        write(part.content.iter().map(|line| line.event.as_bytes()))?;
        // The end is where nothing more came.
        let more = !part.content.is_empty() && part.continuation_token.is_some();
        cursor.token = part.continuation_token.or(cursor.token.take());
        Ok(more)
    }
}

fn write<'a>(lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
