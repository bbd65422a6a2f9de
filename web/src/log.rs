//! Log lines as markup: text nodes, with the terminal's colours as classes and nothing else.

use std::fmt::Write as _;

use askama::Template;

use crate::render;
use crate::text::Text;

/// The lines of a log that have a text.
#[derive(Debug, Template)]
#[template(path = "log_search.html")]
pub struct LogSearch {
    pub t: &'static Text,
    pub title: String,
    pub hits: Vec<LogHit>,
    /// In words, and where the search goes on.
    pub more: Option<(String, String)>,
}

/// One of them.
#[derive(Debug)]
pub struct LogHit {
    pub number: u64,
    /// Where it is shown with the lines around it.
    pub href: String,
    pub text: String,
}

impl LogSearch {
    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl LogHit {
    /// Its text as markup.
    fn shown(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        push_text(&mut out, &self.text, Style::default());
        out
    }
}

/// Changes of looks in one line; what follows looks as text does. A page stays readable, and small,
/// whatever a task prints.
const SPANS_MOST: usize = 100;

/// Returns lines as markup: one element each, numbered from `first`.
#[must_use]
pub fn markup(lines: &[Vec<u8>], first: u64) -> String {
    // No line has the number.
    marked(lines, first, 0)
}

/// The same with a mark at one of them, to which `#line` leads.
#[must_use]
pub fn marked(lines: &[Vec<u8>], first: u64, mark: u64) -> String {
    let mut out = String::new();
    for (number, line) in (first..).zip(lines) {
        let mark = if number == mark { " hit\" id=\"line" } else { "" };
        let _infallible = write!(out, "<div class=\"l{mark}\"><i>{number}</i><span>");
        push_line(&mut out, &readable(line));
        out.push_str("</span></div>");
    }
    out
}

/// Returns a line as it is shown, without its looks.
#[must_use]
pub fn plain(line: &[u8]) -> String {
    let line = readable(line);
    let mut text = String::with_capacity(line.len());
    let mut rest = &*line;
    while let Some(at) = rest.find('\x1b') {
        text.push_str(&rest[..at]);
        rest = escape_sequence(&rest[at..]).1;
    }
    text.push_str(rest);
    text
}

/// Bytes that are not UTF-8 are shown as `\xNN`, other control characters as their pictures.
fn readable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _infallible = write!(text, "\\x{byte:02X}");
        }
    }
    // A progress bar that rewrites its line: what a terminal would show last.
    let end = text.trim_end_matches('\r').len();
    text.truncate(end);
    match text.rfind('\r') {
        Some(at) => text.split_off(at + 1),
        None => text,
    }
}

/// How text looks now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Style {
    colour: Option<u8>,
    background: Option<u8>,
    bold: bool,
    faint: bool,
}

impl Style {
    fn classes(self) -> String {
        let mut classes = String::new();
        if let Some(colour) = self.colour {
            let _infallible = write!(classes, "c{colour} ");
        }
        if let Some(background) = self.background {
            let _infallible = write!(classes, "g{background} ");
        }
        if self.bold {
            classes.push_str("b ");
        }
        if self.faint {
            classes.push_str("f ");
        }
        classes.truncate(classes.trim_end().len());
        classes
    }

