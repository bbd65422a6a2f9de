use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::*;
use crate::text::ENGLISH;

fn params() -> BTreeMap<String, Param> {
    let param = |schema, default| Param { schema, default };
    BTreeMap::from([
        ("input".into(), param(json!({"type": "string"}), Some(json!("data.csv")))),
        ("most".into(), param(json!({"type": "integer", "minimum": 1}), None)),
        ("dry".into(), param(json!({"type": "boolean"}), Some(json!(true)))),
        ("level".into(), param(json!({"enum": [1, 2]}), Some(json!(1)))),
        ("list".into(), param(json!({"type": "array"}), Some(json!([])))),
    ])
}

fn read(given: &[(&str, &str)]) -> Result<Value, Vec<String>> {
    let given: HashMap<_, _> = given.iter().copied().collect();
    let get = |key: &str| given.get(key).map(|value| (*value).to_owned());
    let (conf, wrong) = conf_of_form(params().iter(), get, &ENGLISH);
    let said: Vec<String> = wrong.into_iter().map(|it| it.said).collect();
    if said.is_empty() { Ok(Value::Object(conf)) } else { Err(said) }
}

#[test]
fn only_what_differs_from_the_defaults_is_asked_for() {
    let given = [
        ("param.input", "data.csv"),
        ("param.most", "12"),
        ("param.level", "2"),
        ("param.list", "[1]"),
        ("conf", "{\"extra\": null}"),
    ];
    let conf = json!({"most": 12, "dry": false, "level": 2, "list": [1], "extra": null});
    assert_eq!(read(&given), Ok(conf));
}

/// A field, and what comes of what is given in it: `None`, the default.
fn one(schema: Value, default: Option<Value>, given: &str) -> (Field, Option<Value>) {
    let params = BTreeMap::from([("p".to_owned(), Param { schema, default })]);
    let field = Field::new("p", &params["p"]);
    let get = |key: &str| (key == "param.p").then(|| given.to_owned());
    let (conf, wrong) = conf_of_form(params.iter(), get, &ENGLISH);
    assert!(wrong.is_empty(), "{wrong:?}");
    (field, conf.get("p").cloned())
}

#[test]
fn what_may_be_null_is_null_when_it_is_left_empty() {
    let nullable = |kind: &str| json!({"type": [kind, "null"]});
    for (kind, of, given, value) in [
        ("integer", FieldKind::Integer, "12", json!(12)),
        ("number", FieldKind::Number, "1.5", json!(1.5)),
        ("string", FieldKind::Text, "x", json!("x")),
        ("boolean", FieldKind::Choice, "false", json!(false)),
        ("array", FieldKind::Json, "[1]", json!([1])),
    ] {
        let (field, filled) = one(nullable(kind), Some(Value::Null), given);
        assert_eq!((field.kind, &*field.value, filled), (of, "", Some(value.clone())), "{kind}");
        assert_eq!(one(nullable(kind), Some(Value::Null), "").1, None, "{kind}");
        // Emptied, it is null and not its default; without a default null is an answer.
        assert_eq!(one(nullable(kind), Some(value), "").1, Some(Value::Null), "{kind}");
        let (field, empty) = one(nullable(kind), None, "");
        assert_eq!((field.is_required, empty), (false, Some(Value::Null)), "{kind}");
    }
    assert_eq!(one(json!({"enum": ["a", null]}), Some(json!("a")), "").1, Some(Value::Null));
    assert_eq!(one(json!({}), Some(Value::Null), "").1, None);
    // Of several types the value says which, as JSON.
    let mixed = json!({"type": ["string", "integer"]});
    let (field, filled) = one(mixed, Some(json!("a")), "5");
    assert_eq!((field.kind, &*field.value, filled), (FieldKind::Json, "\"a\"", Some(json!(5))));
    // A remembered null is an empty field.
    let (mut field, _) = one(nullable("integer"), Some(json!(3)), "3");
    assert_eq!(field.value, "3");
    field.fill(&Value::Null);
    assert_eq!(field.value, "");
}

