//! Lists of names: what is looked for in them, and which part is shown.

use serde::Deserialize;
use subak_store::read::{Page, TextFilter};
use subak_web::pager::{Find, Pager};
use subak_web::url::encode;

/// Rows of one page.
pub(super) const PAGE: i64 = 50;

/// What an address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct NameQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    offset: i64,
}

impl NameQuery {
    pub(super) fn new(name: &str, offset: i64) -> Self {
        Self { name: name.to_owned(), offset }
    }

    pub(super) fn wanted(&self) -> TextFilter {
        TextFilter::containing(self.name.trim())
    }

    pub(super) fn offset(&self) -> i64 {
        self.offset.max(0)
    }

    /// The part of a list that is in memory.
    pub(super) fn part<T>(&self, mut all: Vec<T>, name: impl Fn(&T) -> &str) -> Page<T> {
        let wanted = self.wanted();
        all.retain(|it| wanted.takes(name(it)));
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let from = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
        Page { items: all.into_iter().skip(from).take(most).collect(), total }
    }

    /// Whether something is looked for.
    pub(super) fn is_searched(&self) -> bool {
        !self.name.trim().is_empty()
    }

    /// The list as it is asked for, below an address.
    pub(super) fn address(&self, at: &str) -> String {
        format!("{at}?name={}&offset={}", encode(self.name.trim()), self.offset())
    }

    /// The field and the links of a list at this address.
    pub(super) fn ways(&self, here: &str, shown: usize, total: i64) -> (Find, Pager) {
        let name = self.name.trim();
        let find = Find {
            action: here.to_owned(),
            name: name.to_owned(),
            is_shown: total > 0 || !name.is_empty(),
        };
        (
            find,
            self.pager(shown, total, |offset| {
                format!("{here}?name={}&offset={offset}", encode(name))
            }),
        )
    }

    /// The links alone.
    pub(super) fn pager(&self, shown: usize, total: i64, address: impl Fn(i64) -> String) -> Pager {
        Pager::new(self.offset(), shown, total, PAGE, address)
    }
}

/// The part of a list in memory that starts at an offset, and its links.
pub(super) fn part<T>(
    all: Vec<T>,
    offset: i64,
    address: impl Fn(i64) -> String,
) -> (Vec<T>, Pager) {
    let every = NameQuery::new("", offset);
    let found = every.part(all, |_| "");
    let pager = every.pager(found.items.len(), found.total, address);
    (found.items, pager)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_searched_and_shown_in_parts() {
        let all: Vec<String> = (0..120).map(|n| format!("name_{n:03}")).collect();
        let query = NameQuery::new("", 50);
        let part = query.part(all.clone(), |it| it);
        assert_eq!((part.items.len(), &*part.items[0], part.total), (50, "name_050", 120));
        let (find, pager) = query.ways("/pools", part.items.len(), part.total);
        assert!(find.is_shown && find.action == "/pools");
        assert_eq!(pager.range, "51–100 / 120");
        assert_eq!(pager.next.as_deref(), Some("/pools?name=&offset=100"));
        let query = NameQuery::new(" E_11 ", 0);
        let part = query.part(all, |it| it);
        assert_eq!((part.items.len(), part.total), (10, 10));
        assert!(!query.ways("/pools", 10, 10).1.is_needed());
    }
}
