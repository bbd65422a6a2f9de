//! Looking for a text in the whole log of a try, however long it is.

use subak_core::ids::{MapIndex, RunKey};
use subak_store::read::{LogCursor, LogPart};
use subak_store::{Store, StoreError};
use subak_web::log::plain;

/// Bytes read for one answer, give or take a part; the answer says where to go on.
const BYTES_MOST: usize = 16 << 20;
/// Of a line that is found this many characters are shown, some of them before what was looked for.
const SHOWN_CHARS: usize = 300;
const BEFORE_CHARS: usize = 80;
/// No log has more lines, whatever an address says.
const LINES_MOST: u64 = 1 << 52;

/// Whose log it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TryLog {
    pub(crate) run: RunKey,
    pub(crate) task: i32,
    pub(crate) map_index: MapIndex,
    pub(crate) try_number: i32,
}

/// A line of a log, and where reading begins to come to it soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) from: LogCursor,
    /// The number of the line at `from`; the log's first line is 1.
    pub(crate) number: u64,
    /// The line; 0 is before the first one.
    pub(crate) line: u64,
}

/// A line that has the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) place: Place,
    /// What of the line is around the text.
    pub(crate) text: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// The last line that was looked at, if there may be more after it.
    pub(crate) next: Option<Place>,
}

impl TryLog {
    /// Whether there is such a try, whatever it has written.
    pub(crate) async fn exists(self, store: &Store) -> Result<bool, StoreError> {
        store.try_exists(self.run, self.task, self.map_index, self.try_number).await
    }

    /// Returns the next lines after `from`.
    pub(crate) async fn read(self, store: &Store, from: LogCursor) -> Result<LogPart, StoreError> {
        store.log_read(self.run, self.task, self.map_index, self.try_number, from).await
    }

    /// Returns the first `most` lines after a place that have a text, in whichever case it is written.
    pub(crate) async fn find(
        self,
        store: &Store,
        text: &str,
        after: Place,
        most: usize,
    ) -> Result<Found, StoreError> {
        let wanted = text.to_lowercase();
        let (mut from, mut number, mut bytes) = (after.from, after.number, 0);
        let mut found = Found::default();
        loop {
            let part = self.read(store, from).await?;
            for (line, said) in (number..).zip(&part.lines) {
                bytes += said.len();
                if line <= after.line {
                    continue;
                }
                let Some(text) = look(&plain(said), &wanted) else { continue };
                let place = Place { from, number, line };
                found.hits.push(Hit { place, text });
                if found.hits.len() >= most {
                    found.next = Some(place);
                    return Ok(found);
                }
            }
            number += part.lines.len() as u64;
            from = part.next;
            if !part.more {
                return Ok(found);
            }
            if bytes >= BYTES_MOST {
                found.next = Some(Place { from, number, line: number.saturating_sub(1) });
                return Ok(found);
            }
        }
    }
}

/// Returns what is around a text that is in lower case, if the line has it.
fn look(line: &str, wanted: &str) -> Option<String> {
    let lower = line.to_lowercase();
    let at = lower.find(wanted)?;
    // Few letters have another length in lower case: what is shown may be a little off then.
    let skipped = lower[..at].chars().count().saturating_sub(BEFORE_CHARS);
    let mut rest = line.chars().skip(skipped);
    let mut shown = if skipped > 0 { "…".to_owned() } else { String::new() };
    shown.extend(rest.by_ref().take(SHOWN_CHARS));
    if rest.next().is_some() {
        shown.push('…');
    }
    Some(shown)
}

impl Place {
    /// The beginning of a log.
    pub(crate) const FIRST: Self =
        Self { from: LogCursor { token: 0, line: 0 }, number: 1, line: 0 };

    /// Returns the place that [`Display`](std::fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let from = LogCursor::parse(parts.next()?)?;
        let mut number = || parts.next()?.parse::<u64>().ok().filter(|it| *it <= LINES_MOST);
        let (number, line) = (number()?, number()?);
        Some(Self { from, number, line })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.from, self.number, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let from = LogCursor { token: 81, line: 12 };
        let place = Place { from, number: 13, line: 57 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        assert_eq!(Place::parse(&Place::FIRST.to_string()), Some(Place::FIRST));
        for odd in ["", "81.12", "81.12-13", "81.12-13-x", "81.12-13-18446744073709551615"] {
            assert_eq!(Place::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_around_a_text_is_shown_in_whichever_case_it_is() {
        assert_eq!(look("Rows: 12", "rows").as_deref(), Some("Rows: 12"));
        assert_eq!(look("Ärger", "är").as_deref(), Some("Ärger"));
        assert_eq!(look("rows", "row:"), None);
        let long = format!("{}NEEDLE{}", "ä".repeat(1_000), "b".repeat(1_000));
        let shown = look(&long, "needle").unwrap();
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains("äNEEDLEb"));
        assert_eq!(shown.chars().count(), SHOWN_CHARS + 2);
    }
}
