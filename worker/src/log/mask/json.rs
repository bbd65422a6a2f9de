//! Hides secrets in JSON that people are shown, and finds again what was hidden.

use serde_json::{Map, Value};

use super::{MASK, Patterns};

impl Patterns {
    /// The value as people may see it, where that differs from what it is.
    pub(crate) fn mask_json(&self, value: &Value) -> Option<Value> {
        self.starts.as_ref()?;
        let shown = self.shown(value);
        (shown != *value).then_some(shown)
    }

    /// The value with its secrets hidden.
    pub(crate) fn without_secrets(&self, value: Value) -> Value {
        self.mask_json(&value).unwrap_or(value)
    }

    fn shown(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.iter().map(|item| self.shown(item)).collect(),
            Value::Object(members) => {
                let shown = |(key, value): (&String, &Value)| (self.mask(key), self.shown(value));
                Value::Object(members.iter().map(shown).collect::<Map<_, _>>())
            }
            Value::Number(number) => {
                let text = number.to_string();
                let shown = self.mask(&text);
                if shown == text { value.clone() } else { Value::String(shown) }
            }
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }
}

/// What was hidden in `shown`, which people see of `value`: a task that is handed the value keeps it
/// out of its own log too.
pub(crate) fn hidden(value: &Value, shown: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, shown, &mut found);
    found
}

fn collect(value: &Value, shown: &Value, found: &mut Vec<String>) {
    match (value, shown) {
        (Value::Array(values), Value::Array(shown)) => {
            values.iter().zip(shown).for_each(|(value, shown)| collect(value, shown, found));
        }
        (Value::Object(values), Value::Object(shown)) => {
            for (key, value) in values {
                match shown.get(key) {
                    Some(shown) => collect(value, shown, found),
                    // The key itself is, or has, a secret.
                    None => found.push(key.clone()),
                }
            }
        }
        (Value::String(text), Value::String(shown)) if text != shown => pieces(text, shown, found),
        (Value::Number(number), Value::String(shown)) => {
            pieces(&number.to_string(), shown, found);
        }
        _ => {}
    }
}

/// The parts of `text` for which a mask stands in `shown`; all of it where that cannot be told.
fn pieces(text: &str, shown: &str, found: &mut Vec<String>) {
    let mask = String::from_utf8_lossy(MASK);
    let mut plain = shown.split(&*mask);
    let first = plain.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return found.push(text.to_owned()) };
    let mut parts = Vec::new();
    let mut plain = plain.peekable();
    while let Some(next) = plain.next() {
        let end = match (next, plain.peek()) {
            (next, None) => rest.strip_suffix(next).map(str::len),
            ("", Some(_)) => None,
            (next, Some(_)) => rest.find(next),
        };
        let Some(end) = end else { return found.push(text.to_owned()) };
        parts.push(rest[..end].to_owned());
        rest = &rest[end + next.len()..];
    }
    found.extend(parts);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand_in_json() {
        let patterns = Patterns::new(["hunter22", "123456"]);
        let value = json!({"url": "pg://me:hunter22@db/x", "pin": 123_456, "n": [1, "aHVudGVyMjI="],
                           "hunter22": true});
        let shown = json!({"url": "pg://me:***@db/x", "pin": "***", "n": [1, "***"], "***": true});
        assert_eq!(patterns.mask_json(&value), Some(shown.clone()));
        assert_eq!(patterns.mask_json(&json!({"rows": 3})), None);
        assert_eq!(Patterns::default().mask_json(&value), None);
        assert_eq!(hidden(&value, &shown), ["hunter22", "aHVudGVyMjI=", "123456", "hunter22"]);
    }

    #[test]
    fn what_cannot_be_told_apart_is_hidden_whole() {
        let check = |text: &str, shown: &str, expected: &[&str]| {
            assert_eq!(hidden(&json!(text), &json!(shown)), expected, "{text} {shown}");
        };
        check("a-one-b-two", "a-***-b-***", &["one", "two"]);
        check("onetwo", "******", &["onetwo"]);
        check("same", "same", &[]);
        check("other", "shown ***", &["other"]);
    }
}
