//! Rejected records on their way to the server: in messages of bounded size, ahead of the result.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use subak_core::letter::RECORD_BYTES_MOST;
use subak_proto::{DeadLetter, DeadLetters};
use subak_task::{BadRow, DeadLetterSink, TaskError};
use tokio::sync::Notify;

use super::outbox::{Event, TryLine};
use crate::log::Patterns;

/// Bytes of rejected records in one message, but for the last one's.
const MESSAGE_BYTES: usize = 512 * 1024;
/// Reasons of one record, and bytes of one reason and of its source.
const REASONS: usize = 64;
const TEXT_BYTES: usize = 4 * 1024;
/// Messages that may wait for the server.
const UNKEPT: usize = 16;

/// The messages of one try: how many there were, and those that the server does not keep yet.
#[derive(Debug, Default)]
pub(crate) struct LetterCount {
    sent: AtomicU64,
    unkept: Mutex<Vec<Arc<DeadLetters>>>,
    progress: Notify,
}

impl LetterCount {
    /// Messages sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Messages that were sent and that the server does not keep yet.
    pub(crate) fn unkept(&self) -> Vec<Arc<DeadLetters>> {
        self.lock().clone()
    }

    /// Notes that the server keeps the messages below `up_to`.
    pub(crate) fn kept(&self, up_to: u64) {
        self.lock().retain(|message| message.sequence >= up_to);
        self.progress.notify_waiters();
    }

    async fn room(&self) {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if self.lock().len() < UNKEPT {
                return;
            }
            progress.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<DeadLetters>>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl DeadLetterSink for TryLine {
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError> {
        let mut letters = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let letter = letter(row, self.patterns());
            let reasons: usize = letter.reasons.iter().map(|reason| reason.len() + 8).sum();
            let record = letter.raw.len() + letter.shown.len() + letter.metadata.len();
            bytes += record + letter.source.len() + reasons + 64;
            letters.push(letter);
            if bytes >= MESSAGE_BYTES {
                self.send_letters(std::mem::take(&mut letters)).await;
                bytes = 0;
            }
        }
        if !letters.is_empty() {
            self.send_letters(letters).await;
        }
        Ok(())
    }
}

impl TryLine {
    async fn send_letters(&self, letters: Vec<DeadLetter>) {
        self.letters.room().await;
        let sequence = self.letters.sent.fetch_add(1, Ordering::AcqRel);
        let message = DeadLetters { r#try: Some(self.try_ref), sequence, letters };
        let message = Arc::new(message);
        self.letters.lock().push(Arc::clone(&message));
        self.outbox.send(Event::DeadLetters(message));
    }
}

/// A record as it travels, with what people see of it. One that is too large is cut, and says so.
fn letter(row: BadRow, secrets: &Patterns) -> DeadLetter {
    let BadRow { source, partition, position, mut reasons, mut raw, metadata, replay_of } = row;
    let all = reasons.len();
    reasons.truncate(REASONS);
    reasons.iter_mut().for_each(|reason| *reason = secrets.mask(reason));
    reasons.iter_mut().for_each(shorten);
    if all > REASONS {
        reasons.push(format!("and {} more reasons", all - REASONS));
    }
    if raw.len() > RECORD_BYTES_MOST {
        reasons.push(format!(
            "the record has {} bytes: only the first {RECORD_BYTES_MOST} are kept here",
            raw.len()
        ));
        raw.truncate(RECORD_BYTES_MOST);
    }
    let mut source = source;
    shorten(&mut source);
    let shown = secrets.mask_bytes(&raw).unwrap_or_default();
    let metadata = if metadata.is_null() { Vec::new() } else { metadata.to_string().into_bytes() };
    let replay_of = replay_of.unwrap_or(0);
    DeadLetter { source, partition, position, reasons, raw, shown, replay_of, metadata }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn whatever_a_record_is_its_message_has_room() {
        let row = BadRow {
            source: "é".repeat(1 << 20),
            partition: 0,
            position: 1,
            reasons: vec!["é".repeat(1 << 20); 100],
            raw: vec![0xff; 10 << 20],
            ..BadRow::default()
        };
        let letter = letter(row, &Patterns::default());
        assert!(letter.encoded_len() < 2 << 20);
        assert_eq!(letter.reasons.len(), REASONS + 2);
        assert_eq!(letter.reasons[REASONS], "and 36 more reasons");
        let cut = "the record has 10485760 bytes: only the first 1048576 are kept here";
        assert_eq!(letter.reasons[REASONS + 1], cut);
    }

    #[test]
    fn an_ordinary_record_travels_as_it_is() {
        let row = BadRow {
            source: "a.csv".to_owned(),
            partition: 0,
            position: 7,
            reasons: vec!["`x` is no integer".to_owned()],
            raw: b"x,1".to_vec(),
            ..BadRow::default()
        };
        let letter = letter(row.clone(), &Patterns::default());
        assert_eq!((letter.reasons, letter.raw), (row.reasons, row.raw));
        assert!(letter.shown.is_empty());
    }

    #[test]
    fn people_see_no_secret_of_a_record() {
        let row = BadRow {
            source: "logins".to_owned(),
            partition: 2,
            position: 7,
            reasons: vec!["`hunter2` is no e-mail address".to_owned()],
            raw: b"\xffann,hunter2".to_vec(),
            ..BadRow::default()
        };
        let letter = letter(row.clone(), &Patterns::new(["hunter2"]));
        assert_eq!(letter.reasons, ["`***` is no e-mail address"]);
        assert_eq!(letter.shown, b"\xffann,***");
        assert_eq!(letter.raw, row.raw);
    }
}
