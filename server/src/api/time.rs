//! Instants as clients send them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, de};

/// Reads RFC 3339; an instant without a zone is UTC, because `airflowctl` sends such, and Airflow's Python
/// client writes the zone as `+0000`.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format!("`{text}` is not an instant as RFC 3339 writes it"))
    })
}

/// The same, of a field that must be there.
pub(super) fn required<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    optional(from)?.ok_or_else(|| de::Error::custom("an instant as RFC 3339 writes it is needed"))
}

pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .map(|it| it.to_utc())
        .ok();
    zoned.or_else(|| text.parse::<NaiveDateTime>().ok().map(|it| it.and_utc())).or_else(|| {
        text.parse::<NaiveDate>().ok().and_then(|it| it.and_hms_opt(0, 0, 0)).map(|it| it.and_utc())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_without_a_zone_is_utc() {
        let noon = parse("2026-11-20T12:00:00Z").unwrap();
        assert_eq!(parse("2026-11-20T12:00:00").unwrap(), noon);
        assert_eq!(parse("2026-11-20T19:00:00+07:00").unwrap(), noon);
        assert_eq!(parse("2026-11-20T12:00:00.000000+0000").unwrap(), noon);
        assert_eq!(parse("2026-11-20").unwrap(), noon - chrono::TimeDelta::hours(12));
        assert_eq!(parse("noon"), None);
    }
}
