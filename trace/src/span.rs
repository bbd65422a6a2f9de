//! Spans and their ids.

use std::borrow::Cow;
use std::time::SystemTime;

use uuid::Uuid;

/// Whose span it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Of the whole trace.
    pub trace: u128,
    /// Of the span within it.
    pub span: u64,
    /// The span that it is part of; 0: none.
    pub parent: u64,
}

/// On which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal,
    /// Somebody asked for it.
    Server,
}

/// A value of a span's attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

/// A piece of work that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub ids: Ids,
    pub kind: Kind,
    pub name: Cow<'static, str>,
    pub began: SystemTime,
    pub ended: SystemTime,
    /// Names as OpenTelemetry's conventions have them, or `subak.…`.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl Ids {
    /// Of a run: its uuid is the trace.
    #[must_use]
    pub fn run(uuid: Uuid) -> Self {
        let trace = uuid.as_u128();
        Self { trace, span: some(low(trace)), parent: 0 }
    }

    /// Of a try of a run, by the number that fences it.
    #[must_use]
    pub fn of_try(run: Uuid, token: i64) -> Self {
        let run = Self::run(run);
        Self { span: some(run.span ^ spread(token.cast_unsigned())), parent: run.span, ..run }
    }

    /// Of a request: below the caller's span, if its `traceparent` names one; otherwise of its own.
    #[must_use]
    pub fn of_request(traceparent: Option<&str>) -> Self {
        let own = Uuid::new_v4().as_u128();
        let (trace, parent) = traceparent.and_then(read).unwrap_or((own, 0));
        Self { trace, span: some(low(own)), parent }
    }

    /// The span as W3C's Trace Context writes it, for whoever is below it.
    #[must_use]
    pub fn traceparent(self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

/// Reads a `traceparent`: trace and span.
fn read(text: &str) -> Option<(u128, u64)> {
    let mut parts = text.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || trace.len() != 32 || span.len() != 16 {
        return None;
    }
    let (trace, span) =
        (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    (trace != 0 && span != 0).then_some((trace, span))
}

fn low(id: u128) -> u64 {
    (id & u128::from(u64::MAX)) as u64
}

/// Zero is no id.
fn some(id: u64) -> u64 {
    id.max(1)
}

/// The finaliser of `SplitMix64`: tokens are consecutive, ids are not to look alike.
fn spread(token: u64) -> u64 {
    let mut z = token.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_below_their_run_and_differ() {
        let uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        let run = Ids::run(uuid);
        assert_eq!(run.traceparent(), "00-123456789abc4def8123456789abcdef-8123456789abcdef-01");
        let (one, two) = (Ids::of_try(uuid, 1), Ids::of_try(uuid, 2));
        assert_eq!((one.trace, one.parent), (run.trace, run.span));
        assert!(one.span != two.span && one.span != run.span);
        assert_eq!(one, Ids::of_try(uuid, 1));
    }

    #[test]
    fn a_request_is_below_its_callers_span() {
        let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let ids = Ids::of_request(Some(caller));
        assert_eq!(ids.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(ids.parent, 0xb7ad_6b71_6920_3331);
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for wrong in [None, Some(""), Some("00-1-2-01"), Some(zero)] {
            let ids = Ids::of_request(wrong);
            assert!(ids.trace != 0 && ids.parent == 0, "{wrong:?}");
        }
    }
}
