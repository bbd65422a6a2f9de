//! Streams a dataset into COPY: read, encode and send at once, with a short queue between.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use sqlx::postgres::{PgConnection, PgCopyIn};
use subak_core::operators::data::OnBadRow;
use subak_task::{BadRow, Rejected, TaskContext, TaskError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::copy::Encoder;
use crate::load::Load;
use crate::load::input::{Input, Part};

/// Bytes handed to PostgreSQL at a time.
const CHUNK: usize = 256 << 10;
/// Chunks that wait to be sent, and batches that wait to be encoded.
const QUEUE: usize = 2;
/// How often the log says how far it is.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Counts of a COPY.
pub(crate) struct Copied {
    /// Rows of the dataset.
    pub(crate) read: i64,
    /// Rows with a value that does not fit.
    pub(crate) rejected: i64,
    /// Rows that PostgreSQL took.
    pub(crate) written: i64,
}

/// Encoded rows, and how many of the dataset there are up to their end.
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
    input: Input,
) -> Result<Copied, TaskError> {
    let failure = |error| load.target.failure(error);
    let mut copy = db.copy_in_raw(statement).await.map_err(failure)?;
    let sending = async |chunks| send(&mut copy, chunks, load.ctx).await;
    let (copied, sent) = encode_all(load, encoder, input, sending).await?;
    sent.map_err(failure)?;
    let written = copy.finish().await.map_err(failure)?;
    Ok(Copied { written: i64::try_from(written).unwrap_or(i64::MAX), ..copied })
}

/// Rejects the rows that do not fit once more, for a try whose rows are loaded already; returns how
/// many there are.
pub(crate) async fn reject_again(
    load: &Load<'_>,
    encoder: Encoder,
    input: Input,
) -> Result<i64, TaskError> {
    let dropping = async |mut chunks: Receiver<Chunk>| while chunks.recv().await.is_some() {};
    let (copied, ()) = encode_all(load, encoder, input, dropping).await?;
    Ok(copied.rejected)
}

/// Encodes all rows and hands them to `sink`; nothing is written yet.
async fn encode_all<T>(
    load: &Load<'_>,
    encoder: Encoder,
    input: Input,
    sink: impl AsyncFnOnce(Receiver<Chunk>) -> T,
) -> Result<(Copied, T), TaskError> {
    let (parts, to_encode) = channel(QUEUE);
    let (chunks, to_send) = channel(QUEUE);
    let (letters, to_reject) = channel(QUEUE);
    let fate = load.params.on_bad_row;
    let name = load.dataset.name.clone();
    let encoding = Encoding { encoder, name, fails: fate == OnBadRow::Fail, chunks, letters };
    // Encoding is work for a processor: other tasks of the worker must not wait for it.
    let encoding = tokio::task::spawn_blocking(move || encoding.run(to_encode));
    let mut rejected = Rejected::new(load.ctx, fate);
    // Whichever side fails drops its end, and the others stop.
    let (fed, sent, taken) =
        tokio::join!(feed(input, parts), sink(to_send), rejected.take_all(to_reject));
    let encoded =
        encoding.await.map_err(|error| TaskError::permanent(format!("encoding: {error}")));
    fed?;
    taken?;
    let (read, bad) = encoded??;
    rejected.finish(read - bad);
    let (read, rejected) = (i64::try_from(read), i64::try_from(bad));
    let (read, rejected) = (read.unwrap_or(i64::MAX), rejected.unwrap_or(i64::MAX));
    Ok((Copied { read, rejected, written: 0 }, sent))
}

async fn feed(mut input: Input, parts: Sender<Part>) -> Result<(), TaskError> {
    while let Some(part) = input.parts.next().await {
        if parts.send(part?).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The side that encodes.
struct Encoding {
    encoder: Encoder,
    /// The dataset's.
    name: String,
    /// A row that does not fit is an error.
    fails: bool,
    chunks: Sender<Chunk>,
    letters: Sender<Vec<BadRow>>,
}

impl Encoding {
    /// Returns how many rows there were, and how many of them did not fit.
    fn run(mut self, mut parts: Receiver<Part>) -> Result<(u64, u64), TaskError> {
        let (mut rows, mut bad, mut unfit_rows) = (0, 0, 0);
        let mut wanted = true;
        while let Some(mut part) = parts.blocking_recv() {
            let unfit = std::mem::take(&mut part.unfit);
            if !unfit.is_empty() {
                unfit_rows += unfit.len() as u64;
                wanted &= self.letters.blocking_send(unfit).is_ok();
            }
            let misfits = self.encoder.encode(&part.batch, CHUNK, |bytes| {
                wanted = self.chunks.blocking_send(Chunk { bytes, rows }).is_ok();
                wanted
            })?;
            if !misfits.is_empty() {
                bad += misfits.len() as u64;
                wanted &= self.reject(&part, &misfits, rows)?;
            }
            rows = self.encoder.rows();
            if !wanted {
                break;
            }
        }
        if wanted {
            // Nobody waits for it if sending has failed; that error is the one to show.
            let _ = self.chunks.blocking_send(Chunk { bytes: self.encoder.finish(), rows });
        }
        Ok((rows + unfit_rows, bad + unfit_rows))
    }

    /// Hands rows of a part over, of which `before` came earlier; returns whether more are wanted.
    fn reject(
        &self,
        part: &Part,
        misfits: &[(usize, Vec<String>)],
        before: u64,
    ) -> Result<bool, TaskError> {
        if let (true, Some((at, reasons))) = (self.fails, misfits.first()) {
            let row = before + *at as u64 + 1;
            return Err(TaskError::permanent(format!("row {row}, {}", reasons.join("; "))));
        }
        let letters = part.rejected(misfits, &self.name, before).map_err(TaskError::permanent)?;
        Ok(self.letters.blocking_send(letters).is_ok())
    }
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
