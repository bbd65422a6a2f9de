//! A task's settings as people write them in a DAG file.

use serde_json::Value;

use crate::format::cut;
use crate::source;

/// A list on one line, and all of it, are cut at so many characters: a task may be mapped over 10,000
/// items.
const LIST_CHARS: usize = 2_000;
const CHARS_MOST: usize = 100_000;

/// Returns settings as markup: YAML, one element a line. Everything in them is escaped.
#[must_use]
pub fn markup(settings: &Value) -> String {
    let mut text = String::new();
    push_entries(&mut text, settings, 0);
    source::markup(&cut(&text, CHARS_MOST))
}

fn push_entries(text: &mut String, value: &Value, depth: usize) {
    let Value::Object(entries) = value else { return };
    for (key, value) in entries {
        let indent = "  ".repeat(depth);
        text.push_str(&format!("{indent}{}:", plain(key)));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                push_entries(text, value, depth + 1);
            }
            Value::String(lines) if lines.trim_end().contains('\n') => {
                text.push_str(" |\n");
                for line in lines.trim_end().lines() {
                    text.push_str(&format!("{indent}  {line}\n"));
                }
            }
            Value::String(word) => text.push_str(&format!(" {}\n", plain(word))),
            other => text.push_str(&format!(" {}\n", cut(&other.to_string(), LIST_CHARS))),
        }
    }
}

/// A word as it is, anything else in quotes.
fn plain(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.-/ ".contains(c);
    let is_plain = text.chars().all(is_word) && text == text.trim() && !text.is_empty();
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_look_as_in_a_dag_file() {
        let settings = json!({"retries": 1, "with": {"env": {}, "sql": "SELECT 1\nFROM <b>\n"}});
        let mut text = String::new();
        push_entries(&mut text, &settings, 0);
        assert_eq!(text, "retries: 1\nwith:\n  env: {}\n  sql: |\n    SELECT 1\n    FROM <b>\n");
        assert!(markup(&settings).contains("FROM &#60;b&#62;"), "{}", markup(&settings));
        assert_eq!(plain("{{ ds }}"), "\"{{ ds }}\"");
    }

    #[test]
    fn what_is_long_is_cut() {
        let items: Vec<i32> = (0..10_000).collect();
        let list = markup(&json!({"expand": {"n": items}}));
        assert!(list.len() < 4_000 && list.contains('…'), "{}", list.len());
        let map: serde_json::Map<String, Value> =
            (0..10_000).map(|n| (format!("key {n}"), json!("x".repeat(100)))).collect();
        assert!(markup(&json!({ "expand": map })).len() < 300_000);
    }
}
