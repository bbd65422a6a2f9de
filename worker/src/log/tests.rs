use super::*;

/// Keeps what is shipped.
#[derive(Default)]
pub(crate) struct Shelf {
    chunks: Mutex<Vec<Chunk>>,
    waiting: Mutex<Vec<Weak<TryLog>>>,
}

impl Shipper for Shelf {
    fn ship(&self, _token: i64, chunk: Chunk) {
        self.chunks.lock().unwrap().push(chunk);
    }

    fn flush_soon(&self, log: Weak<TryLog>) {
        self.waiting.lock().unwrap().push(log);
    }
}

fn open(secrets: &[&str]) -> (Arc<Shelf>, Arc<TryLog>) {
    let shelf = Arc::new(Shelf::default());
    let patterns = Patterns::new(secrets.iter().copied());
    let log = TryLog::new(1, patterns, Arc::clone(&shelf) as Arc<dyn Shipper>, false);
    (shelf, log)
}

fn text(chunk: &Chunk) -> &str {
    std::str::from_utf8(&chunk.text).unwrap()
}

#[test]
fn the_first_line_leaves_at_once_and_later_ones_together() {
    let (shelf, log) = open(&[]);
    log.line("first");
    assert_eq!(text(&shelf.chunks.lock().unwrap()[0]), "first\n");
    log.line("second");
    log.line("third");
    assert_eq!(shelf.chunks.lock().unwrap().len(), 1);
    assert_eq!(shelf.waiting.lock().unwrap().len(), 1, "asked once");
    log.flush();
    let chunk = shelf.chunks.lock().unwrap()[1].clone();
    assert_eq!(text(&chunk), "second\nthird\n");
    assert_eq!((chunk.sequence, chunk.first_line, chunk.lines), (1, 1, 2));
    log.line("fourth");
    let (chunks, last) = log.finish();
    assert_eq!((chunks, text(&last.unwrap())), (3, "fourth\n"));
}

#[test]
fn lines_of_two_pipes_are_not_mixed_and_secrets_do_not_hide_in_the_cut() {
    let (shelf, log) = open(&["hunter22"]);
    log.bytes(Pipe::Stdout, b"the word is hun");
    log.bytes(Pipe::Stderr, b"warn");
    log.bytes(Pipe::Stdout, b"ter22\n");
    log.bytes(Pipe::Stderr, b"ing\n");
    log.bytes(Pipe::Stdout, b"hunter2");
    let (_, last) = log.finish();
    let shelf = shelf.chunks.lock().unwrap();
    assert_eq!(text(&shelf[0]), "the word is ***\n");
    assert_eq!(text(&last.unwrap()), "warning\nhunter2\n");
}

#[test]
fn chunks_are_full_lines_of_at_most_64_kib_and_the_log_ends_at_its_limit() {
    let (shelf, log) = open(&[]);
    let block = [b"x".repeat(999), b"\n".to_vec()].concat().repeat(1_000);
    for _ in 0..300 {
        log.bytes(Pipe::Stdout, &block);
    }
    let (chunks, last) = log.finish();
    let shelf = shelf.chunks.lock().unwrap();
    assert_eq!(chunks, shelf.len() as u64 + u64::from(last.is_some()));
    let mut next_line = 0;
    for (sequence, chunk) in shelf.iter().chain(&last).enumerate() {
        assert_eq!((chunk.sequence, chunk.first_line), (sequence as u64, next_line));
        assert!(chunk.text.len() <= CHUNK_LIMIT && chunk.text.ends_with(b"\n"));
        next_line += u64::from(chunk.lines);
    }
    assert!(text(&last.unwrap()).contains("reached 256 MiB"));
}

#[tokio::test]
async fn a_flood_waits_until_the_server_keeps_what_it_has() {
    let (_shelf, log) = open(&[]);
    for _ in 0..=CHUNKS_UNKEPT {
        log.bytes(Pipe::Stdout, &[b"y".repeat(CHUNK_LIMIT - 1), b"\n".to_vec()].concat());
    }
    let room = log.room();
    tokio::pin!(room);
    assert!(futures::poll!(&mut room).is_pending());
    log.kept(1);
    room.await;
}
