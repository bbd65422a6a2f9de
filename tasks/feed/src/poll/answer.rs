//! The records of an answer.

use serde_json::Value;
use subak_core::operators::feed::HttpPoll;
use subak_task::Outgoing;

use crate::path;

/// Takes an answer apart. What cannot be is one record, as it came; then there is a note for the log.
pub(super) fn records(body: &[u8], params: &HttpPoll) -> (Vec<Outgoing>, Option<String>) {
    let whole = |why: String| {
        let record = Outgoing { key: None, value: body.to_vec() };
        (vec![record], Some(format!("the answer {why}: sent as one record, as it came")))
    };
    let answer: Value = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return whole(format!("is not JSON ({error})")),
    };
    let items = match &params.records {
        None => match answer {
            Value::Array(items) => items,
            one => vec![one],
        },
        Some(path) => match path::at(&answer, path) {
            Some(Value::Array(items)) => items.clone(),
            _ => return whole(format!("has no list at `{path}`")),
        },
    };
    let outgoing = |item: Value| Outgoing {
        key: path::key(&item, params.key.as_deref()),
        value: path::only(&item, &params.fields).to_string().into_bytes(),
    };
    (items.into_iter().map(outgoing).collect(), None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(more: Value) -> HttpPoll {
        let mut all = json!({"url": "http://a", "connection": "k", "topic": "t"});
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn texts(body: &[u8], more: Value) -> Vec<String> {
        let (records, _) = records(body, &params(more));
        records.iter().map(|it| String::from_utf8_lossy(&it.value).into_owned()).collect()
    }

    #[test]
    fn a_list_is_its_items_and_anything_else_one_record() {
        assert_eq!(texts(br#"[{"a":1},2]"#, json!({})), [r#"{"a":1}"#, "2"]);
        assert_eq!(texts(br#"{"a":1}"#, json!({})), [r#"{"a":1}"#]);
        let of = json!({"records": "results", "fields": ["a"]});
        assert_eq!(texts(br#"{"results":[{"a":1,"b":2},{"b":3}]}"#, of), [r#"{"a":1}"#, "{}"]);
    }

    #[test]
    fn what_is_no_json_or_lacks_the_list_goes_as_it_came() {
        for body in [&b"<html>"[..], b"{\"results\":7}", b"\xff\xfe", b""] {
            let (records, note) = records(body, &params(json!({"records": "results"})));
            assert_eq!(records[0].value, body);
            assert!(note.unwrap().contains("sent as one record"));
        }
    }
}
