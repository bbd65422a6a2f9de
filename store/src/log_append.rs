//! Keeps logs as they arrive: the first MiB of a try in the database, the rest under the storage URL.
//!
//! Small pieces of the rest gather in the database until they are worth an object: a task that prints
//! a line a second makes no million files, and one that prints a gigabyte does not pass through
//! PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::FromRow;
use tracing::warn;

use crate::engine::Fence;
use crate::results::{NewLogChunk, column};
use crate::statement::statements;
use crate::storage::{Storage, StorageError};
use crate::{Store, StoreError};

/// Compressed bytes of a try's log that stay in the database.
const KEPT_BYTES: u64 = 1 << 20;
/// Compressed bytes beyond these that may gather there.
const GATHERED_BYTES: u64 = 256 << 10;
/// Bytes of one object, before compression.
const OBJECT_BYTES: usize = 1 << 20;
/// How often an object is written, and how long is waited in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

statements! {
    /// Only of tries that their session holds, or held: nobody writes into another one's log.
    Points LOG_APPEND = "
        INSERT INTO log_chunk (run_key, task, map_index, token, sequence, first_line, lines, lz4)
        SELECT want.run_key, want.task, want.map_index, want.token,
               want.sequence, want.first_line, want.lines, want.lz4
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::integer[],
                    $6::bigint[], $7::integer[], $8::bytea[], $9::bigint[])
             AS want (run_key, task, map_index, token, sequence, first_line, lines, lz4, session)
        CROSS JOIN LATERAL (
            SELECT FROM live
            WHERE live.run_key = want.run_key AND live.task = want.task
              AND live.map_index = want.map_index
              AND (live.token, live.session) = (want.token, want.session)
            UNION ALL
            SELECT FROM try_history AS h
            WHERE h.run_key = want.run_key AND h.task = want.task
              AND h.map_index = want.map_index AND h.token = want.token
              AND h.session = want.session
            LIMIT 1
        ) AS held
        ON CONFLICT DO NOTHING";

    Points LOG_HELD = "
        SELECT EXISTS (
            SELECT FROM live
            WHERE live.run_key = $1 AND live.task = $2 AND live.map_index = $3
              AND (live.token, live.session) = ($4, $5)
        ) OR EXISTS (
            SELECT FROM try_history AS h
            WHERE h.run_key = $1 AND h.task = $2 AND h.map_index = $3 AND h.token = $4
              AND h.session = $5
        )";

    Points LOG_SIZE = "
        SELECT coalesce(sum(length(lz4)), 0) FROM log_chunk
        WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4";

    Points LOG_SPILL = "
        INSERT INTO log_spill
            (run_key, task, map_index, token, first_line, lines, size_bytes, object, problem)
        SELECT $1, $2, $3, $4, * FROM unnest($5::bigint[], $6::bigint[], $7::bigint[],
                                             $8::text[], $9::text[])
        ON CONFLICT (run_key, task, map_index, token, first_line) DO UPDATE
        SET lines = EXCLUDED.lines, size_bytes = EXCLUDED.size_bytes,
            object = EXCLUDED.object, problem = EXCLUDED.problem
        WHERE log_spill.lines < EXCLUDED.lines";

    Points LOG_SPILLED_DROP = "
        DELETE FROM log_chunk
        WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
          AND sequence = ANY ($5)";

    Points LOG_BEYOND = "
        SELECT sequence, first_line, lines, lz4 FROM (
            SELECT *, sum(length(lz4)) OVER (ORDER BY sequence) AS so_far FROM log_chunk
            WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
        ) AS chunks WHERE so_far > $5 ORDER BY sequence";
}

/// Some lines that are to go under the storage URL.
#[derive(Debug, FromRow)]
struct Piece {
    sequence: i32,
    first_line: i64,
    lines: i32,
    lz4: Vec<u8>,
}

/// Lines that follow each other, for one object.
#[derive(Debug, Default)]
struct Part {
    first_line: i64,
    lines: i64,
    text: Vec<u8>,
}

/// Where a part went.
struct Placed {
    first_line: i64,
    lines: i64,
    size_bytes: i64,
    object: Option<String>,
    problem: Option<String>,
}

impl Store {
    /// Keeps chunks of logs of tries that their session holds or held, and drops others; a chunk that
    /// is there already is left alone.
    pub async fn log_append(&self, chunks: &[NewLogChunk]) -> Result<(), StoreError> {
        let Some(storage) = &self.storage else { return self.log_keep(chunks).await };
        let mut tries: BTreeMap<(i64, i64), Vec<&NewLogChunk>> = BTreeMap::new();
        for chunk in chunks {
            tries.entry((chunk.fence.session, chunk.fence.token)).or_default().push(chunk);
        }
        let mut small = Vec::new();
        let mut sizes = Vec::new();
        for (held, chunks) in tries {
            let new: u64 = chunks.iter().map(|chunk| chunk.lz4.len() as u64).sum();
            let there = match storage.size(held) {
                Some(bytes) => bytes,
                None if chunks[0].sequence == 0 => 0,
                None => self.log_size(chunks[0]).await?,
            };
            if there + new <= KEPT_BYTES + GATHERED_BYTES {
                small.extend(chunks.into_iter().cloned());
                sizes.push((held, there + new));
            } else {
                self.log_spill(storage, &chunks).await?;
                sizes.push((held, there.min(KEPT_BYTES)));
            }
        }
        self.log_keep(&small).await?;
        for (held, bytes) in sizes {
            storage.set_size(held, bytes);
        }
        Ok(())
    }

