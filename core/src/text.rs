//! The one character that PostgreSQL cannot keep in text or JSON: NUL. Where it comes from a process
//! it becomes the sign for what cannot be shown, as in logs.

use serde_json::Value;

const SHOWN: &str = "\u{FFFD}";

/// Makes NUL visible.
#[must_use]
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', SHOWN) } else { text }
}

/// Makes NUL visible in every text and key.
#[must_use]
pub fn json_without_nul(value: Value) -> Value {
    if !json_has_nul(&value) {
        return value;
    }
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(values) => values.into_iter().map(json_without_nul).collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (without_nul(key), json_without_nul(value)))
            .collect(),
        other => other,
    }
}

/// Whether some text or key holds NUL.
#[must_use]
pub fn json_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(json_has_nul),
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| key.contains('\0') || json_has_nul(value))
        }
        _ => false,
    }
}

/// Returns what differs between two texts, as `diff -u` writes it; empty if nothing does.
#[must_use]
pub fn unified_diff(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    // Large and wholly different texts are told of less closely, but in time.
    const WITHIN: std::time::Duration = std::time::Duration::from_secs(1);
    let mut config = similar::TextDiff::configure();
    let diff = config.timeout(WITHIN).diff_lines(old, new);
    diff.unified_diff().context_radius(3).header(old_name, new_name).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_made_visible_wherever_it_stands() {
        let value = json!({"a\0": ["x\0y", {"b": "\0"}, 1], "c": null});
        assert!(json_has_nul(&value));
        let clean = json_without_nul(value);
        assert_eq!(clean, json!({"a\u{FFFD}": ["x\u{FFFD}y", {"b": "\u{FFFD}"}, 1], "c": null}));
        assert!(!json_has_nul(&clean));
        assert_eq!(without_nul("plain".to_owned()), "plain");
    }

    #[test]
    fn what_differs_is_told_in_lines() {
        let diff = unified_diff("a: 1\nb: 2\n", "a: 1\nb: 3\n", "old", "new");
        assert_eq!(diff, "--- old\n+++ new\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
        assert_eq!(unified_diff("a", "a", "old", "new"), "");
    }
}
