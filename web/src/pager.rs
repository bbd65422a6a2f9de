//! Links to the pages before and after the one shown, and the field by which a list is searched.

/// Where a list goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pager {
    /// `51–100 of 340`.
    pub range: String,
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// What is looked for in a list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Find {
    /// Where the list is.
    pub action: String,
    pub name: String,
    /// There is something to be found, or something was looked for.
    pub is_shown: bool,
}

impl Pager {
    /// Returns the pager of a list: `address` makes the link of the page that starts at an offset.
    #[must_use]
    pub fn new(
        offset: i64,
        shown: usize,
        total: i64,
        size: i64,
        address: impl Fn(i64) -> String,
    ) -> Self {
        let end = offset.saturating_add(i64::try_from(shown).unwrap_or(0));
        Self {
            range: format!("{}–{end} / {total}", offset.saturating_add(1).min(total)),
            previous: (offset > 0).then(|| address((offset - size).max(0))),
            next: (end < total).then(|| address(offset.saturating_add(size))),
        }
    }

    /// Whether there is more than this page.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.previous.is_some() || self.next.is_some()
    }
}

/// What a list is narrowed to, if it is none of what can be chosen: it is shown beside that.
pub(crate) fn unlisted<'a>(asked: &'a str, offered: &[impl AsRef<str>]) -> Option<&'a str> {
    let is_offered = offered.iter().any(|it| it.as_ref() == asked);
    (!asked.is_empty() && !is_offered).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_ask_for_what_there_is_not() {
        let pager = |offset, shown| Pager::new(offset, shown, 60, 50, |offset| offset.to_string());
        assert_eq!(pager(0, 50).range, "1–50 / 60");
        assert_eq!(pager(0, 50).next.as_deref(), Some("50"));
        assert!(pager(50, 10).next.is_none() && !pager(0, 60).is_needed());
        let beyond = pager(i64::MAX, 0);
        assert!(beyond.previous.is_some() && beyond.next.is_none());
    }
}
