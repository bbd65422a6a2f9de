//! Dead letters: the list, and one of them.

use askama::Template;
use subak_core::hex;

use crate::badge::Badge;
use crate::format::{Stamp, bytes};
use crate::frame::Frame;
use crate::pager::Pager;
use crate::render;
use crate::text::Text;

/// Bytes of a record that a page shows: of text, and of what is none.
const TEXT_MOST: usize = 64 << 10;
const BYTES_MOST: usize = 4 << 10;

/// The list.
#[derive(Debug, Template)]
#[template(path = "letters.html")]
pub struct LettersPage<'a> {
    pub frame: Frame<'a>,
    pub filter: LetterFilter,
    /// Where its changes come from.
    pub events: String,
    pub live: LettersLive<'a>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "letters_live.html")]
pub struct LettersLive<'a> {
    pub frame: Frame<'a>,
    pub filter: LetterFilter,
    pub rows: Vec<LetterRow>,
    pub pager: Pager,
    /// Some of them are open, and the viewer may start runs.
    pub can_act: bool,
}

/// What is looked for; empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    pub dag: String,
    pub run: String,
    pub task: String,
    pub reason: String,
    pub state: String,
}

/// A dead letter in the list.
#[derive(Debug, Clone)]
pub struct LetterRow {
    pub href: String,
    pub place: String,
    pub dag_id: String,
    pub task: String,
    pub task_href: Option<String>,
    /// The first one.
    pub reason: String,
    pub more: Option<String>,
    pub badge: Badge,
    pub when: Stamp,
}

/// The page of one.
#[derive(Debug, Template)]
#[template(path = "letter.html")]
pub struct LetterPage<'a> {
    pub frame: Frame<'a>,
    pub place: String,
    pub badge: Badge,
    pub dag_id: String,
    pub dag_href: String,
    /// Its name and address.
    pub run: Option<(String, String)>,
    pub task: String,
    pub task_href: Option<String>,
    pub try_number: String,
    pub size: String,
    pub when: Stamp,
    /// Name and address of the run that takes it again, or did.
    pub replay_run: Option<(String, String)>,
    /// The dead letter that it was before, and the one that it became.
    pub replay_of: Option<(String, String)>,
    pub replayed_as: Option<(String, String)>,
    /// Its id, where it can be replayed or dismissed.
    pub open_id: Option<i64>,
    pub reasons: Vec<String>,
    pub record: RecordView,
}

/// A record to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    pub text: String,
    pub is_text: bool,
    /// What is not shown of it.
    pub cut: Option<String>,
}

impl LetterFilter {
    /// Whether anything is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks for some of those that are open, not for all.
    #[must_use]
    pub fn chooses(&self) -> bool {
        [&self.dag, &self.run, &self.task, &self.reason].iter().any(|text| !text.trim().is_empty())
    }
}

impl RecordView {
    /// A record as text, or as its bytes.
    #[must_use]
    pub fn new(record: &[u8], t: &Text) -> Self {
        let whole = std::str::from_utf8(record).ok();
        let text = whole.map(|text| text[..text.floor_char_boundary(TEXT_MOST)].to_owned());
        let shown = text.as_ref().map_or(record.len().min(BYTES_MOST), String::len);
        let cut = (shown < record.len()).then(|| t.fill(t.record_cut, bytes(shown as u64)));
        let is_text = text.is_some();
        Self { text: text.unwrap_or_else(|| hex::dump(&record[..shown])), is_text, cut }
    }
}

/// Where a record was, in words.
#[must_use]
pub fn place(source: &str, partition: i32, position: i64, is_of_topic: bool, t: &Text) -> String {
    if is_of_topic {
        // From behind: the source may hold anything.
        let pattern = t.letter_of_topic.replacen("{}", "\0", 1);
        let pattern = t.fill(&t.fill(&pattern, partition), position);
        pattern.replacen('\0', source, 1)
    } else {
        let pattern = t.letter_of_file.replacen("{}", "\0", 1);
        t.fill(&pattern, position).replacen('\0', source, 1)
    }
}

impl LettersPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl LettersLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl LetterPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ENGLISH;

    #[test]
    fn a_place_is_told_as_what_it_is() {
        assert_eq!(place("sales", 3, 12, true, &ENGLISH), "sales, partition 3, offset 12");
        assert_eq!(place("{}.csv", 0, 12, false, &ENGLISH), "{}.csv, line 12");
    }

    #[test]
    fn a_record_is_text_or_bytes_and_never_endless() {
        let view = |record: &[u8]| RecordView::new(record, &ENGLISH);
        let text = view("ä,1".as_bytes());
        assert_eq!((&*text.text, text.is_text, text.cut), ("ä,1", true, None));
        let bytes = view(b"\xff\xfe");
        assert!(!bytes.is_text && bytes.text.starts_with("00000000  ff fe"), "{bytes:?}");
        let long = view("ä".repeat(TEXT_MOST).as_bytes());
        assert_eq!(long.text.len(), TEXT_MOST);
        assert_eq!(long.cut.unwrap(), "Only the first 65.5 kB are shown; the API has all of it.");
        assert!(view(&[0xff; 5000]).cut.is_some());
        assert_eq!(view(b"").text, "");
    }
}
