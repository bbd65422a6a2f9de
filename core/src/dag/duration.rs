//! Durations as people write them: `30s`, `10m`, `1h30m`, seconds, ISO 8601.

use std::time::Duration;

pub(crate) const EXPECTED: &str = "a duration such as 30s, 10m, 1h30m, PT5M or a number of seconds";

/// Longer ones are mistakes, and would not fit into instants.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let secs = if let Ok(secs) = trimmed.parse::<f64>() {
        Some(secs)
    } else if let Some(iso) = trimmed.strip_prefix(['P', 'p']) {
        iso_8601(iso)
    } else {
        units(trimmed, &[("ms", 1e-3), ("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)])
    };
    match secs {
        Some(secs) => from_secs(secs),
        None => Err(format!("expected {EXPECTED}, found {text:?}")),
    }
}

/// A number of seconds as a duration.
pub(crate) fn from_secs(secs: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(secs)
        .map_err(|_| format!("expected {EXPECTED}, found {secs}"))
        .and_then(bounded)
}

/// Refuses durations of more than ten years.
pub(crate) fn bounded(duration: Duration) -> Result<Duration, String> {
    if duration > LONGEST {
        return Err("a duration may be ten years at most".to_owned());
    }
    Ok(duration)
}

/// `P` is gone: weeks or days, then `T` and hours, minutes, seconds. No years or months.
fn iso_8601(text: &str) -> Option<f64> {
    let upper = text.to_uppercase();
    let (days, time) = match upper.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None if upper.is_empty() => return None,
        None => (upper.as_str(), ""),
    };
    let days = optional(days, &[("W", 604_800.0), ("D", 86_400.0)])?;
    Some(days + optional(time, &[("H", 3_600.0), ("M", 60.0), ("S", 1.0)])?)
}

fn optional(text: &str, known: &[(&str, f64)]) -> Option<f64> {
    if text.is_empty() { Some(0.0) } else { units(text, known) }
}

/// Numbers, each followed by its unit, larger units first, each at most once.
fn units(text: &str, known: &[(&str, f64)]) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    let mut smallest = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, secs) = known.iter().find(|(unit, _)| rest.starts_with(unit))?;
        if *secs >= smallest {
            return None;
        }
        smallest = *secs;
        total += number * secs;
        rest = rest[unit.len()..].trim_start();
    }
    (smallest < f64::INFINITY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_spelling() {
        let check = |text: &str, secs: Option<f64>| {
            let read = parse(text).ok().map(|duration| duration.as_secs_f64());
            assert_eq!(read, secs, "{text}");
        };
        check("30s", Some(30.0));
        check("10m", Some(600.0));
        check("1h30m", Some(5_400.0));
        check("1h 30m", Some(5_400.0));
        check("2d", Some(172_800.0));
        check("500ms", Some(0.5));
        check("1.5h", Some(5_400.0));
        check("90", Some(90.0));
        check("PT5M", Some(300.0));
        check("P1DT12H", Some(129_600.0));
        check("P2W", Some(1_209_600.0));
        for wrong in
            ["", "s", "5x", "30m1h", "1m1m", "P", "PT", "P1M", "-5s", "1e400", "nan", "9999999d"]
        {
            check(wrong, None);
        }
    }
}
