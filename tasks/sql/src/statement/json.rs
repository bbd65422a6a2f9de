//! PostgreSQL's values as JSON. Nothing is rounded: what a JSON number cannot hold becomes text.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};
use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row as _, ValueRef as _};

/// How the text of a type is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    Json,
    /// `2011-12-09 12:50:00`, with an offset if the type has one.
    Timestamp,
    Text,
}

impl Kind {
    /// Returns the kind of a type, and whether it is an array of it.
    fn of(oid: u32) -> (Self, bool) {
        match oid {
            16 => (Self::Bool, false),
            1000 => (Self::Bool, true),
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => (Self::Number, false),
            1005 | 1007 | 1016 | 1021 | 1022 | 1028 | 1231 => (Self::Number, true),
            114 | 3802 => (Self::Json, false),
            199 | 3807 => (Self::Json, true),
            1114 | 1184 => (Self::Timestamp, false),
            1115 | 1185 => (Self::Timestamp, true),
            1002 | 1009 | 1014 | 1015 | 1182 | 1183 | 1187 | 2951 => (Self::Text, true),
            _ => (Self::Text, false),
        }
    }

    fn read(self, text: &str) -> Value {
        let text_value = || Value::String(text.to_owned());
        match self {
            Self::Bool => Value::Bool(text == "t"),
            Self::Number => exact_number(text).unwrap_or_else(text_value),
            Self::Json => serde_json::from_str(text).unwrap_or_else(|_| text_value()),
            Self::Timestamp => Value::String(rfc3339(text)),
            Self::Text => text_value(),
        }
    }
}

/// Returns a row, fetched as text, as an object. A repeated column name gets a number.
pub(crate) fn object(row: &PgRow) -> sqlx::Result<Value> {
    let mut object = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let mut name = Cow::Borrowed(column.name());
        let mut count = 1;
        while object.contains_key(name.as_ref()) {
            count += 1;
            name = Cow::Owned(format!("{}_{count}", column.name()));
        }
        let raw = row.try_get_raw(index)?;
        let value = if raw.is_null() {
            Value::Null
        } else {
            let text = raw.as_str().map_err(sqlx::Error::Decode)?;
            value(oid(column), text)
        };
        object.insert(name.into_owned(), value);
    }
    Ok(Value::Object(object))
}

fn oid(column: &sqlx::postgres::PgColumn) -> u32 {
    column.type_info().oid().map_or(0, |oid| oid.0)
}

fn value(oid: u32, text: &str) -> Value {
    match Kind::of(oid) {
        (kind, false) => kind.read(text),
        (kind, true) => array(kind, text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// Returns a number if JSON's readers see the same value: an `i64`, or a double that prints alike.
fn exact_number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Value::Number(integer.into()));
    }
    let double = text.parse::<f64>().ok()?;
    let significant = text
        .split(['e', 'E'])
        .next()?
        .trim_start_matches(['-', '0', '.'])
        .chars()
        .filter(char::is_ascii_digit)
        .count();
    // Fifteen digits survive a double; the shortest form of a double has up to seventeen.
    let exact = significant <= 15 || format!("{double}") == text || format!("{double:e}") == text;
    exact.then(|| Number::from_f64(double)).flatten().map(Value::Number)
}

/// `2011-12-09 12:50:00+00` as `2011-12-09T12:50:00+00:00`.
fn rfc3339(text: &str) -> String {
    let Some((date, time)) = text.split_once(' ') else { return text.to_owned() };
    let short_offset = time.rfind(['+', '-']).is_some_and(|sign| time.len() - sign == 3);
    format!("{date}T{time}{}", if short_offset { ":00" } else { "" })
}

/// Reads PostgreSQL's text form of an array, nested ones included.
fn array(kind: Kind, text: &str) -> Option<Value> {
    // An array whose indices do not begin at 1 says so first: `[0:1]={…}`.
    let body = &text[text.find('{')?..];
    let mut chars = body.chars().peekable();
    let value = nested(kind, &mut chars)?;
    chars.next().is_none().then_some(value)
}

fn nested(kind: Kind, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Value> {
    chars.next_if_eq(&'{')?;
    let mut values = Vec::new();
    loop {
        match chars.peek()? {
            '}' => {
                chars.next();
                return Some(Value::Array(values));
            }
            ',' => {
                chars.next();
            }
            '{' => values.push(nested(kind, chars)?),
            '"' => values.push(kind.read(&quoted(chars)?)),
            _ => {
                let mut item = String::new();
                while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '}')) {
                    item.push(c);
                }
                values.push(if item == "NULL" { Value::Null } else { kind.read(&item) });
            }
        }
    }
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut item = String::new();
    chars.next();
    loop {
        match chars.next()? {
            '"' => return Some(item),
            '\\' => item.push(chars.next()?),
            c => item.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_never_rounded() {
        for (text, expected) in [
            ("42", json!(42)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("12345678901234567890", json!("12345678901234567890")),
            ("1.50", json!(1.5)),
            ("0.1", json!(0.1)),
            ("0.30000000000000004", json!(0.300_000_000_000_000_04)),
            ("123456789.12345678901", json!("123456789.12345678901")),
            ("NaN", json!("NaN")),
            ("Infinity", json!("Infinity")),
            ("1e+300", json!(1e300)),
        ] {
            assert_eq!(Kind::Number.read(text), expected, "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(rfc3339("2011-12-09 12:50:00"), "2011-12-09T12:50:00");
        assert_eq!(rfc3339("2011-12-09 12:50:00.5+00"), "2011-12-09T12:50:00.5+00:00");
        assert_eq!(rfc3339("2011-12-09 12:50:00+05:30"), "2011-12-09T12:50:00+05:30");
        assert_eq!(rfc3339("infinity"), "infinity");
    }

    #[test]
    fn arrays_are_lists() {
        assert_eq!(array(Kind::Number, "{1,NULL,3}"), Some(json!([1, null, 3])));
        assert_eq!(array(Kind::Number, "{{1,2},{3,4}}"), Some(json!([[1, 2], [3, 4]])));
        assert_eq!(array(Kind::Number, "[0:1]={1,2}"), Some(json!([1, 2])));
        assert_eq!(
            array(Kind::Text, r#"{a,"b,\"c\\","NULL",""}"#),
            Some(json!(["a", "b,\"c\\", "NULL", ""]))
        );
        assert_eq!(array(Kind::Bool, "{t,f}"), Some(json!([true, false])));
        assert_eq!(array(Kind::Text, "{}"), Some(json!([])));
    }
}
