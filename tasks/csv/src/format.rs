//! Dates and timestamps from their bytes, by a `strftime` format compiled once.

use chrono::format::{Item as ChronoItem, StrftimeItems};
use chrono::{NaiveDate, NaiveDateTime};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// How the dates or timestamps of a column are written.
#[derive(Debug, Clone)]
pub enum Format {
    /// ISO 8601: `2010-12-01`, `2010-12-01 08:26:00.5+07:00`; a zone is converted to UTC.
    Iso,
    /// Numbers and fixed characters only.
    Numeric(Vec<Item>),
    /// Everything else that chrono reads.
    Named(String),
}

/// A part of a numeric format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Digits after the decimal point of a second.
    Fraction,
    Literal(u8),
}

/// The parts of a timestamp.
#[derive(Debug, Clone, Copy)]
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

impl Format {
    /// Compiles a `strftime` format.
    pub fn compile(format: &str) -> Result<Self, String> {
        if let Some(items) = numeric_items(format) {
            return Ok(Self::Numeric(items));
        }
        if StrftimeItems::new(format).any(|item| item == ChronoItem::Error) {
            return Err(format!("`{format}` is not a strftime format"));
        }
        Ok(Self::Named(format.to_owned()))
    }

    /// Parses a timestamp into microseconds since 1970.
    #[inline]
    pub fn timestamp(&self, bytes: &[u8]) -> Option<i64> {
        match self {
            Self::Numeric(items) => parse_numeric(items, bytes)?.micros_since_epoch(),
            Self::Iso => parse_iso(bytes),
            Self::Named(format) => parse_named(format, bytes),
        }
    }

    /// Parses a date into days since 1970.
    #[inline]
    pub fn date(&self, bytes: &[u8]) -> Option<i32> {
        let days = match self {
            Self::Numeric(items) => parse_numeric(items, bytes)?.days_since_epoch()?,
            Self::Iso => {
                let (parts, rest) = iso_date(bytes)?;
                if !rest.is_empty() {
                    return None;
                }
                parts.days_since_epoch()?
            }
            Self::Named(format) => {
                parse_named(format, bytes)?.div_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND)
            }
        };
        i32::try_from(days).ok()
    }
}

impl Parts {
    const EPOCH: Self =
        Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, micros: 0 };

    /// Howard Hinnant's `days_from_civil`, for valid dates only.
    #[inline]
    fn days_since_epoch(self) -> Option<i64> {
        let Self { year, month, day, .. } = self;
        if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
            return None;
        }
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year - era * 400;
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(era * 146_097 + day_of_era - 719_468)
    }

    #[inline]
    fn micros_since_epoch(self) -> Option<i64> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let seconds = self.days_since_epoch()? * SECONDS_PER_DAY
            + self.hour * 3600
            + self.minute * 60
            + self.second;
        Some(seconds * MICROS_PER_SECOND + self.micros)
    }
}

#[inline]
fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the items of a format made of numbers and fixed characters, else `None`.
fn numeric_items(format: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut bytes = format.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            items.push(Item::Literal(byte));
            continue;
        }
        match bytes.next()? {
            b'Y' => items.push(Item::Year),
            b'm' => items.push(Item::Month),
            b'd' | b'e' => items.push(Item::Day),
            b'H' | b'k' => items.push(Item::Hour),
            b'M' => items.push(Item::Minute),
            b'S' => items.push(Item::Second),
            b'f' => items.push(Item::Fraction),
            b'%' => items.push(Item::Literal(b'%')),
            b'F' => items.extend([
                Item::Year,
                Item::Literal(b'-'),
                Item::Month,
                Item::Literal(b'-'),
                Item::Day,
            ]),
            b'T' => items.extend([
                Item::Hour,
                Item::Literal(b':'),
                Item::Minute,
                Item::Literal(b':'),
                Item::Second,
            ]),
            _ => return None,
        }
    }
    Some(items)
}

#[inline]
fn parse_numeric(items: &[Item], bytes: &[u8]) -> Option<Parts> {
    let mut parts = Parts::EPOCH;
    let mut rest = bytes;
    for item in items {
        match *item {
            Item::Literal(byte) => rest = rest.strip_prefix(&[byte])?,
            Item::Year => (parts.year, rest) = number::<4>(rest)?,
            Item::Month => (parts.month, rest) = number::<2>(rest)?,
            Item::Day => (parts.day, rest) = number::<2>(rest)?,
            Item::Hour => (parts.hour, rest) = number::<2>(rest)?,
            Item::Minute => (parts.minute, rest) = number::<2>(rest)?,
            Item::Second => (parts.second, rest) = number::<2>(rest)?,
            Item::Fraction => (parts.micros, rest) = fraction(rest)?,
        }
    }
    rest.is_empty().then_some(parts)
}

