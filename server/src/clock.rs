//! The edge where time is read, for pages that say how long ago something was.

use chrono::{DateTime, Utc};

/// The time now, on this server's clock. Nothing is decided by it; it is the logical date of a run that
/// somebody starts on a page.
#[expect(clippy::disallowed_methods, reason = "the one edge of API and pages")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
