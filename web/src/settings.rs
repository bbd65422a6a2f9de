//! A task's settings as people write them in a DAG file.

use serde_json::Value;

use crate::source;

/// Returns settings as markup: YAML, one element a line. Everything in them is escaped.
#[must_use]
pub fn markup(settings: &Value) -> String {
    let mut text = String::new();
    push_entries(&mut text, settings, 0);
    source::markup(&text)
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
            other => text.push_str(&format!(" {other}\n")),
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
}
