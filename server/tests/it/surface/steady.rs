//! What differs from run to run is taken out of answers before they are compared.

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

/// JSON with instants, ids and durations replaced by what they are.
pub(crate) fn json(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let steady = |(key, value): (String, Value)| match &*key {
                "duration" if value.is_f64() => (key, "[seconds]".into()),
                _ => (key, json(value)),
            };
            Value::Object(map.into_iter().map(steady).collect())
        }
        Value::Array(list) => list.into_iter().map(json).collect(),
        Value::String(text) if Uuid::parse_str(&text).is_ok() => "[id]".into(),
        Value::String(text) if DateTime::parse_from_rfc3339(&text).is_ok() => "[instant]".into(),
        other => other,
    }
}

/// A page, a tag a line, without the assets' hashes, and without instants and what tells them.
pub(crate) fn page(html: &str) -> String {
    let mut text = between(html, "/assets/", "/", "[hash]");
    text = between(&text, "<time ", "</time>", "…");
    text = between(&text, "after=", "&", "[place]");
    text = between(&text, "print=", "\"", "[print]");
    text = between(&text, "<tr id=\"row-", "\"", "[row]");
    text = between(&text, "name=\"pick\" value=\"", "\"", "[run]");
    text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    )
}

/// Replaces what stands between each `from` and the next `to`.
fn between(text: &str, from: &str, to: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = rest.split_at(at + from.len());
        out.push_str(before);
        out.push_str(by);
        rest = &after[after.find(to).unwrap_or(after.len())..];
    }
    out.push_str(rest);
    out
}
