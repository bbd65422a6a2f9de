//! Filters of Jinja that minijinja lacks, and people use in links, messages and names of files.

use std::fmt::Write as _;

use minijinja::value::{ArgType, Kwargs, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::datetime::bad;

/// The widest text that `center` makes.
const WIDEST: usize = 10_000;

/// Adds them.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("center", center);
    environment.add_filter("filesizeformat", filesizeformat);
}

/// A part of a URL's path; of a map or of pairs its query.
fn urlencode(value: &Jinja) -> Result<String, Error> {
    let pairs: Vec<(Jinja, Jinja)> = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Map => {
            let pair = |key: Jinja| value.get_item(&key).map(|value| (key, value));
            value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?
        }
        ValueKind::Seq => {
            let pair = |pair: Jinja| {
                Ok::<_, Error>((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?))
            };
            value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?
        }
        _ => return Ok(quoted(&value.to_string(), b"/")),
    };
    let part = |part: &Jinja| quoted(&part.to_string(), b" ").replace(' ', "+");
    let query = pairs.iter().map(|(key, value)| format!("{}={}", part(key), part(value)));
    Ok(query.collect::<Vec<_>>().join("&"))
}

/// Python's `quote`: letters, digits and `_.-~` stand for themselves, and so does what is safe.
fn quoted(text: &str, safe: &[u8]) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            _ = write!(quoted, "%{byte:02X}");
        }
    }
    quoted
}

/// The beginning of a text that is longer than `length`, and by more than `leeway`: whole words, unless
/// these may be cut.
fn truncate(
    text: &str,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<String>,
    named: Kwargs,
) -> Result<String, Error> {
    let length = given(length, &named, "length", 255)?;
    let killwords = given(killwords, &named, "killwords", false)?;
    let end = given(end, &named, "end", "...".to_owned())?;
    let leeway = given(None, &named, "leeway", 5_usize)?;
    named.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let room = length.checked_sub(end.chars().count());
    let room = room.ok_or_else(|| bad(format!("truncate: {end:?} is longer than {length}")))?;
    let cut: String = text.chars().take(room).collect();
    let kept = match cut.rsplit_once(' ') {
        Some((words, _)) if !killwords => words,
        _ => cut.as_str(),
    };
    Ok(format!("{kept}{end}"))
}

/// How many words there are: letters, digits and `_` in a row.
fn wordcount(text: &str) -> usize {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).count()
}

/// A text in the middle of a line, where Python puts it.
fn center(text: &str, width: Option<usize>, named: Kwargs) -> Result<String, Error> {
    let width = given(width, &named, "width", 80)?.min(WIDEST);
    named.assert_all_used()?;
    let room = width.saturating_sub(text.chars().count());
    let left = room / 2 + (room & width & 1);
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(room - left)))
}

/// A number of bytes for people: `13.4 kB`, or `13.1 KiB` if `binary`.
fn filesizeformat(value: &Jinja, binary: Option<bool>, named: Kwargs) -> Result<String, Error> {
    let binary = given(binary, &named, "binary", false)?;
    named.assert_all_used()?;
    let bytes = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    let bytes = bytes.filter(|bytes| bytes.is_finite());
    let bytes = bytes.ok_or_else(|| bad("filesizeformat needs a number of bytes".to_owned()))?;
    let (base, units) = match binary {
        true => (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]),
        false => (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]),
    };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes as i64));
    }
    let (mut size, mut unit) = (bytes / base, 0);
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    Ok(format!("{size:.1} {}", units[unit]))
}

/// An argument by its place or its name.
fn given<'a, T: ArgType<'a, Output = T>>(
    placed: Option<T>,
    named: &'a Kwargs,
    name: &'a str,
    default: T,
) -> Result<T, Error> {
    match placed {
        Some(value) => Ok(value),
        None => Ok(named.get::<Option<T>>(name)?.unwrap_or(default)),
    }
}
