//! Whom a stream may speak for: its own session, and those that workers of its state folder had
//! before. The proof is the folder's id, which only its workers and this database know.

use std::collections::HashSet;

use subak_proto::TryRef;
use tracing::warn;

/// The sessions of one stream.
#[derive(Debug)]
pub(super) struct Own {
    session: i64,
    former: HashSet<i64>,
    has_warned: bool,
}

impl Own {
    /// The stream's session, and those its worker may have results of.
    pub(super) fn new(session: i64, former: impl IntoIterator<Item = i64>) -> Self {
        Self { session, former: former.into_iter().collect(), has_warned: false }
    }

    /// Whether a try is, or was, of this worker. What is said of others' is not heard; it is logged
    /// once, so that whoever does it cannot fill the log.
    pub(super) fn has(&mut self, try_: Option<&TryRef>) -> bool {
        let named = try_.map(|try_| try_.session.cast_signed());
        let has = named.is_some_and(|named| named == self.session || self.former.contains(&named));
        if !has && !self.has_warned {
            self.has_warned = true;
            warn!(
                worker.session = self.session,
                "a worker speaks of a try that is not its own: it is not heard"
            );
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_speaks_for_its_own_sessions_only() {
        let mut own = Own::new(1, [2, 3]);
        let of = |session| TryRef { session, token: 9, ..TryRef::default() };
        assert!(own.has(Some(&of(1))) && own.has(Some(&of(3))));
        assert!(!own.has(Some(&of(4))) && !own.has(None));
    }
}
