//! What is done once for all who see the same: a part of a page is drawn, and what others are sent
//! instead of all of it is found.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::sse::Event;
use subak_web::pieces::Pieces;

/// Of one part so many are kept at most; beyond it all are forgotten.
const MOST: usize = 32;

/// Things that are made once for each key.
pub(super) struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// The one that is kept, or a new one. Those who want one meanwhile wait: on as many cores as there
    /// are, making it again would take them as long.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> V {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.entry(key).or_insert_with(make).clone()
    }
}

/// A part of a page as it is drawn for all who see the same.
pub(crate) struct Drawn {
    pub(super) pieces: Arc<Pieces>,
    /// What pages are sent that show something else, by the numbers of that and of this.
    sent: Kept<(Option<u64>, u64), (Event, usize)>,
}

impl Drawn {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self { pieces: Arc::new(pieces), sent: Kept::default() }
    }

    /// Returns what a page is sent so that it shows this, which has this number, and how many bytes of
    /// markup that is: what has changed since it showed `before`, or all of it, where nobody knows what
    /// it shows or hardly anything stays. `None`: nothing.
    pub(super) fn since(
        &self,
        before: Option<(u64, &Self)>,
        number: u64,
    ) -> Option<(Event, usize)> {
        let (event, bytes) = self.sent.get((before.map(|it| it.0), number), || {
            let changes = before.and_then(|(_, before)| self.pieces.since(&before.pieces));
            let markup = changes.as_deref().unwrap_or(self.pieces.whole());
            (Event::default().id(number.to_string()).data(markup), markup.len())
        });
        (bytes > 0).then_some((event, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_made_once_and_bounded() {
        let kept = Kept::default();
        assert_eq!([kept.get(1, || "one"), kept.get(1, || "again")], ["one", "one"]);
        for key in 0..2 * MOST {
            kept.get(key, || "more");
        }
        assert!(kept.0.lock().unwrap().len() <= MOST);
    }
}
