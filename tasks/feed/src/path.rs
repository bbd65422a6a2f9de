//! Parts of a record by path: `location.city`, `results.0`.

use serde_json::{Map, Value};

/// The value at a path; `None`: the record has none.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The record with nothing but these paths, nested as before. Anything but an object stays whole.
pub(crate) fn only(record: &Value, paths: &[String]) -> Value {
    if paths.is_empty() || !record.is_object() {
        return record.clone();
    }
    let mut kept = Value::Object(Map::new());
    for path in paths {
        if let Some(value) = at(record, path) {
            put(&mut kept, path, value.clone());
        }
    }
    kept
}

/// Sets the value at a path, and makes the objects on the way.
fn put(target: &mut Value, path: &str, value: Value) {
    let mut place = target;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// The bytes of a record's key: a text as it is, anything else as JSON.
pub(crate) fn key(record: &Value, path: Option<&str>) -> Option<Vec<u8>> {
    match at(record, path?)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_keeps_its_shape_around_what_is_kept() {
        let record = json!({"name": {"first": "Ni", "last": "Luh"}, "tags": [1, 2], "age": 3});
        let paths = ["name.first", "tags.1", "age", "gone"].map(str::to_owned);
        let kept = json!({"name": {"first": "Ni"}, "tags": {"1": 2}, "age": 3});
        assert_eq!(only(&record, &paths), kept);
        assert_eq!(only(&record, &[]), record);
        assert_eq!(only(&json!([1]), &paths), json!([1]));
    }

    #[test]
    fn a_key_is_text_as_it_is() {
        let record = json!({"id": "a", "n": 7, "none": null});
        assert_eq!(key(&record, Some("id")), Some(b"a".to_vec()));
        assert_eq!(key(&record, Some("n")), Some(b"7".to_vec()));
        assert_eq!(key(&record, Some("none")), None);
        assert_eq!(key(&record, None), None);
    }
}
