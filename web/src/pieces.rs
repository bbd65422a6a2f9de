//! Markup in pieces: of a page that is open only those are sent that have changed.
//!
//! A template writes `<!--id-->` before an element of this id and `<!---->` behind it. Nothing that came
//! from somebody can do so, as it is escaped. Pieces do not hold each other.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

/// Ids of rows begin so. Rows of a table come, go, and change places; other pieces stay.
const ROW: &str = "row-";
/// The id of what holds the rows.
const ROWS: &str = "rows";
const END: &str = "<!---->";

/// A part of a page.
#[derive(Debug, Default)]
pub struct Pieces {
    /// All of it, without marks.
    whole: String,
    /// What is outside the pieces, and which there are; of rows that follow each other only that there
    /// are some.
    frame: String,
    pieces: Vec<Piece>,
    /// How often rows begin that follow each other.
    blocks: usize,
}

#[derive(Debug)]
struct Piece {
    id: String,
    place: Range<usize>,
}

impl Piece {
    fn is_row(&self) -> bool {
        self.id.starts_with(ROW)
    }
}

impl Pieces {
    /// Cuts what a template has marked.
    #[must_use]
    pub fn cut(markup: &str) -> Self {
        let mut cut = Self { whole: String::with_capacity(markup.len()), ..Self::default() };
        let mut rest = markup;
        while let Some((before, id, piece, after)) = first(rest) {
            cut.add(before, id, piece);
            rest = after;
        }
        cut.whole.push_str(rest);
        cut.frame.push_str(rest);
        cut
    }

    fn add(&mut self, before: &str, id: &str, piece: &str) {
        let follows_row = before.is_empty() && self.pieces.last().is_some_and(Piece::is_row);
        self.whole.push_str(before);
        self.frame.push_str(before);
        let from = self.whole.len();
        self.whole.push_str(piece);
        let piece = Piece { id: id.to_owned(), place: from..self.whole.len() };
        if !piece.is_row() {
            self.frame.push_str(id);
        } else if !follows_row {
            self.frame.push_str(ROW);
            self.blocks += 1;
        }
        self.pieces.push(piece);
    }

    /// Whether there are pieces.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Returns all of it.
    #[must_use]
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Returns all of it.
    #[must_use]
    pub fn into_whole(self) -> String {
        self.whole
    }

    /// Returns what makes this of a page that shows `before`. `None`: all of it has to be sent, or is
    /// less.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<String> {
        if self.frame != before.frame {
            return None;
        }
        let mut out = String::new();
        morph(&before.others(), &self.others(), &mut out);
        let (rows, old_rows) = (self.rows(), before.rows());
        if rows.iter().map(|it| it.0).eq(old_rows.iter().map(|it| it.0)) {
            morph(&old_rows, &rows, &mut out);
        } else if self.blocks == 1 {
            rearrange(&old_rows, &rows, &mut out)?;
        } else {
            return None;
        }
        (out.len() < self.whole.len()).then_some(out)
    }

    /// Ids and markup of the rows.
    fn rows(&self) -> Vec<(&str, &str)> {
        self.list(Piece::is_row)
    }

    /// Ids and markup of the other pieces.
    fn others(&self) -> Vec<(&str, &str)> {
        self.list(|piece| !piece.is_row())
    }

    fn list(&self, is_wanted: impl Fn(&Piece) -> bool) -> Vec<(&str, &str)> {
        let wanted = self.pieces.iter().filter(|piece| is_wanted(piece));
        wanted.map(|piece| (&*piece.id, self.whole[piece.place.clone()].trim())).collect()
    }
}

/// The first piece of a text: what is before it, its id, itself, what is behind it.
fn first(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once("<!--")?;
    let (id, rest) = rest.split_once("-->")?;
    let (piece, after) = rest.split_once(END)?;
    Some((before, id, piece, after))
}

/// Changes, in their places, those of the same pieces that differ.
fn morph(old: &[(&str, &str)], new: &[(&str, &str)], out: &mut String) {
    for (_, (id, markup)) in old.iter().zip(new).filter(|(old, new)| old.1 != new.1) {
        swap(id, "outerMorph", markup, out);
    }
}

