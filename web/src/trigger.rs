//! The form that starts a run: a field for each parameter, made of its schema.

use std::collections::BTreeMap;

use askama::Template;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use subak_core::dag::model::Param;

use crate::frame::Frame;
use crate::render;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "trigger.html")]
pub struct TriggerPage<'a> {
    pub frame: Frame<'a>,
    pub title: String,
    pub dag_id: String,
    pub dag_href: String,
    pub action: String,
    pub fields: Vec<Field>,
    pub conf: String,
    pub note: String,
    pub problems: Vec<String>,
    /// The run whose values stand in the form, and where the form has the defaults.
    pub filled_from: Option<(String, String)>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// What people call it; empty: its name.
    pub title: String,
    /// The field's name in the form.
    pub key: String,
    pub kind: FieldKind,
    pub value: String,
    pub description: String,
    pub is_required: bool,
    /// Left empty it is null.
    pub is_nullable: bool,
    pub options: Vec<Choice>,
    /// Values that are proposed; others may be written.
    pub proposals: Vec<String>,
    /// The heading that it stands under, with others; empty: none.
    pub section: String,
    pub minimum: String,
    pub maximum: String,
    /// What a whole text must match, as browsers check it.
    pub pattern: String,
}

/// One of the values to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub value: String,
    /// What people call it; often the same.
    pub label: String,
}

/// What a field is filled in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    /// Text of several lines.
    Lines,
    Date,
    /// An instant, in UTC.
    DateTime,
    Time,
    Integer,
    Number,
    Boolean,
    Choice,
    /// A list of texts, one a line.
    Items,
    Json,
}

/// The types that a schema names.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl FieldKind {
    fn of(schema: &Value) -> Self {
        if schema["enum"].is_array() {
            return Self::Choice;
        }
        let mut types = types(schema);
        let named = types.len();
        types.retain(|it| *it != "null");
        match (types.as_slice(), schema["format"].as_str()) {
            ([] | ["string"], Some("date")) => Self::Date,
            ([] | ["string"], Some("date-time")) => Self::DateTime,
            ([] | ["string"], Some("time")) => Self::Time,
            ([] | ["string"], Some("multiline")) => Self::Lines,
            ([] | ["string"], _) => Self::Text,
            (["integer"], _) => Self::Integer,
            (["number"] | ["integer", "number"] | ["number", "integer"], _) => Self::Number,
            // A box is ticked or not; a third answer has to be chosen.
            (["boolean"], _) if named > 1 => Self::Choice,
            (["boolean"], _) => Self::Boolean,
            (["array"], _) if schema["items"]["type"] == "string" => Self::Items,
            _ => Self::Json,
        }
    }

    /// The kind that takes what a field of this kind cannot show.
    fn readable(self) -> Self {
        if self == Self::Items { Self::Json } else { Self::Text }
    }

    /// A value as a field of this kind holds it; `None`: it cannot.
    fn shown(self, value: &Value) -> Option<String> {
        match (self, value) {
            (_, Value::Null) => Some(String::new()),
            (Self::Json, value) => Some(value.to_string()),
            (Self::Items, Value::Array(items)) => {
                let lines = items.iter().map(|item| item.as_str().filter(|item| is_line(item)));
                lines.collect::<Option<Vec<_>>>().map(|lines| lines.join("\n"))
            }
            (Self::Items, _) => None,
            (Self::Time, Value::String(text)) => {
                // One with an offset is no time that a browser knows.
                let at = NaiveTime::parse_from_str(text, "%H:%M:%S").ok()?;
                Some(at.format("%H:%M:%S").to_string())
            }
            (Self::Date, Value::String(text)) => {
                text.parse::<NaiveDate>().ok().map(|_| text.clone())
            }
            (Self::DateTime, Value::String(text)) => {
                instant(text).map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string())
            }
            (_, value) => Some(plain(value)),
        }
    }
}

/// Whether a text is itself again, read as one line of several.
fn is_line(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains('\n') && !text.starts_with('[')
}

