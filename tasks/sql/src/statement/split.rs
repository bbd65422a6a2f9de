//! Splits SQL text into statements, as `psql` does.

/// A statement within the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// From its first word to before its semicolon.
    pub(crate) sql: &'a str,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
}

impl Piece<'_> {
    /// Its words outside quotes and comments, in capitals, as far as they are asked for.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let mut scanner = Scanner { text: self.sql, at: 0 };
        std::iter::from_fn(move || {
            loop {
                match scanner.next()? {
                    Token::Word(word) => return Some(word.to_ascii_uppercase()),
                    Token::Semicolon | Token::Other => {}
                }
            }
        })
    }
}

/// Splits at semicolons outside quotes, comments and bodies of SQL functions; empty ones are left out.
pub(crate) fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut scanner = Scanner { text, at: 0 };
    let mut start = None;
    let mut words = 0_u32;
    let mut creates = false;
    let mut depth = 0_u32;
    loop {
        let before = scanner.at;
        let token = scanner.next();
        match token {
            Some(Token::Semicolon) if depth > 0 => {}
            None | Some(Token::Semicolon) => {
                pieces.extend(start.map(|start| piece(text, start, before)));
                (start, words, creates, depth) = (None, 0, false, 0);
            }
            Some(Token::Word(word)) => {
                creates |= words == 0 && word.eq_ignore_ascii_case("create");
                words += 1;
                start.get_or_insert(scanner.at - word.len());
                if creates {
                    depth = body_depth(depth, word);
                }
            }
            Some(Token::Other) => {
                start.get_or_insert(before + scanner.skipped(before));
            }
        }
        if token.is_none() {
            return pieces;
        }
    }
}

/// Follows `BEGIN ATOMIC … END` of a function and the `CASE … END` in it.
fn body_depth(depth: u32, word: &str) -> u32 {
    match word.to_ascii_lowercase().as_str() {
        "begin" => depth + 1,
        "case" if depth > 0 => depth + 1,
        "end" => depth.saturating_sub(1),
        _ => depth,
    }
}

fn piece(text: &str, start: usize, end: usize) -> Piece<'_> {
    Piece { sql: text[start..end].trim_end(), start }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Semicolon,
    /// A quoted text, a number or a sign.
    Other,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Returns the next token after white space and comments.
    fn next(&mut self) -> Option<Token<'a>> {
        self.at += self.skipped(self.at);
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let (length, token) = match first {
            ';' => (1, Token::Semicolon),
            '"' => (quoted(rest, '"', false), Token::Other),
            '\'' => (quoted(rest, '\'', false), Token::Other),
            'e' | 'E' if rest[1..].starts_with('\'') => {
                (1 + quoted(&rest[1..], '\'', true), Token::Other)
            }
            '$' => (dollar_quoted(rest), Token::Other),
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                (length, Token::Word(&rest[..length]))
            }
            c => (c.len_utf8(), Token::Other),
        };
        self.at += length;
        Some(token)
    }

    /// Length of white space and comments from `at` on.
    fn skipped(&self, at: usize) -> usize {
        let text = &self.text[at..];
        let mut length = 0;
        loop {
            let rest = &text[length..];
            let blank = rest.len() - rest.trim_start().len();
            let comment = match () {
                () if rest[blank..].starts_with("--") => {
                    rest[blank..].find('\n').unwrap_or(rest.len() - blank)
                }
                () if rest[blank..].starts_with("/*") => comment_length(&rest[blank..]),
                () => 0,
            };
            length += blank + comment;
            if comment == 0 {
                return length;
            }
        }
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len())
}

/// Length of a quoted text; a doubled quote stands for itself, and so does one after a backslash.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let escapes = match c {
            '\\' => backslash,
            c => c == quote && chars.peek().is_some_and(|(_, next)| *next == quote),
        };
        if escapes {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Length of `$tag$…$tag$`, or of a lone `$` as in `$1`.
fn dollar_quoted(text: &str) -> usize {
    let tag_length = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let Some(tag_length) = tag_length.filter(|length| text[1 + length..].starts_with('$')) else {
        return 1;
    };
    if text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    let tag = &text[..tag_length + 2];
    text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len())
}

/// Length of a comment, nested ones included.
fn comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let pieces = split(text);
        let statements: Vec<&str> = pieces.iter().map(|piece| piece.sql).collect();
        assert_eq!(statements, expected, "{text}");
        for piece in pieces {
            assert!(text[piece.start..].starts_with(piece.sql), "{text}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        check("", &[]);
        check(" ; ;-- nothing\n", &[]);
        check("SELECT 1", &["SELECT 1"]);
        check("SELECT 1;SELECT 2 ; ", &["SELECT 1", "SELECT 2"]);
        check("SELECT ';', \";\" ; x", &["SELECT ';', \";\"", "x"]);
        check("SELECT 'it''s;'; y", &["SELECT 'it''s;'", "y"]);
        check(r"SELECT E'\';'; y", &[r"SELECT E'\';'", "y"]);
        check("-- a;\nSELECT /* ; /* ; */ ; */ 1; -- b", &["SELECT /* ; /* ; */ ; */ 1"]);
        check("DO $$ a; b $$; SELECT $1;", &["DO $$ a; b $$", "SELECT $1"]);
        check("DO $f$ $$;$$ $f$; z", &["DO $f$ $$;$$ $f$", "z"]);
        check("(SELECT 1); 2", &["(SELECT 1)", "2"]);
        check("SELECT 'offen", &["SELECT 'offen"]);
        check("SELECT 'é€'; ü", &["SELECT 'é€'", "ü"]);
    }

    #[test]
    fn a_function_s_body_is_one_statement() {
        let text = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; \
                    SELECT CASE WHEN true THEN 2 END; END; SELECT f()";
        let pieces = split(text);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1].sql, "SELECT f()");
    }

    #[test]
    fn words_are_read_past_comments() {
        let pieces = split("/* x */ start -- y\n transaction 'z'");
        assert_eq!(pieces[0].words().collect::<Vec<_>>(), ["START", "TRANSACTION"]);
    }
}
