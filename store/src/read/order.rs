//! What lists are ordered by: several keys, the first before the others; in SQL and in memory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};

/// The keys of an order, each with whether it is descending. The default key is the rows' own, of which
/// no two have the same: what stands behind it does not count, and without it rows that are alike come
/// in its order, in the direction of the first key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders<T>(Vec<(T, bool)>);

impl<T: Copy + Default + PartialEq> Orders<T> {
    /// The order by these keys.
    #[must_use]
    pub fn new(keys: Vec<(T, bool)>) -> Self {
        Self(keys)
    }

    /// The order by the rows' own key, turned round.
    #[must_use]
    pub fn descending() -> Self {
        Self(vec![(T::default(), true)])
    }

    /// Whether nothing was said of an order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the keys before the rows' own, and whether that is descending.
    #[must_use]
    pub fn before_own(&self) -> (&[(T, bool)], bool) {
        let own = T::default();
        let at = self.0.iter().position(|(key, _)| *key == own);
        let descending = self.0.get(at.unwrap_or(0)).is_some_and(|(_, descending)| *descending);
        (&self.0[..at.unwrap_or(self.0.len())], descending)
    }

    /// Sorts what stands in the order of its own key. `compare` says how two rows stand by a key,
    /// descending or not.
    pub fn sort<R>(&self, all: &mut [R], compare: impl Fn(T, bool, &R, &R) -> Ordering) {
        let (keys, descending) = self.before_own();
        if descending {
            all.reverse();
        }
        all.sort_by(|a, b| {
            let by = keys.iter().map(|(key, descending)| compare(*key, *descending, a, b));
            by.fold(Ordering::Equal, Ordering::then)
        });
    }

    /// Adds ` ORDER BY` the keys' columns, then the rows' `own`. What is not there comes last in both
    /// directions, as in Airflow.
    pub(crate) fn push(
        &self,
        query: &mut QueryBuilder<Postgres>,
        column: impl Fn(T) -> &'static str,
        own: &[&'static str],
    ) {
        let (keys, descending) = self.before_own();
        query.push(" ORDER BY ");
        for (key, descending) in keys {
            query.push(column(*key)).push(way(*descending)).push(" NULLS LAST, ");
        }
        for (at, column) in own.iter().enumerate() {
            query.push(if at == 0 { "" } else { ", " }).push(column).push(way(descending));
        }
    }
}

/// ASC or DESC.
pub(super) fn way(descending: bool) -> &'static str {
    if descending { " DESC" } else { " ASC" }
}

/// Compares two values in a direction. What is not there comes last in both.
#[must_use]
pub fn directed<V: Ord>(a: Option<V>, b: Option<V>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row's own key, and two others.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    enum Key {
        #[default]
        Own,
        Colour,
        Size,
    }

    /// Number, colour, size.
    type Thing = (u8, &'static str, Option<u8>);

    const THINGS: [Thing; 5] = [
        (1, "red", Some(2)),
        (2, "blue", None),
        (3, "red", Some(1)),
        (4, "blue", Some(9)),
        (5, "red", None),
    ];

    fn check(keys: &[(Key, bool)], expected: [u8; 5]) {
        let mut all = THINGS;
        Orders::new(keys.to_vec()).sort(&mut all, |key, descending, a, b| match key {
            Key::Own => unreachable!("what comes behind it does not count"),
            Key::Colour => directed(Some(a.1), Some(b.1), descending),
            Key::Size => directed(a.2, b.2, descending),
        });
        assert_eq!(all.map(|(number, ..)| number), expected, "{keys:?}");
    }

    #[test]
    fn several_keys_count_one_after_the_other() {
        use Key::{Colour, Own, Size};
        check(&[], [1, 2, 3, 4, 5]);
        check(&[(Own, true), (Size, false)], [5, 4, 3, 2, 1]);
        check(&[(Colour, false)], [2, 4, 1, 3, 5]);
        check(&[(Colour, true)], [5, 3, 1, 4, 2]);
        check(&[(Colour, false), (Size, false)], [4, 2, 3, 1, 5]);
        check(&[(Colour, false), (Size, true)], [4, 2, 1, 3, 5]);
        check(&[(Colour, true), (Size, false)], [3, 1, 5, 4, 2]);
        check(&[(Colour, false), (Own, true), (Size, true)], [4, 2, 5, 3, 1]);
    }

    #[test]
    fn in_sql_they_are_columns_with_what_is_not_there_at_the_end() {
        let orders = Orders::new(vec![(Key::Size, true), (Key::Colour, false)]);
        let mut query = QueryBuilder::new("SELECT");
        let column = |key: Key| if key == Key::Size { "t.size" } else { "t.colour" };
        orders.push(&mut query, column, &["t.a", "t.b"]);
        let written =
            " ORDER BY t.size DESC NULLS LAST, t.colour ASC NULLS LAST, t.a DESC, t.b DESC";
        assert_eq!(query.into_string(), format!("SELECT{written}"));
    }
}
