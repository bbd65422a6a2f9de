//! Streams a dataset into COPY: read, encode and send at once, with a short queue between.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use sqlx::postgres::{PgConnection, PgCopyIn};
use subak_task::{RecordBatchStream, TaskContext, TaskError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::copy::Encoder;
use crate::load::Load;

/// Bytes handed to PostgreSQL at a time.
const CHUNK: usize = 256 << 10;
/// Chunks that wait to be sent, and batches that wait to be encoded.
const QUEUE: usize = 2;
/// How often the log says how far it is.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Counts of a COPY.
pub(crate) struct Copied {
    pub(crate) sent: i64,
    pub(crate) written: i64,
}

/// Encoded rows, and how many there are up to their end.
struct Chunk {
    bytes: Vec<u8>,
    rows: u64,
}

/// Copies all rows. After an error the connection is of no more use.
pub(crate) async fn copy_in(
    load: &Load<'_>,
    db: &mut PgConnection,
    statement: &str,
    encoder: Encoder,
    stream: RecordBatchStream,
) -> Result<Copied, TaskError> {
    let failure = |error| load.target.failure(error);
    let mut copy = db.copy_in_raw(statement).await.map_err(failure)?;
    let (batches, to_encode) = channel(QUEUE);
    let (chunks, to_send) = channel(QUEUE);
    // Encoding is work for a processor: other tasks of the worker must not wait for it.
    let encoding = tokio::task::spawn_blocking(move || encode(encoder, to_encode, &chunks));
    // Whichever side fails drops its end, and the others stop.
    let (fed, sent) = tokio::join!(feed(stream, batches), send(&mut copy, to_send, load.ctx));
    let encoded =
        encoding.await.map_err(|error| TaskError::permanent(format!("encoding: {error}")));
    fed?;
    // If the server ended the COPY early, finishing it brings the reason.
    let rows = match (encoded?, sent) {
        (Err(error), _) => return Err(error),
        (Ok(_), Err(error)) => return Err(failure(error)),
        (Ok(rows), Ok(())) => rows,
    };
    let written = copy.finish().await.map_err(failure)?;
    let (sent, written) = (i64::try_from(rows), i64::try_from(written));
    Ok(Copied { sent: sent.unwrap_or(i64::MAX), written: written.unwrap_or(i64::MAX) })
}

async fn feed(
    mut stream: RecordBatchStream,
    batches: Sender<RecordBatch>,
) -> Result<(), TaskError> {
    while let Some(batch) = stream.batches.next().await {
        if batches.send(batch?).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn encode(
    mut encoder: Encoder,
    mut batches: Receiver<RecordBatch>,
    chunks: &Sender<Chunk>,
) -> Result<u64, TaskError> {
    let mut rows = 0;
    while let Some(batch) = batches.blocking_recv() {
        let wanted = encoder
            .encode(&batch, CHUNK, |bytes| chunks.blocking_send(Chunk { bytes, rows }).is_ok())?;
        rows = encoder.rows();
        if !wanted {
            return Ok(rows);
        }
    }
    // Nobody waits for it if sending has failed; that error is the one to show.
    let _ = chunks.blocking_send(Chunk { bytes: encoder.finish(), rows });
    Ok(rows)
}

async fn send(
    copy: &mut PgCopyIn<&mut PgConnection>,
    mut chunks: Receiver<Chunk>,
    ctx: &TaskContext,
) -> sqlx::Result<()> {
    let mut bytes = 0;
    let mut said = Instant::now();
    while let Some(chunk) = chunks.recv().await {
        bytes += chunk.bytes.len() as u64;
        copy.send(chunk.bytes).await?;
        ctx.progress.progress(chunk.rows, bytes, "rows sent");
        if said.elapsed() >= LOG_EVERY {
            ctx.log(format!("{} rows sent, {} MiB", chunk.rows, bytes >> 20));
            said = Instant::now();
        }
    }
    Ok(())
}