    /// Keeps chunks in the database, however many there are: the last ones of tries, which come with
    /// their results and must not wait for another disk.
    pub async fn log_keep(&self, chunks: &[NewLogChunk]) -> Result<(), StoreError> {
        if chunks.is_empty() {
            return Ok(());
        }
        sqlx::query(LOG_APPEND)
            .bind(column(chunks, |c| c.fence.instance.run.0))
            .bind(column(chunks, |c| c.fence.instance.task.0))
            .bind(column(chunks, |c| c.fence.instance.map_index.0))
            .bind(column(chunks, |c| c.fence.token))
            .bind(column(chunks, |c| c.sequence))
            .bind(column(chunks, |c| c.first_line))
            .bind(column(chunks, |c| c.lines))
            .bind(column(chunks, |c| c.lz4.clone()))
            .bind(column(chunks, |c| c.fence.session))
            .execute(self.engine())
            .await?;
        Ok(())
    }

    /// Bytes that the database holds of a try's log.
    async fn log_size(&self, of: &NewLogChunk) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(LOG_SIZE)
            .bind(of.fence.instance.run.0)
            .bind(of.fence.instance.task.0)
            .bind(of.fence.instance.map_index.0)
            .bind(of.fence.token)
            .fetch_one(self.engine())
            .await?;
        Ok(bytes.unsigned_abs())
    }

    /// Moves what had gathered of a try's log, and what is new, under the storage URL.
    async fn log_spill(
        &self,
        storage: &Storage,
        chunks: &[&NewLogChunk],
    ) -> Result<(), StoreError> {
        let fence = &chunks[0].fence;
        if !self.log_held(fence).await? {
            return Ok(());
        }
        let mut pieces = self.log_gathered(chunks[0]).await?;
        let moved: Vec<i32> = pieces.iter().map(|piece| piece.sequence).collect();
        pieces.extend(chunks.iter().map(|chunk| Piece {
            sequence: chunk.sequence,
            first_line: chunk.first_line,
            lines: chunk.lines,
            lz4: chunk.lz4.clone(),
        }));
        pieces.sort_by_key(|piece| piece.sequence);
        pieces.dedup_by_key(|piece| piece.sequence);
        let mut placed = Vec::new();
        for part in parts(pieces) {
            placed.push(place(storage, fence, part).await);
        }
        // A reader sees the lines in one place or in the other. Another server may have moved what
        // had gathered at the same time: the longer part has all of the shorter one's lines.
        let mut tx = self.engine().begin().await?;
        sqlx::query(LOG_SPILL)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.token)
            .bind(column(&placed, |part| part.first_line))
            .bind(column(&placed, |part| part.lines))
            .bind(column(&placed, |part| part.size_bytes))
            .bind(column(&placed, |part| part.object.clone()))
            .bind(column(&placed, |part| part.problem.clone()))
            .execute(&mut *tx)
            .await?;
        sqlx::query(LOG_SPILLED_DROP)
            .bind(fence.instance.run.0)
            .bind(fence.instance.task.0)
            .bind(fence.instance.map_index.0)
            .bind(fence.token)
            .bind(&moved)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether the try is its session's, or was.
    async fn log_held(&self, of: &Fence) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(LOG_HELD)
            .bind(of.instance.run.0)
            .bind(of.instance.task.0)
            .bind(of.instance.map_index.0)
            .bind(of.token)
            .bind(of.session)
            .fetch_one(self.engine())
            .await?)
    }

    /// The chunks in the database beyond the first MiB.
    async fn log_gathered(&self, of: &NewLogChunk) -> Result<Vec<Piece>, StoreError> {
        Ok(sqlx::query_as(LOG_BEYOND)
            .bind(of.fence.instance.run.0)
            .bind(of.fence.instance.task.0)
            .bind(of.fence.instance.map_index.0)
            .bind(of.fence.token)
            .bind(i64::try_from(KEPT_BYTES).unwrap_or(i64::MAX))
            .fetch_all(self.engine())
            .await?)
    }
}

/// Joins chunks whose lines follow each other, up to the size of an object.
fn parts(pieces: Vec<Piece>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces {
        let text = crate::read::decompress(&piece.lz4);
        match parts.last_mut() {
            Some(part)
                if part.first_line + part.lines == piece.first_line
                    && part.text.len() + text.len() <= OBJECT_BYTES =>
            {
                part.lines += i64::from(piece.lines);
                part.text.extend_from_slice(&text);
            }
            _ => parts.push(Part { first_line: piece.first_line, lines: piece.lines.into(), text }),
        }
    }
    parts
}

/// Writes a part. If it cannot be written, the log says so in its place: the task goes on.
async fn place(storage: &Storage, fence: &Fence, part: Part) -> Placed {
    let Part { first_line, lines, text } = part;
    let size_bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let packed = lz4_flex::block::compress_prepend_size(&text);
    let mut placed = Placed { first_line, lines, size_bytes, object: None, problem: None };
    for number in 1..=TRIES {
        match storage.log_put(fence, first_line, lines, packed.clone()).await {
            Ok(object) => {
                placed.object = Some(object);
                break;
            }
            Err(error) if number < TRIES => pause(&error).await,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                warn!(error, first_line, lines, "a part of a large log is lost");
                placed.problem = Some(error);
            }
        }
    }
    placed
}

async fn pause(error: &StorageError) {
    warn!(%error, "a part of a large log could not be written, trying again");
    tokio::time::sleep(PAUSE).await;
}