#[test]
fn dates_are_chosen_and_instants_are_in_utc() {
    let of = |format: &str| json!({"type": "string", "format": format});
    let (field, given) = one(of("date"), Some(json!("2026-01-02")), "2026-03-04");
    assert_eq!((field.kind, &*field.value), (FieldKind::Date, "2026-01-02"));
    assert_eq!(given, Some(json!("2026-03-04")));
    let noon = Some(json!("2026-01-02T12:00:00+07:00"));
    let (mut field, same) = one(of("date-time"), noon.clone(), "2026-01-02T05:00");
    assert_eq!((field.kind, &*field.value), (FieldKind::DateTime, "2026-01-02T05:00:00"));
    assert_eq!(same, None);
    let later = one(of("date-time"), noon, "2026-01-02T05:00:30").1;
    assert_eq!(later, Some(json!("2026-01-02T05:00:30Z")));
    field.fill(&json!("whenever"));
    assert_eq!((field.kind, &*field.value), (FieldKind::Text, "whenever"));
    let template = one(of("date-time"), Some(json!("{{ ds }}")), "{{ ds }}");
    assert_eq!((template.0.kind, template.1), (FieldKind::Text, None));
    let lines = one(of("multiline"), Some(json!("a\nb")), "a\r\nb");
    assert_eq!((lines.0.kind, lines.1), (FieldKind::Lines, None));
}

#[test]
fn lists_times_and_choices_are_filled_in_as_people_write_them() {
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let (mut field, same) = one(texts(), Some(json!(["a", "b"])), "a\r\nb");
    assert_eq!((field.kind, &*field.value, same), (FieldKind::Items, "a\nb", None));
    let lines = |given: &str| one(texts(), Some(json!(["a"])), given).1;
    assert_eq!(lines("b\n\n  c d \n"), Some(json!(["b", "c d"])));
    assert_eq!(lines(""), Some(json!([])), "emptied, it is no item");
    // An item of several lines is shown as JSON, and taken as it.
    field.fill(&json!(["a\nb"]));
    assert_eq!((field.kind, &*field.value), (FieldKind::Json, r#"["a\nb"]"#));
    assert_eq!(lines(&field.value), Some(json!(["a\nb"])));
    let of_any = one(json!({"type": "array"}), Some(json!(["a"])), "[1]");
    assert_eq!((of_any.0.kind, of_any.1), (FieldKind::Json, Some(json!([1]))));

    let time = json!({"type": "string", "format": "time"});
    let (field, at) = one(time.clone(), Some(json!("16:30:00")), "07:05");
    assert_eq!((field.kind, &*field.value), (FieldKind::Time, "16:30:00"));
    assert_eq!(at, Some(json!("07:05:00")));
    assert_eq!(one(time.clone(), Some(json!("16:30:00")), "16:30").1, None);
    let zoned = one(time, Some(json!("16:30:00+07:00")), "16:30:00+07:00");
    assert_eq!((zoned.0.kind, zoned.1), (FieldKind::Text, None));

    let named = json!({"enum": [1, 2], "values_display": {"1": "One"}, "section": "Sizes"});
    let (field, two) = one(named, Some(json!(1)), "2");
    let label = |value: &str, label: &str| Choice { value: value.into(), label: label.into() };
    assert_eq!(field.options, [label("1", "One"), label("2", "2")]);
    assert_eq!((&*field.section, two), ("Sizes", Some(json!(2))));
    let (field, _) = one(json!({"examples": ["x"], "description_md": "*y*"}), None, "x");
    assert_eq!((field.proposals, &*field.description), (vec!["x".to_owned()], "*y*"));
    // Nobody is asked for what can be one value only.
    assert_eq!(one(json!({"type": "boolean", "const": true}), Some(json!(true)), "").1, None);
}

#[test]
fn every_problem_is_said_at_once() {
    let given = [("param.most", "many"), ("param.list", "["), ("conf", "[]")];
    let problems = read(&given).unwrap_err();
    assert_eq!(problems.len(), 3);
    assert!(problems.iter().any(|it| it == "most is not a number"));
    assert_eq!(read(&[("param.most", "")]).unwrap_err(), ["most needs a value"]);
    // By the name that the form shows, and with the field that is to be marked.
    let schema = json!({"type": "integer", "title": "At most"});
    let titled = BTreeMap::from([("most".to_owned(), Param { schema, default: None })]);
    let (conf, wrong) = conf_of_form(titled.iter(), |_| Some(String::new()), &ENGLISH);
    let said = "At most needs a value".to_owned();
    assert_eq!((conf.len(), wrong), (0, vec![Wrong { param: Some("most".to_owned()), said }]));
}