/// Reads a number of one to `DIGITS` digits.
#[inline]
fn number<const DIGITS: usize>(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0;
    let mut length = 0;
    while length < DIGITS && length < bytes.len() {
        let digit = bytes[length].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + i64::from(digit);
        length += 1;
    }
    (length > 0).then(|| (value, &bytes[length..]))
}

/// Reads decimals of a second as microseconds; digits beyond the sixth are cut off.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let micros = (0..6).fold(0, |micros, at| {
        let digit = if at < length { i64::from(bytes[at] - b'0') } else { 0 };
        micros * 10 + digit
    });
    Some((micros, &bytes[length..]))
}

fn iso_date(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let (year, rest) = number::<4>(bytes)?;
    let (month, rest) = number::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = number::<2>(rest.strip_prefix(b"-")?)?;
    (bytes.len() - rest.len() >= 8).then_some((Parts { year, month, day, ..Parts::EPOCH }, rest))
}

fn parse_iso(bytes: &[u8]) -> Option<i64> {
    let (mut parts, rest) = iso_date(bytes)?;
    if rest.is_empty() {
        return parts.micros_since_epoch();
    }
    let [b'T' | b't' | b' ', rest @ ..] = rest else { return None };
    let mut rest = rest;
    (parts.hour, rest) = number::<2>(rest)?;
    (parts.minute, rest) = number::<2>(rest.strip_prefix(b":")?)?;
    if let Some(seconds) = rest.strip_prefix(b":") {
        (parts.second, rest) = number::<2>(seconds)?;
        if let Some(decimals) = rest.strip_prefix(b".") {
            (parts.micros, rest) = fraction(decimals)?;
        }
    }
    Some(parts.micros_since_epoch()? - offset_seconds(rest)? * MICROS_PER_SECOND)
}

/// Reads `Z`, `+07`, `+0700`, `+07:00` or nothing.
fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number::<2>(rest)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { number::<2>(rest)? };
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn parse_named(format: &str, bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Ok(zoned) = chrono::DateTime::parse_from_str(text, format) {
        return Some(zoned.timestamp_micros());
    }
    NaiveDateTime::parse_from_str(text, format)
        .or_else(|_| NaiveDate::parse_from_str(text, format).map(NaiveDateTime::from))
        .ok()
        .map(|naive| naive.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timestamp(format: &str, text: &str) -> Option<String> {
        let format = if format.is_empty() { Format::Iso } else { Format::compile(format).unwrap() };
        format.timestamp(text.as_bytes()).map(|micros| {
            chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc().to_string()
        })
    }

    #[test]
    fn timestamps_follow_their_format() {
        let check = |format: &str, text: &str, expected: Option<&str>| {
            assert_eq!(timestamp(format, text).as_deref(), expected, "{format} {text}");
        };
        check("%m/%d/%Y %H:%M", "12/1/2010 8:26", Some("2010-12-01 08:26:00"));
        check("%m/%d/%Y %H:%M", "02/29/2012 23:59", Some("2012-02-29 23:59:00"));
        check("%m/%d/%Y %H:%M", "2/29/2011 8:26", None);
        check("%m/%d/%Y %H:%M", "13/1/2010 8:26", None);
        check("%m/%d/%Y %H:%M", "12/1/2010 24:00", None);
        check("%m/%d/%Y %H:%M", "12/1/2010 8:26 ", None);
        check("%m/%d/%Y %H:%M", "", None);
        check("%d.%m.%Y", "1.2.2010", Some("2010-02-01 00:00:00"));
        check("%F %T.%f", "2010-02-01 01:02:03.25", Some("2010-02-01 01:02:03.250"));
        check("%d %b %Y %I:%M %p", "01 Feb 2010 03:04 PM", Some("2010-02-01 15:04:00"));
        check("", "2010-02-01", Some("2010-02-01 00:00:00"));
        check("", "2010-02-01T03:04", Some("2010-02-01 03:04:00"));
        check("", "2010-02-01 03:04:05.123456789Z", Some("2010-02-01 03:04:05.123456"));
        check("", "2010-02-01 03:04:05+07:00", Some("2010-01-31 20:04:05"));
        check("", "2010-02-01 03:04:05+07:0x", None);
        check("", "not a date", None);
    }

    #[test]
    fn a_wrong_format_is_refused() {
        assert!(Format::compile("%Y-%Q").is_err());
    }

    proptest! {
        #[test]
        fn days_are_chronos(days in -800_000_i32..800_000) {
            let date = NaiveDate::from_epoch_days(days).unwrap();
            let text = date.format("%Y-%m-%d").to_string();
            if (0..=9999).contains(&chrono::Datelike::year(&date)) {
                prop_assert_eq!(Format::Iso.date(text.as_bytes()), Some(days));
            }
        }
    }
}
