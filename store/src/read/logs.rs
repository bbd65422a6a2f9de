//! Logs of tries, while they run and afterwards.

use subak_core::ids::{MapIndex, RunKey};

use crate::{Store, StoreError};

/// Where reading goes on: a try may have several tokens, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogCursor {
    pub token: i64,
    pub line: i64,
}

impl LogCursor {
    /// Returns the cursor that [`Display`](std::fmt::Display) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (token, line) = text.split_once('.')?;
        Some(Self { token: token.parse().ok()?, line: line.parse().ok()? })
    }
}

impl std::fmt::Display for LogCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.token, self.line)
    }
}

/// Some lines of a log, as bytes: a task may print anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    pub lines: Vec<Vec<u8>>,
    /// Where to go on.
    pub next: LogCursor,
    /// More is there already.
    pub more: bool,
}

/// A chunk holds at most 64 KiB of lines, an object 1 MiB; the database is not trusted to say so.
const CHUNK_BYTES_MOST: usize = 4 << 20;
/// Chunks of one part.
const CHUNKS_AT_ONCE: i64 = 16;
/// Bytes of one part, give or take a chunk.
const PART_BYTES: usize = 1 << 20;

#[derive(sqlx::FromRow)]
struct Piece {
    token: i64,
    log: Option<Vec<u8>>,
}

/// Some lines: a chunk of the database, a part under the storage URL, or one that was lost.
#[derive(sqlx::FromRow)]
struct Chunk {
    first_line: i64,
    lines: i64,
    lz4: Option<Vec<u8>>,
    object: Option<String>,
    problem: Option<String>,
}

/// What a chunk holds, without its text.
#[derive(sqlx::FromRow)]
struct Extent {
    first_line: i64,
    lines: i64,
    size_bytes: Option<i64>,
    /// The first bytes of a chunk in the database, which say how large its text is.
    head: Option<Vec<u8>>,
}

impl Extent {
    fn of_text(first_line: i64, text: &[u8]) -> Self {
        let size_bytes = i64::try_from(text.len()).ok();
        Self { first_line, lines: line_count(text), size_bytes, head: None }
    }

    /// The line after it.
    fn end(&self) -> i64 {
        self.first_line + self.lines
    }

    /// Bytes of its text.
    fn size(&self) -> i64 {
        let of_head = || Some(i64::from(u32::from_le_bytes(*self.head.as_ref()?.first_chunk()?)));
        self.size_bytes.or_else(of_head).unwrap_or(0)
    }
}