    /// Takes a select-graphic-rendition code; those unknown change nothing.
    fn apply(&mut self, codes: &str) {
        let mut codes = codes.split(';').map(|code| code.parse::<u8>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                22 => (self.bold, self.faint) = (false, false),
                30..=37 => self.colour = Some(code - 30),
                90..=97 => self.colour = Some(code - 90 + 8),
                39 => self.colour = None,
                40..=47 => self.background = Some(code - 40),
                100..=107 => self.background = Some(code - 100 + 8),
                49 => self.background = None,
                // 256 and true colours: their arguments are not codes.
                38 | 48 => match codes.next() {
                    Some(5) => drop(codes.next()),
                    Some(2) => drop(codes.nth(2)),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

fn push_line(out: &mut String, line: &str) {
    let (mut style, mut spans) = (Style::default(), 0);
    let mut rest = line;
    while let Some(at) = rest.find('\x1b') {
        spans += usize::from(push_text(out, &rest[..at], style));
        let (codes, after) = escape_sequence(&rest[at..]);
        if spans >= SPANS_MOST {
            style = Style::default();
        } else if let Some(codes) = codes {
            style.apply(codes);
        }
        rest = after;
    }
    push_text(out, rest, style);
}

/// Splits an escape sequence off: its codes if it is about looks, and what follows.
fn escape_sequence(text: &str) -> (Option<&str>, &str) {
    if let Some(body) = text.strip_prefix("\x1b[") {
        let end = body.find(|c: char| ('\x40'..='\x7e').contains(&c));
        return match end {
            Some(end) => {
                let is_look = body.as_bytes()[end] == b'm';
                (is_look.then_some(&body[..end]), &body[end + 1..])
            }
            None => (None, ""),
        };
    }
    // A window title or a link: up to its end mark.
    if let Some(body) = text.strip_prefix("\x1b]") {
        let end = body.find(['\x07', '\x1b']).unwrap_or(body.len());
        let rest = &body[end..];
        let rest = rest.strip_prefix('\x07').or_else(|| rest.strip_prefix("\x1b\\"));
        return (None, rest.unwrap_or(""));
    }
    let mut chars = text.chars();
    chars.next();
    chars.next();
    (None, chars.as_str())
}

/// Returns whether it took an element.
fn push_text(out: &mut String, text: &str, style: Style) -> bool {
    if text.is_empty() {
        return false;
    }
    let classes = style.classes();
    if !classes.is_empty() {
        let _infallible = write!(out, "<span class=\"{classes}\">");
    }
    for c in text.chars() {
        push_char(out, c);
    }
    if !classes.is_empty() {
        out.push_str("</span>");
    }
    !classes.is_empty()
}

fn push_char(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\t' => out.push('\t'),
        // Control characters by their pictures; marks that turn text around by their number.
        '\0'..='\x1f' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
        '\x7f' => out.push('\u{2421}'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            let _infallible = write!(out, "\\u{{{:04X}}}", c as u32);
        }
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], markup_of_text: &str) {
        let all = markup(&[line.to_vec()], 1);
        let text = all.strip_prefix("<div class=\"l\"><i>1</i><span>").unwrap();
        assert_eq!(text.strip_suffix("</span></div>").unwrap(), markup_of_text);
    }

    #[test]
    fn a_log_line_is_text_whatever_it_holds() {
        check(b"rows: 12", "rows: 12");
        check(b"<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        check(b"caf\xc3\xa9 \xff\xfe", "café \\xFF\\xFE");
        check(b"a\0b\x07", "a\u{2400}b\u{2407}");
        check("safe\u{202e}evil".as_bytes(), "safe\\u{202E}evil");
        check(b" 10%\r 50%\r100%\r", "100%");
    }

    #[test]
    fn a_line_is_searched_as_it_is_shown_and_one_can_have_a_mark() {
        assert_eq!(plain(b"ro\x1b[1mws\x1b[0m: \xff12 \x1b]0;title\x07end\r"), "rows: \\xFF12 end");
        let lines = [b"a".to_vec(), b"b".to_vec()];
        let html = marked(&lines, 7, 8);
        assert!(html.contains("<div class=\"l hit\" id=\"line\"><i>8</i><span>b<"), "{html}");
        assert_eq!(html.matches("id=").count(), 1, "{html}");
    }

    #[test]
    fn colours_are_classes() {
        check(b"\x1b[1;31mred\x1b[0m plain", "<span class=\"c1 b\">red</span> plain");
        check(b"\x1b[38;5;200mx\x1b[38;2;1;2;3my\x1b[92mz", "xy<span class=\"c10\">z</span>");
        check(
            b"\x1b[97;44mx\x1b[49my\x1b[39;102mz",
            "<span class=\"c15 g4\">x</span>\
              <span class=\"c15\">y</span><span class=\"g10\">z</span>",
        );
        check(b"\x1b]0;title\x07shown\x1b]8;;http://x\x1b\\link", "shownlink");
        check(b"\x1b[2Jclean\x1b[", "clean");
        let bomb = markup(&["\x1b[31ma\x1b[42;1mb".repeat(10_000).into_bytes()], 1);
        assert_eq!(bomb.matches("<span").count(), SPANS_MOST + 1);
        assert!(bomb.len() < 20_000 + (SPANS_MOST + 2) * 40, "{} bytes", bomb.len());
        check(b"\x1b[31m\"><b>", "<span class=\"c1\">&quot;&gt;&lt;b&gt;</span>");
    }
}
