//! A task's arguments once rendered, for people: without secrets, each of a bounded length.

use serde_json::Value;
use subak_core::text::json_without_nul;

use crate::log::Patterns;

/// An argument has at most so many characters, as Airflow's `max_templated_field_length`.
const MOST_CHARS: usize = 4_096;

/// The arguments as people see them. Secrets go first: half of one would not be found.
pub(super) fn shown_arguments(with: &Value, patterns: &Patterns) -> Value {
    let masked = json_without_nul(patterns.without_secrets(with.clone()));
    match masked {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, short(value))).collect()
        }
        other => short(other),
    }
}

/// A long value as the beginning of its text.
fn short(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(MOST_CHARS) {
        None => value,
        Some((end, _)) => {
            let all = text.chars().count();
            Value::from(format!("{}… (cut: {all} characters)", &text[..end]))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_arguments_are_cut_and_secrets_hidden_first() {
        let patterns = Patterns::new(["hunter22-hunter22"]);
        let long = "é".repeat(MOST_CHARS - 5) + "hunter22-hunter22";
        let list: Vec<u32> = (0..5_000).collect();
        let shown = shown_arguments(&json!({"a": long, "b": [1, "x"], "c": list}), &patterns);
        let text = shown["a"].as_str().unwrap();
        assert!(text.starts_with('é') && !text.contains("hunter"), "{text}");
        assert_eq!(shown["b"], json!([1, "x"]));
        let list = shown["c"].as_str().unwrap();
        assert!(list.starts_with("[0,1,2,") && list.ends_with(" characters)"), "{list}");
    }
}
