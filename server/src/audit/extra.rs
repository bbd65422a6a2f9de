//! What was asked for, without secrets.

use serde_json::{Map, Value, json};
use subak_core::variable::{MASK, is_secret};

/// Larger requests are recorded by their size.
const BYTES_MOST: usize = 16 << 10;

/// Returns a request's body as it is recorded; `None` if there is none.
pub(super) fn extra(kind: &str, body: &[u8], path: &str) -> Option<Value> {
    if body.is_empty() {
        return None;
    }
    let form = kind.starts_with("application/x-www-form-urlencoded");
    let parsed = if form { Some(fields(body)) } else { serde_json::from_slice(body).ok() };
    let (Some(mut value), true) = (parsed, body.len() <= BYTES_MOST) else {
        return Some(json!({"bytes": body.len()}));
    };
    hide(&mut value, &hidden(path));
    Some(value)
}

/// Fields that hold secrets, whatever they are called.
fn hidden(path: &str) -> Vec<&'static str> {
    match path {
        it if it.contains("/connections") => vec!["password", "extra", "uri"],
        it if it.contains("/variables") => vec!["value", "val"],
        _ => Vec::new(),
    }
}

fn fields(body: &[u8]) -> Value {
    let mut all = Map::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        let value = Value::String(value.into_owned());
        match all.get_mut(&*name) {
            // What is given several times is a list.
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(all.insert(name.into_owned(), value)),
        }
    }
    Value::Object(all)
}

fn hide(value: &mut Value, hidden: &[&str]) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if (is_secret(key) || hidden.contains(&key.as_str())) && !value.is_null() {
                    *value = Value::from(MASK);
                } else {
                    hide(value, hidden);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, hidden)),
        // A form may hold JSON: the conf of a run.
        Value::String(text) if text.starts_with('{') => {
            if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                hide(&mut inner, hidden);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_recorded() {
        let body = br#"{"key": "k", "value": "deep", "conf": {"api_token": "t", "n": 1}}"#;
        let shown = extra("application/json", body, "/api/v2/variables").unwrap();
        assert_eq!(
            shown,
            json!({"key": "k", "value": "***", "conf": {"api_token": "***", "n": 1}})
        );
        let body = br#"{"actions": [{"entities": [{"extra": "{\"a\": 1}", "host": "h"}]}]}"#;
        let shown = extra("application/json", body, "/api/v2/connections").unwrap();
        assert_eq!(shown, json!({"actions": [{"entities": [{"extra": "***", "host": "h"}]}]}));
        let form = b"conf=%7B%22password%22%3A%22p%22%7D&note=a+b";
        let shown = extra("application/x-www-form-urlencoded", form, "/dags/d/runs").unwrap();
        assert_eq!(shown, json!({"conf": "{\"password\":\"***\"}", "note": "a b"}));
    }

    #[test]
    fn what_is_large_or_not_json_is_recorded_by_its_size() {
        assert_eq!(extra("application/json", b"{", "/"), Some(json!({"bytes": 1})));
        let large = format!("\"{}\"", "x".repeat(BYTES_MOST));
        let shown = extra("application/json", large.as_bytes(), "/");
        assert_eq!(shown, Some(json!({"bytes": BYTES_MOST + 2})));
        assert_eq!(extra("", b"", "/"), None);
    }
}
