//! Results, logs and dead letters of finished tries, on disk until the server has them or a day has passed.
//!
//! One small file a try. What it protects from is the death of the worker's process, not of the
//! machine: the page cache outlives a `kill -9`, so nothing is synced, and a lost file costs one
//! more try. Tries of minutes are written before they are reported; tries of microseconds
//! (`noop`) only if no answer came within a second or the worker ends: to run them again costs less
//! than to write them all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use prost::Message;
use subak_proto::{DeadLetters, LogChunk, Report, TryRef};
use tracing::{error, warn};

/// What the server has not asked for by then, it never will.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
const REPORT: u8 = 1;
const LOG: u8 = 2;
const LETTERS: u8 = 3;

/// A finished try, as it lay on disk.
#[derive(Debug, PartialEq)]
pub(crate) struct Spooled {
    pub(crate) report: Report,
    /// Those that the server did not keep yet, as the letters.
    pub(crate) chunks: Vec<LogChunk>,
    pub(crate) letters: Vec<Arc<DeadLetters>>,
}

/// The folder, and a thread that works on it where nobody waits.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Order {
    Write(Box<Spooled>),
    Remove(TryRef),
}

impl Spool {
    /// Opens the folder, and returns what a former worker left.
    pub(crate) fn open(folder: PathBuf) -> io::Result<(Self, Vec<Spooled>)> {
        fs::create_dir_all(&folder)?;
        let left = load(&folder)?;
        let (orders, received) = mpsc::channel();
        let place = folder.clone();
        let thread = thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || work(&place, received))?;
        Ok((Self { folder, orders: Some(orders), thread: Some(thread) }, left))
    }

    /// The folder, for [`write`].
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a finished try soon.
    pub(crate) fn write_soon(&self, finished: Spooled) {
        self.order(Order::Write(Box::new(finished)));
    }

    /// Removes a try's file, if there is one.
    pub(crate) fn remove_soon(&self, try_ref: TryRef) {
        self.order(Order::Remove(try_ref));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Spool {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes a finished try now.
pub(crate) fn write(
    folder: &Path,
    report: &Report,
    chunks: &[LogChunk],
    letters: &[Arc<DeadLetters>],
) -> io::Result<()> {
    let try_ref = report.r#try.unwrap_or_default();
    let mut bytes = Vec::with_capacity(512);
    for chunk in chunks {
        push(&mut bytes, LOG, chunk);
    }
    for letters in letters {
        push(&mut bytes, LETTERS, &**letters);
    }
    // Last: a file without a report is the rest of a write that was cut short.
    push(&mut bytes, REPORT, report);
    File::create(path(folder, try_ref))?.write_all(&bytes)
}

fn push(bytes: &mut Vec<u8>, kind: u8, message: &impl Message) {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_le_bytes());
    message.encode_raw(bytes);
}

fn path(folder: &Path, try_ref: TryRef) -> PathBuf {
    folder.join(format!("{:016x}-{}.try", try_ref.session, try_ref.token))
}

fn work(folder: &Path, orders: mpsc::Receiver<Order>) {
    for order in orders {
        match order {
            Order::Write(finished) => {
                let Spooled { report, chunks, letters } = &*finished;
                if let Err(error) = write(folder, report, chunks, letters) {
                    let folder = folder.display().to_string();
                    error!(folder, error = %error, "a finished try's result could not be written");
                }
            }
            Order::Remove(try_ref) => {
                let _ = fs::remove_file(path(folder, try_ref));
            }
        }
    }
}

fn load(folder: &Path) -> io::Result<Vec<Spooled>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let age = fs::metadata(&path)?.modified()?;
        let is_old = SystemTime::now().duration_since(age).is_ok_and(|age| age > KEPT_FOR);
        match File::open(&path).and_then(read) {
            Ok(spooled) if !is_old => left.push(spooled),
            Ok(_) => fs::remove_file(&path)?,
            Err(error) => {
                warn!(file = %path.display(), %error, "dropped a result that cannot be read");
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(left)
}

fn read(mut file: File) -> io::Result<Spooled> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (mut chunks, mut letters, mut rest) = (Vec::new(), Vec::new(), bytes.as_slice());
    loop {
        let (head, tail) = rest.split_at_checked(5).ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (body, tail) = tail.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        match head[0] {
            REPORT => return Ok(Spooled { report: Report::decode(body)?, chunks, letters }),
            LETTERS => letters.push(Arc::new(DeadLetters::decode(body)?)),
            _ => chunks.push(LogChunk::decode(body)?),
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use subak_proto::DeadLetter;

    use super::*;

    fn finished(token: i64) -> Spooled {
        let try_ref = Some(TryRef { session: 7, run: 1, task: 2, map_index: -1, token });
        let chunk = |sequence| LogChunk {
            r#try: try_ref,
            sequence,
            lz4: b"bytes".to_vec().into(),
            lines: 1,
            first_line: sequence,
        };
        let report = Report { r#try: try_ref, error: "no".to_owned(), ..Report::default() };
        let letter = DeadLetter { position: 4, raw: b"row".to_vec(), ..DeadLetter::default() };
        let letters = DeadLetters { r#try: try_ref, sequence: 1, letters: vec![letter] };
        Spooled { report, chunks: vec![chunk(0), chunk(1)], letters: vec![Arc::new(letters)] }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_until_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, left) = Spool::open(folder.path().to_owned()).unwrap();
        assert!(left.is_empty());
        spool.write_soon(finished(1));
        let other = finished(2).report;
        write(spool.folder(), &other, &[], &[]).unwrap();
        drop(spool);

        let (spool, mut left) = Spool::open(folder.path().to_owned()).unwrap();
        left.sort_by_key(|spooled| spooled.report.r#try.unwrap().token);
        assert_eq!(left[0], finished(1));
        assert_eq!(left[1], Spooled { report: other, chunks: vec![], letters: vec![] });
        spool.remove_soon(left[0].report.r#try.unwrap());
        drop(spool);
        let (_, left) = Spool::open(folder.path().to_owned()).unwrap();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn a_file_cut_short_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let Spooled { report, chunks, letters } = finished(1);
        write(folder.path(), &report, &chunks, &letters).unwrap();
        let file = path(folder.path(), report.r#try.unwrap());
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let (_spool, left) = Spool::open(folder.path().to_owned()).unwrap();
        assert!(left.is_empty() && !file.exists());
    }
}