/// Takes rows away that went, moved or changed, and puts those that are new behind the row that they
/// follow. `None`: rows that are as they were have changed places.
fn rearrange(old: &[(&str, &str)], new: &[(&str, &str)], out: &mut String) -> Option<()> {
    let were: HashMap<&str, &str> = old.iter().copied().collect();
    let stay: Vec<&str> =
        new.iter().filter(|(id, row)| were.get(id) == Some(row)).map(|it| it.0).collect();
    let stays: HashSet<&str> = stay.iter().copied().collect();
    if !old.iter().map(|it| it.0).filter(|id| stays.contains(id)).eq(stay) {
        return None;
    }
    for (id, _) in old.iter().filter(|(id, _)| !stays.contains(id)) {
        swap(id, "delete", "", out);
    }
    // The page finds all places before it changes anything: rows that follow each other are one change.
    let (mut follows, mut come) = (None, String::new());
    for (id, row) in new {
        if stays.contains(id) {
            put(follows.replace(*id), &mut come, out);
        } else {
            come.push_str(row);
        }
    }
    put(follows, &mut come, out);
    Some(())
}

fn put(follows: Option<&str>, rows: &mut String, out: &mut String) {
    let rows = std::mem::take(rows);
    match follows {
        _ if rows.is_empty() => {}
        Some(id) => swap(id, "afterend", &rows, out),
        None => swap(ROWS, "afterbegin", &rows, out),
    }
}

fn swap(id: &str, how: &str, markup: &str, out: &mut String) {
    let _infallible =
        write!(out, "<hx-partial hx-target=\"#{id}\" hx-swap=\"{how}\">{markup}</hx-partial>");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head, and a table with a row for each word: its id, then its content.
    fn page(head: &str, rows: &[&str]) -> Pieces {
        let mut text = format!("<!--head--><h1 id=\"head\">{head}</h1><!----><tbody id=\"rows\">");
        for row in rows {
            let id = &row[..1];
            text += &format!("<!--row-{id}--><tr id=\"row-{id}\">{row} as it is</tr><!---->");
        }
        Pieces::cut(&(text + "</tbody>"))
    }

    fn since(before: &Pieces, after: &Pieces) -> String {
        let sent = after.since(before).unwrap();
        sent.replace("<hx-partial hx-target=\"#", "\n").replace("</hx-partial>", "")
    }

    #[test]
    fn marks_are_no_part_of_the_page() {
        let page = page("a", &["x1", "y1"]);
        assert_eq!(
            page.whole(),
            "<h1 id=\"head\">a</h1><tbody id=\"rows\"><tr id=\"row-x\">x1 as it is</tr>\
             <tr id=\"row-y\">y1 as it is</tr></tbody>"
        );
        assert_eq!(Pieces::cut("no <b>marks</b>").whole(), "no <b>marks</b>");
    }

    #[test]
    fn only_what_changed_is_sent() {
        let before = page("a", &["u1", "v1", "w1", "x1", "y1", "z1"]);
        assert_eq!(since(&before, &before), "");
        let after = page("b", &["u1", "v1", "w1", "x1", "y2", "z1"]);
        assert_eq!(
            since(&before, &after),
            "\nhead\" hx-swap=\"outerMorph\"><h1 id=\"head\">b</h1>\
             \nrow-y\" hx-swap=\"outerMorph\"><tr id=\"row-y\">y2 as it is</tr>"
        );
    }

    #[test]
    fn rows_come_go_and_change_places() {
        let stay = ["k1", "l1", "m1", "n1", "o1", "p1", "q1", "r1", "s1", "t1", "u1", "v1"];
        let rows = |before: &[&'static str], after: &[&'static str]| {
            page("a", &[before, &stay[..], after].concat())
        };
        assert_eq!(
            since(&rows(&["x1"], &["y1"]), &rows(&["y2", "z1"], &["x2"])),
            "\nrow-x\" hx-swap=\"delete\">\nrow-y\" hx-swap=\"delete\">\
             \nrows\" hx-swap=\"afterbegin\"><tr id=\"row-y\">y2 as it is</tr>\
             <tr id=\"row-z\">z1 as it is</tr>\
             \nrow-v\" hx-swap=\"afterend\"><tr id=\"row-x\">x2 as it is</tr>"
        );
        assert_eq!(since(&rows(&["x1"], &[]), &rows(&[], &[])), "\nrow-x\" hx-swap=\"delete\">");
        // What is as it was cannot have moved: somebody ordered the rows by something else.
        assert!(rows(&[], &["x1"]).since(&rows(&["x1"], &[])).is_none());
    }

    #[test]
    fn where_too_much_differs_all_is_sent() {
        let before = page("a", &["x1", "y1"]);
        assert!(page("a", &["y1", "x1"]).since(&before).is_none());
        assert!(page("b", &["x2", "y2"]).since(&before).is_none(), "it is less");
        assert!(page("a", &[]).since(&before).is_none());
        assert!(Pieces::cut("<p>gone</p>").since(&before).is_none());
    }
}
