//! Durations, instants, counts and sizes for people.

use chrono::{DateTime, TimeDelta, Utc};

use crate::text::Text;

/// An instant: for machines, in full, and from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub iso: String,
    pub full: String,
    pub relative: String,
}

impl Stamp {
    /// Describes `at` as seen from `now`.
    #[must_use]
    pub fn new(at: DateTime<Utc>, now: DateTime<Utc>, t: &Text) -> Self {
        Self {
            iso: at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            full: at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            relative: relative(at - now, t),
        }
    }
}

fn relative(delta: TimeDelta, t: &Text) -> String {
    let seconds = delta.num_seconds();
    if seconds.abs() < 2 {
        return t.just_now.to_owned();
    }
    let span = coarse(TimeDelta::seconds(seconds.abs()), t);
    let pattern = if seconds < 0 { t.ago } else { t.within };
    pattern.replace("{}", &span)
}

/// One unit: `12 s`, `5 min`, `3 h`, `2 d`.
fn coarse(delta: TimeDelta, t: &Text) -> String {
    let seconds = delta.num_seconds();
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} {}", seconds / 86_400, t.day),
    }
}

/// As exact as a person wants it: `4 ms`, `0.84 s`, `12.3 s`, `3 min 04 s`, `2 h 05 min`.
#[must_use]
pub fn duration(delta: TimeDelta) -> String {
    let millis = delta.num_milliseconds().max(0);
    let seconds = millis / 1000;
    match millis {
        ..100 => format!("{millis} ms"),
        100..10_000 => format!("{}.{:02} s", seconds, millis % 1000 / 10),
        10_000..60_000 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// With separators: `541,909`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit: `45.6 MB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut scale: u64 = 1;
    while unit + 1 < UNITS.len() && number / scale >= 1000 {
        unit += 1;
        scale *= 1000;
    }
    let whole = number / scale;
    let tenth = number % scale * 10 / scale;
    if unit == 0 || whole >= 100 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

/// Cuts a text that is too long to show.
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{ENGLISH, INDONESIAN};

    #[test]
    fn durations_are_as_exact_as_people_want() {
        let check = |millis, text| assert_eq!(duration(TimeDelta::milliseconds(millis)), text);
        check(-5, "0 ms");
        check(4, "4 ms");
        check(840, "0.84 s");
        check(12_345, "12.3 s");
        check(184_000, "3 min 04 s");
        check(7_500_000, "2 h 05 min");
    }

    #[test]
    fn instants_are_seen_from_now() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let check = |seconds, text: &str| {
            let stamp = Stamp::new(now + TimeDelta::seconds(seconds), now, &ENGLISH);
            assert_eq!(stamp.relative, text);
        };
        check(0, "just now");
        check(-12, "12 s ago");
        check(-300, "5 min ago");
        check(7200, "in 2 h");
        check(-200_000, "2 d ago");
        let stamp = Stamp::new(now + TimeDelta::days(89), now, &INDONESIAN);
        assert_eq!(stamp.relative, "dalam 89 hari");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(541_909), "541,909");
        assert_eq!(count(12), "12");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(45_600_000), "45.6 MB");
        assert_eq!(bytes(456_000), "456 kB");
        assert_eq!(cut("terraces", 5), "terr…");
    }
}