/// A value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An instant with its zone.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// An instant as browsers send it: without a zone, with or without seconds.
fn local_instant(text: &str) -> Option<DateTime<Utc>> {
    let parse = |pattern| NaiveDateTime::parse_from_str(text, pattern).ok();
    let at = parse("%Y-%m-%dT%H:%M:%S%.f").or_else(|| parse("%Y-%m-%dT%H:%M"))?;
    Some(at.and_utc())
}

/// A time of the day as browsers send it: with or without seconds.
fn local_time(text: &str) -> Option<String> {
    let parse = |pattern| NaiveTime::parse_from_str(text, pattern).ok();
    let at = parse("%H:%M:%S%.f").or_else(|| parse("%H:%M"))?;
    Some(at.format("%H:%M:%S").to_string())
}

/// Whether people are asked for a parameter: not for one that can be only what it is by default.
#[must_use]
pub fn is_asked(param: &Param) -> bool {
    param.default.is_none() || param.schema.get("const").is_none()
}

impl Field {
    /// Returns the field of a parameter, filled with its default.
    #[must_use]
    pub fn new(name: &str, param: &Param) -> Self {
        let schema = &param.schema;
        let mut kind = FieldKind::of(schema);
        let types = types(schema);
        let options = schema["enum"].as_array();
        // Anything goes, and the default is no text: show it as it is.
        if kind == FieldKind::Text
            && types.is_empty()
            && param.default.as_ref().is_some_and(|value| !value.is_string() && !value.is_null())
        {
            kind = FieldKind::Json;
        }
        // A default that is not what its format says, as a template is not, stays readable.
        if param.default.as_ref().is_some_and(|value| kind.shown(value).is_none()) {
            kind = kind.readable();
        }
        let is_nullable = match options {
            Some(options) => options.contains(&Value::Null),
            None if types.is_empty() => param.default == Some(Value::Null),
            None => types.contains(&"null"),
        };
        let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        let bound =
            |key: &str| schema[key].as_number().map_or_else(String::new, ToString::to_string);
        let options: Vec<String> = match options {
            Some(options) => options.iter().map(plain).collect(),
            None if kind == FieldKind::Choice => ["", "true", "false"].map(str::to_owned).into(),
            None => Vec::new(),
        };
        let label = |value: &str| {
            schema["values_display"][value].as_str().map_or_else(|| value.to_owned(), str::to_owned)
        };
        let options =
            options.into_iter().map(|value| Choice { label: label(&value), value }).collect();
        let proposes = matches!(kind, FieldKind::Text | FieldKind::Integer | FieldKind::Number);
        let examples = schema["examples"].as_array().filter(|_| proposes);
        let described = ["description", "description_md"].map(text);
        // A schema's pattern matches anywhere, a browser's the whole text.
        let pattern = schema["pattern"].as_str().map(|pattern| format!(".*(?:{pattern}).*"));
        Self {
            name: name.to_owned(),
            title: text("title"),
            key: format!("param.{name}"),
            kind,
            value: param.default.as_ref().and_then(|it| kind.shown(it)).unwrap_or_default(),
            description: described.into_iter().find(|it| !it.is_empty()).unwrap_or_default(),
            is_required: param.default.is_none() && !is_nullable,
            is_nullable,
            options,
            proposals: examples.into_iter().flatten().map(plain).collect(),
            section: text("section"),
            minimum: bound("minimum"),
            maximum: bound("maximum"),
            pattern: pattern.unwrap_or_default(),
        }
    }

    /// Fills the field with a value.
    pub fn fill(&mut self, value: &Value) {
        match self.kind.shown(value) {
            Some(shown) => self.value = shown,
            None => (self.kind, self.value) = (self.kind.readable(), plain(value)),
        }
    }

    fn offers(&self, value: &str) -> bool {
        self.options.iter().any(|option| option.value == value)
    }

