use std::sync::Mutex;
use std::time::Duration;

use subak_proto::digest;
use subak_task::LogSink;

use super::*;
use crate::log::{Chunk, Patterns, Shipper};

/// Passes nothing on.
#[derive(Default)]
struct Nowhere(Mutex<u64>);

impl Shipper for Nowhere {
    fn ship(&self, _token: i64, _chunk: Chunk) {
        *self.0.lock().unwrap() += 1;
    }

    fn flush_soon(&self, _log: std::sync::Weak<TryLog>) {}
}

fn try_ref(token: i64) -> TryRef {
    TryRef { session: 7, run: 1, task: 1, map_index: -1, token }
}

fn book() -> Book {
    let queue = Queue { name: "default".to_owned(), slots: 2 };
    let mut book = Book::open(&[queue], Vec::new(), Instant::now());
    book.begin_session(7);
    book
}

fn start(book: &mut Book, token: i64) -> Arc<TryLog> {
    let log = TryLog::new(token, Patterns::default(), Arc::new(Nowhere::default()), false);
    book.start(Running {
        try_ref: try_ref(token),
        queue: 0,
        since: Instant::now(),
        stop: Arc::default(),
        yields: CancellationToken::new(),
        has_left: false,
        log: Arc::clone(&log),
        letters: Arc::default(),
    });
    log
}

fn finish(book: &mut Book, token: i64, chunks: Vec<LogChunk>) {
    let report = Report { r#try: Some(try_ref(token)), ..Report::default() };
    book.finish(report, chunks, false, Instant::now());
}

fn chunk(token: i64, sequence: u64) -> LogChunk {
    LogChunk { r#try: Some(try_ref(token)), sequence, ..LogChunk::default() }
}

#[test]
fn who_waits_without_a_slot_leaves_it_to_others() {
    let mut book = book();
    let free = |book: &Book| book.queue_slots(false)[0].free;
    start(&mut book, 1);
    start(&mut book, 2);
    assert!(book.slot_of(1, true));
    assert!(!book.slot_of(1, true));
    assert_eq!((free(&book), book.admit(try_ref(3), "default")), (1, Admission::Start(0)));
    start(&mut book, 3);
    // Three run on two slots until one of them has ended.
    assert!(book.slot_of(1, false));
    assert_eq!((free(&book), book.admit(try_ref(4), "default")), (0, Admission::Refuse));
    // One that ends while it waits has its slot again before.
    assert!(book.slot_of(2, true));
    for token in [1, 2, 3] {
        finish(&mut book, token, Vec::new());
        assert!(book.answer(try_ref(token), Answer::Accepted, Instant::now()));
    }
    assert_eq!(free(&book), 2);
    assert!(!book.slot_of(1, true));
}

#[test]
fn a_slot_is_taken_by_a_start_and_given_back_by_an_answer() {
    let mut book = book();
    let free = |book: &Book| book.queue_slots(false)[0].free;
    assert_eq!(book.admit(try_ref(1), "default"), Admission::Start(0));
    start(&mut book, 1);
    start(&mut book, 2);
    assert_eq!(book.admit(try_ref(1), "default"), Admission::Known);
    assert_eq!(book.admit(try_ref(3), "default"), Admission::Refuse);
    assert_eq!(book.admit(try_ref(3), "other"), Admission::Refuse);
    assert_eq!(book.digest(), (digest(&[1, 2]), 2));
    finish(&mut book, 1, Vec::new());
    assert_eq!(free(&book), 0, "the server still counts it");
    assert_eq!(book.digest(), (digest(&[1, 2]), 2));
    assert_eq!(book.admit(try_ref(3), "default"), Admission::Start(0), "yet nothing runs in it");
    assert!(book.answer(try_ref(1), Answer::Accepted, Instant::now()));
    assert!(!book.answer(try_ref(1), Answer::Accepted, Instant::now()), "twice");
    assert_eq!((free(&book), book.digest()), (1, (digest(&[2]), 1)));
    assert_eq!(book.admit(try_ref(1), "default"), Admission::Known);
    assert_eq!(book.queue_slots(true)[0].free, 0, "a draining worker has none");
}

#[test]
fn a_report_waits_until_it_is_accepted_or_superseded() {
    let mut book = book();
    start(&mut book, 1);
    finish(&mut book, 1, Vec::new());
    assert_eq!(book.take_unsent(), [1]);
    assert!(!book.answer(try_ref(1), Answer::Later, Instant::now()));
    assert_eq!(book.waiting_count(), 1);
    book.mark_unsent(1);
    book.mark_unsent(1);
    assert_eq!(book.take_unsent(), [1]);
    assert!(book.answer(try_ref(1), Answer::Superseded, Instant::now()));
    assert_eq!((book.waiting_count(), book.is_answered()), (0, true));
}

#[test]
fn logs_wait_for_their_own_answer() {
    let mut book = book();
    let log = start(&mut book, 1);
    log.line("one");
    log.line("two");
    log.flush();
    // Kept between the try's last look and its end.
    book.log_kept(try_ref(1), 1);
    finish(&mut book, 1, vec![chunk(1, 0), chunk(1, 1)]);
    assert!(!book.answer(try_ref(1), Answer::Accepted, Instant::now()));
    assert_eq!(book.logs().map(|chunk| chunk.sequence).collect::<Vec<_>>(), [1]);
    let later = Instant::now() + Duration::from_secs(9);
    assert_eq!(book.overdue_logs(later, later).len(), 1);
    assert_eq!(book.overdue_logs(later - Duration::from_secs(1), later).len(), 0);
    assert!(book.log_kept(try_ref(1), 2));
    assert_eq!(book.logs().count(), 0);
}
