//! The one place where the command asks for the time.

use chrono::{DateTime, Utc};

/// The time of this machine, for durations that people read.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