    /// Reads what was filled in. `None`: the default holds.
    fn read(&self, given: &str, param: &Param, t: &Text) -> Result<Option<Value>, String> {
        let problem = |what: &str| format!("{} {what}", self.name);
        let given = given.replace("\r\n", "\n");
        let trimmed = given.trim();
        if param.default.is_some() && given == self.value {
            return Ok(None);
        }
        match self.kind {
            FieldKind::Boolean => Ok(Some(Value::Bool(trimmed == "true"))),
            FieldKind::Choice if !self.offers(&given) && !given.is_empty() => {
                Ok(Some(Value::from(given)))
            }
            FieldKind::Choice if self.offers(&given) => {
                let mut known = param.schema["enum"].as_array().into_iter().flatten();
                let value = known.find(|it| plain(it) == given).cloned();
                let of_boolean = || serde_json::from_str(&given).unwrap_or_default();
                Ok(Some(value.unwrap_or_else(of_boolean)))
            }
            _ if trimmed.is_empty() && self.is_nullable => Ok(Some(Value::Null)),
            FieldKind::Text | FieldKind::Lines if !given.is_empty() || !self.is_required => {
                Ok(Some(Value::String(given)))
            }
            _ if trimmed.is_empty() && self.is_required => Err(problem(t.value_missing)),
            FieldKind::Items => Ok(Some(items(trimmed))),
            _ if trimmed.is_empty() => Ok(None),
            FieldKind::Time => Ok(Some(local_time(trimmed).unwrap_or(given).into())),
            FieldKind::DateTime => {
                let Some(at) = local_instant(trimmed) else { return Ok(Some(given.into())) };
                let default = param.default.as_ref().and_then(Value::as_str).and_then(instant);
                let text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                Ok(Some(Value::String(text)).filter(|_| default != Some(at)))
            }
            FieldKind::Integer | FieldKind::Number => serde_json::from_str(trimmed)
                .ok()
                .filter(Value::is_number)
                .map(Some)
                .ok_or_else(|| problem(t.not_number)),
            FieldKind::Json => serde_json::from_str(trimmed)
                .map(Some)
                .map_err(|error| problem(&t.fill(t.not_json, error))),
            FieldKind::Text | FieldKind::Lines | FieldKind::Date | FieldKind::Choice => {
                Ok(Some(Value::String(given)))
            }
        }
    }
}

/// The items of a list, one a line; or a list as JSON, which may hold what no line can.
fn items(text: &str) -> Value {
    if let Ok(list @ Value::Array(_)) = serde_json::from_str(text) {
        return list;
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// Returns the configuration that a sent form asks for, or what is wrong with it. Only values that
/// differ from the defaults are in it, so that the run says what was asked.
pub fn conf_of_form<'a>(
    params: impl Iterator<Item = (&'a String, &'a Param)>,
    given: impl Fn(&str) -> Option<String>,
    t: &Text,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut conf = Map::new();
    let mut problems = Vec::new();
    for (name, param) in params.filter(|(_, param)| is_asked(param)) {
        let field = Field::new(name, param);
        let text = given(&field.key);
        if text.is_none() && field.kind != FieldKind::Boolean {
            continue;
        }
        match field.read(&text.unwrap_or_default(), param, t) {
            Ok(Some(value)) if Some(&value) != param.default.as_ref() => {
                conf.insert(name.clone(), value);
            }
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let more = given("conf").unwrap_or_default();
    if !more.trim().is_empty() {
        match serde_json::from_str(&more) {
            Ok(Value::Object(more)) => conf.extend(more),
            Ok(_) => problems.push(format!("{} {}", t.conf, t.not_object)),
            Err(error) => problems.push(format!("{} {}", t.conf, t.fill(t.not_json, error))),
        }
    }
    if problems.is_empty() { Ok(conf) } else { Err(problems) }
}

impl TriggerPage<'_> {
    /// The fields by section, those of none first.
    fn sections(&self) -> BTreeMap<&str, Vec<&Field>> {
        let mut sections: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
        for field in &self.fields {
            sections.entry(field.section.as_str()).or_default().push(field);
        }
        sections
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
        conf_of_form(params().iter(), get, &ENGLISH).map(Value::Object)
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
        let conf = conf_of_form(params.iter(), get, &ENGLISH).unwrap();
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
            assert_eq!(
                (field.kind, &*field.value, filled),
                (of, "", Some(value.clone())),
                "{kind}"
            );
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
    }
}
