//! Makes whole, readable lines of a process's bytes.

/// The longest line, its newline included; what is beyond is cut, visibly.
pub(crate) const LINE_LIMIT: usize = 64 * 1024;
const CUT: &str = "… [line cut at 64 KiB]";

/// The line being read.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Reads `bytes` and hands each line that they complete to `take`, without its newline.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&str)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            if self.open.is_empty() && !self.is_cut && end + 1 < LINE_LIMIT - CUT.len() {
                take(&readable(&bytes[..end]));
            } else {
                self.extend(&bytes[..end]);
                self.end(&mut take);
            }
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// Hands over a last line that has no newline.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(&str)) {
        if !self.open.is_empty() {
            self.end(&mut take);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = (LINE_LIMIT - 1 - CUT.len()).saturating_sub(self.open.len());
        self.is_cut |= bytes.len() > room;
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self, take: &mut impl FnMut(&str)) {
        if self.is_cut {
            // Within the limit also where invalid bytes grow as they are made visible.
            let mut line = readable(&self.open).into_owned();
            line.truncate(line.floor_char_boundary(LINE_LIMIT - 1 - CUT.len()));
            take(&(line + CUT));
        } else {
            let line = readable(&self.open);
            take(&line[..line.floor_char_boundary(LINE_LIMIT - 1)]);
        }
        self.open.clear();
        self.is_cut = false;
    }
}

/// Makes invalid UTF-8 and NUL visible, and drops the carriage return of a foreign line end.
fn readable(line: &[u8]) -> std::borrow::Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| seen.push(line.to_owned()));
        }
        lines.finish(|line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(lines(&[b"a\nb", b"c\r\n", b"\n", b"d"]), ["a", "bc", "", "d"]);
    }

    #[test]
    fn invalid_bytes_are_visible() {
        assert_eq!(lines(&[b"a\xffb\0c\n"]), ["a\u{FFFD}b\u{FFFD}c"]);
        assert_eq!(lines(&[b"caf\xc3", b"\xa9\n"]), ["café"]);
    }

    #[test]
    fn long_lines_are_cut_visibly() {
        for byte in [b'x', 0xff] {
            let long = vec![byte; 3 * LINE_LIMIT];
            let seen = lines(&[&long, b"tail\nnext\n"]);
            assert_eq!(seen.len(), 2);
            assert!(seen[0].ends_with(CUT) && seen[0].len() < LINE_LIMIT);
            assert_eq!(seen[1], "next");
        }
    }
}
