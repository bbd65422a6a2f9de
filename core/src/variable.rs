//! Variables: texts that people set for all DAGs. Which of them are secret is told by their names, as
//! in Airflow.

use crate::problem::Problem;

/// The longest name.
const LONGEST_KEY: usize = 250;
/// The longest value.
const VALUE_BYTES_MOST: usize = 256 << 10;

/// Parts of names by which Airflow knows a secret.
const SENSITIVE: [&str; 11] = [
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "token",
    "service_account",
];

/// What stands in the place of a secret value.
pub const MASK: &str = "***";

/// What stands for a secret value in the audit log: whether it is another one than before, never which.
#[must_use]
pub fn veil(has_changed: bool) -> &'static str {
    if has_changed { "*** (changed)" } else { MASK }
}

/// Whether a variable's value is hidden from people, and in logs.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SENSITIVE.iter().any(|part| key.contains(part))
}

/// The texts that are to be hidden where a secret value may come up: all of it, and, of JSON, its texts.
#[must_use]
pub fn secret_parts(value: &str) -> Vec<String> {
    let mut parts = vec![value.to_owned()];
    if let Ok(json) = serde_json::from_str(value) {
        collect(&json, &mut parts);
    }
    parts
}

fn collect(value: &serde_json::Value, parts: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => parts.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, parts)),
        serde_json::Value::Object(map) => map.values().for_each(|item| collect(item, parts)),
        _ => {}
    }
}

/// Says what is wrong with a variable, if anything is.
#[must_use]
pub fn problem(key: &str, value: &str) -> Option<Problem> {
    if key.is_empty() || key.chars().count() > LONGEST_KEY || key.contains(char::is_control) {
        return Some(Problem::VariableName { most: LONGEST_KEY });
    }
    if value.len() > VALUE_BYTES_MOST {
        return Some(Problem::VariableTooLarge(key.to_owned()));
    }
    value.contains('\0').then(|| Problem::VariableHasNul(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for (key, secret) in [
            ("DB_Password", true),
            ("slack_token", true),
            ("region", false),
            ("my_api_key_2", true),
        ] {
            assert_eq!(is_secret(key), secret, "{key}");
        }
        assert_eq!(secret_parts(r#"{"a": ["x"], "b": 1}"#), [r#"{"a": ["x"], "b": 1}"#, "x"]);
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        assert_eq!(problem("region", "eu"), None);
        assert!(problem("", "x").is_some() && problem("a\nb", "x").is_some());
        assert!(problem("a", &"x".repeat(VALUE_BYTES_MOST + 1)).is_some());
    }
}
