//! What is wrong with a DAG file, and where: one line, the place in the file, and what to do.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;

use super::page::Page;

/// One error of a DAG file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// What explains it.
    pub page: Page,
    /// The line of the file with a caret below the place; empty where there is none to show.
    pub snippet: String,
}

impl Diagnostic {
    /// `file:line:column: message`, without the snippet.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        if !self.snippet.is_empty() {
            write!(f, "\n{}", self.snippet)?;
        }
        let margin = " ".repeat(self.line.to_string().len());
        write!(f, "\n{margin} = see {}", self.page.path())
    }
}

/// A place in the file's text. `start` and `len` are bytes; `len` 0 means one character is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct At {
    pub line: u32,
    pub column: u32,
    pub start: u32,
    pub len: u32,
}

/// Collects the diagnostics of one file.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    found: RefCell<Vec<(At, String, Page)>>,
}

/// More than this many errors of one file help nobody.
const MAX_SHOWN: usize = 200;

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: RefCell::default() }
    }

    /// Adds an error.
    pub(crate) fn error(&self, page: Page, at: At, message: impl Into<String>) {
        self.found.borrow_mut().push((at, message.into(), page));
    }

    /// How many errors there are so far.
    pub(crate) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// The place of `needle` within the text at `at`: templates and lists inside one scalar.
    pub(crate) fn within(&self, at: At, needle: &str) -> At {
        let (from, to) = (at.start as usize, at.start as usize + at.len as usize);
        let Some(offset) = self.text.get(from..to).and_then(|text| text.find(needle)) else {
            return at;
        };
        let before = &self.text[..from + offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        At {
            line: at.line + u32_of(self.text[from..from + offset].matches('\n').count()),
            column: u32_of(before[line_start..].chars().count()) + 1,
            start: u32_of(from + offset),
            len: u32_of(needle.len()),
        }
    }

    /// The place of one blank-separated word of the scalar `text` at `at`; all of it if it is not
    /// one of them.
    pub(crate) fn field_within(&self, at: At, text: &str, word: &str) -> At {
        let (from, to) = (at.start as usize, at.start as usize + at.len as usize);
        let Some(shown) = self.text.get(from..to).filter(|shown| shown.contains(text.trim()))
        else {
            return at;
        };
        let Some(index) = text.split_whitespace().position(|found| found == word) else {
            return at;
        };
        let begin = shown.find(text.trim()).unwrap_or(0);
        let mut words = shown[begin..].split_whitespace();
        let Some(offset) =
            words.nth(index).map(|found| found.as_ptr().addr() - shown.as_ptr().addr())
        else {
            return at;
        };
        let before = &shown[..offset];
        if before.contains('\n') {
            return at;
        }
        At {
            column: at.column + u32_of(before.chars().count()),
            start: at.start + u32_of(offset),
            len: u32_of(word.len()),
            ..at
        }
    }

    /// All errors in the file's order, each once.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by(|(a, left, _), (b, right, _)| {
            (a.line, a.column, left).cmp(&(b.line, b.column, right))
        });
        found.dedup_by(|(a, left, _), (b, right, _)| (a, left) == (b, right));
        let hidden = found.len().saturating_sub(MAX_SHOWN);
        found.truncate(MAX_SHOWN);
        if hidden > 0 {
            let last = found.last().map(|(at, _, page)| (*at, *page));
            let (at, page) = last.unwrap_or((At::default(), Page::Size));
            found.push((at, format!("and {hidden} more errors like these"), page));
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let diagnostic = |(at, message, page): (At, String, Page)| Diagnostic {
            file: self.file.to_owned(),
            line: at.line.max(1),
            column: at.column.max(1),
            snippet: snippet(&lines, at, self.text),
            message,
            page,
        };
        found.into_iter().map(diagnostic).collect()
    }
}

/// The line with a caret below the place; a very long line is cut around it.
fn snippet(lines: &[&str], at: At, text: &str) -> String {
    const WIDTH: usize = 100;
    let Some(line) = at.line.checked_sub(1).and_then(|index| lines.get(index as usize)) else {
        return String::new();
    };
    let column = at.column.saturating_sub(1) as usize;
    let cut = if column > WIDTH { column - WIDTH / 2 } else { 0 };
    // Tabs and control characters would move the caret.
    let shown: String =
        line.chars().skip(cut).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let marked = text
        .get(at.start as usize..(at.start + at.len) as usize)
        .map_or(1, |marked| marked.lines().next().unwrap_or("").trim_end().chars().count());
    let room = shown.chars().count().saturating_sub(column - cut);
    let carets = "^".repeat(marked.min(room).max(1));
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(column - cut);
    format!("{margin} |\n{number} | {}\n{margin} | {indent}{carets}", shown.trim_end())
}

pub(crate) fn u32_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