impl Store {
    /// Whether a task instance has, or had, a try of this number.
    pub async fn try_exists(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        try_number: i32,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT $4 > 0 AND (
                 EXISTS (SELECT FROM try_history
                         WHERE run_key = $1 AND task = $2 AND map_index = $3 AND try_number = $4)
                 OR EXISTS (SELECT FROM live
                            WHERE run_key = $1 AND task = $2 AND map_index = $3 AND try_number = $4))",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .bind(try_number)
        .fetch_one(self.pool())
        .await?)
    }

    /// Returns the next lines of a try's log after `from`, about 1 MiB of them at most.
    pub async fn log_read(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        try_number: i32,
        from: LogCursor,
    ) -> Result<LogPart, StoreError> {
        let pieces = self.log_pieces(run, task, map_index, try_number, from.token).await?;
        let mut part = LogPart { lines: Vec::new(), next: from, more: false };
        let last = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            let line = if piece.token == from.token { from.line } else { 0 };
            part.next = LogCursor { token: piece.token, line };
            let more = self.log_piece(run, task, map_index, piece, &mut part).await?;
            if more || part.lines.len() > 20_000 {
                part.more = more || index + 1 < last;
                break;
            }
        }
        Ok(part)
    }

    /// Returns where the end of a try's log begins, and whether there are earlier lines. The end has
    /// `lines` lines at most; it begins with the chunk at which it has `bytes` bytes.
    pub async fn log_tail(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        try_number: i32,
        lines: i64,
        bytes: i64,
    ) -> Result<(LogCursor, bool), StoreError> {
        let pieces = self.log_pieces(run, task, map_index, try_number, 0).await?;
        let (mut lines, mut bytes) = (lines, bytes);
        for (index, piece) in pieces.iter().enumerate().rev() {
            let mut extents = self.log_extents(run, task, map_index, piece.token, lines).await?;
            if let Some(lz4) = &piece.log {
                let first_line = extents.first().map_or(0, Extent::end);
                extents.insert(0, Extent::of_text(first_line, &decompress(lz4)));
            }
            for extent in extents {
                lines -= extent.lines;
                bytes -= extent.size();
                if lines < 0 || bytes <= 0 {
                    let line = extent.first_line + (-lines).max(0);
                    return Ok((LogCursor { token: piece.token, line }, line > 0 || index > 0));
                }
            }
        }
        Ok((LogCursor::default(), false))
    }

    /// The tokens under which a try ran, from `token` on, with the logs that lie beside them.
    async fn log_pieces(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        try_number: i32,
        token: i64,
    ) -> Result<Vec<Piece>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT token, log FROM (
                 SELECT token, log FROM try_history
                 WHERE run_key = $1 AND task = $2 AND map_index = $3 AND try_number = $4
                   AND token >= $5
                 UNION ALL
                 SELECT token, NULL FROM live
                 WHERE run_key = $1 AND task = $2 AND map_index = $3 AND try_number = $4
                   AND token >= $5
             ) AS pieces
             ORDER BY token LIMIT 100",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .bind(try_number)
        .bind(token)
        .fetch_all(self.pool())
        .await?)
    }

    /// The last chunks of a token, the last one first: as many as hold `lines` lines, or more.
    async fn log_extents(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        token: i64,
        lines: i64,
    ) -> Result<Vec<Extent>, StoreError> {
        // Each has a line at least.
        Ok(sqlx::query_as(
            "SELECT first_line, lines::bigint AS lines, NULL::bigint AS size_bytes,
                    substr(lz4, 1, 4) AS head
             FROM log_chunk
             WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
             UNION ALL
             SELECT first_line, lines, size_bytes, NULL FROM log_spill
             WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
             ORDER BY first_line DESC LIMIT $5 + 1",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .bind(token)
        .bind(lines)
        .fetch_all(self.pool())
        .await?)
    }

    /// Adds the lines of one token from `part.next` on; returns whether there are more.
    async fn log_piece(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        piece: Piece,
        part: &mut LogPart,
    ) -> Result<bool, StoreError> {
        let chunks: Vec<Chunk> = sqlx::query_as(
            "SELECT first_line, lines::bigint AS lines, lz4, NULL AS object, NULL AS problem
             FROM log_chunk
             WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
               AND first_line + lines > $5
             UNION ALL
             SELECT first_line, lines, NULL, object, problem FROM log_spill
             WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4
               AND first_line + lines > $5
             ORDER BY first_line LIMIT $6",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .bind(piece.token)
        .bind(part.next.line)
        .bind(CHUNKS_AT_ONCE)
        .fetch_all(self.pool())
        .await?;
        let mut more = i64::try_from(chunks.len()).unwrap_or(i64::MAX) >= CHUNKS_AT_ONCE;
        let mut bytes = 0;
        let last = chunks.len();
        for (index, chunk) in chunks.into_iter().enumerate() {
            bytes += self.log_chunk(chunk, part).await;
            if bytes >= PART_BYTES && index + 1 < last {
                more = true;
                break;
            }
        }
        // A short log travels with its report: it is the last chunk, or the only one.
        if !more && let Some(log) = &piece.log {
            let first = self.log_lines_before(run, task, map_index, piece.token).await?;
            part.add(first, log);
        }
        Ok(more)
    }

    /// Adds a chunk's lines; returns how many bytes these are.
    async fn log_chunk(&self, chunk: Chunk, part: &mut LogPart) -> usize {
        let lz4 = match (chunk.lz4, chunk.object, &self.storage) {
            (Some(lz4), ..) => Ok(lz4),
            (None, Some(object), Some(storage)) => storage
                .get(&object)
                .await
                .map_err(|error| format!("{:#}", anyhow::Error::from(error))),
            (None, Some(_), None) => {
                Err("they lie under the storage URL: name it with SUBAK_STORAGE".to_owned())
            }
            (None, None, _) => Err(chunk.problem.unwrap_or_default()),
        };
        match lz4 {
            Ok(lz4) => part.add(chunk.first_line, &lz4),
            Err(why) => {
                let (from, to) = (chunk.first_line + 1, chunk.first_line + chunk.lines);
                let note = format!("[lines {from} to {to} cannot be shown: {why}]");
                part.lines.push(note.into_bytes());
                part.next.line = chunk.first_line + chunk.lines;
                0
            }
        }
    }

    /// How many lines the chunks of a token hold.
    async fn log_lines_before(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
        token: i64,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT greatest(
                 (SELECT max(first_line + lines) FROM log_chunk
                  WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4),
                 (SELECT max(first_line + lines) FROM log_spill
                  WHERE run_key = $1 AND task = $2 AND map_index = $3 AND token = $4),
                 0)",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .bind(token)
        .fetch_one(self.pool())
        .await?)
    }
}

impl LogPart {
    /// Adds the lines of a chunk that lie at or after the cursor; returns the size of the chunk.
    fn add(&mut self, first_line: i64, lz4: &[u8]) -> usize {
        let text = decompress(lz4);
        let bytes = text.len();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        for (at, line) in (first_line..).zip(text.split(|byte| *byte == b'\n')) {
            if at >= self.next.line {
                self.lines.push(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
                self.next.line = at + 1;
            }
        }
        bytes
    }
}

fn line_count(text: &[u8]) -> i64 {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    i64::try_from(text.split(|byte| *byte == b'\n').count()).unwrap_or(i64::MAX)
}

/// Returns a chunk's text, or a line that says that it is broken: the rest of the log still shows.
pub(crate) fn decompress(lz4: &[u8]) -> Vec<u8> {
    let size = lz4.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    if size > CHUNK_BYTES_MOST {
        return b"(a part of this log cannot be read)".to_vec();
    }
    lz4_flex::block::decompress_size_prepended(lz4)
        .ok()
        .filter(|text| text.len() == size)
        .unwrap_or_else(|| b"(a part of this log cannot be read)".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_on_where_the_last_one_ended() {
        let chunk = lz4_flex::block::compress_prepend_size(b"one\ntwo\r\nthr\xffee\n");
        let mut part =
            LogPart { lines: vec![], next: LogCursor { token: 7, line: 1 }, more: false };
        part.add(0, &chunk);
        assert_eq!(part.lines, [b"two".to_vec(), b"thr\xffee".to_vec()]);
        assert_eq!(part.next, LogCursor { token: 7, line: 3 });
        part.add(0, &chunk);
        assert_eq!(part.lines.len(), 2);
    }

    #[test]
    fn a_broken_chunk_is_said_to_be_broken() {
        assert_eq!(decompress(&[255; 9]), decompress(&[9, 0, 0, 0, 1]));
    }

    #[test]
    fn cursors_survive_the_wire() {
        let cursor = LogCursor { token: 12, line: 3400 };
        assert_eq!(LogCursor::parse(&cursor.to_string()), Some(cursor));
        assert_eq!(LogCursor::parse("12"), None);
    }
}
