//! The form that starts a run: a field for each parameter, made of its schema.

use askama::Template;
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
    /// The field's name in the form.
    pub key: String,
    pub kind: FieldKind,
    pub value: String,
    pub description: String,
    pub is_required: bool,
    pub options: Vec<String>,
    pub minimum: String,
    pub maximum: String,
}

/// What a field is filled in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Integer,
    Number,
    Boolean,
    Choice,
    Json,
}

impl FieldKind {
    fn of(schema: &Value) -> Self {
        if schema["enum"].is_array() {
            return Self::Choice;
        }
        match schema["type"].as_str() {
            Some("string") | None => Self::Text,
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some(_) => Self::Json,
        }
    }
}

impl Field {
    /// Returns the field of a parameter, filled with its default.
    #[must_use]
    pub fn new(name: &str, param: &Param) -> Self {
        let schema = &param.schema;
        let mut kind = FieldKind::of(schema);
        // Anything goes, and the default is no text: show it as it is.
        if kind == FieldKind::Text
            && schema["type"].is_null()
            && param.default.as_ref().is_some_and(|value| !value.is_string() && !value.is_null())
        {
            kind = FieldKind::Json;
        }
        let bound =
            |key: &str| schema[key].as_number().map_or_else(String::new, ToString::to_string);
        Self {
            name: name.to_owned(),
            key: format!("param.{name}"),
            kind,
            value: param
                .default
                .as_ref()
                .filter(|it| !it.is_null())
                .map_or_else(String::new, shown),
            description: schema["description"].as_str().unwrap_or_default().to_owned(),
            is_required: param.default.is_none(),
            options: schema["enum"]
                .as_array()
                .map(|all| all.iter().map(shown).collect())
                .unwrap_or_default(),
            minimum: bound("minimum"),
            maximum: bound("maximum"),
        }
    }

    /// Fills the field with a value.
    pub fn fill(&mut self, value: &Value) {
        self.value = shown(value);
    }

    /// Reads what was filled in. `None`: the default holds.
    fn read(&self, given: &str, schema: &Value, t: &Text) -> Result<Option<Value>, String> {
        let problem = |what: &str| format!("{} {what}", self.name);
        let given_trimmed = given.trim();
        match self.kind {
            FieldKind::Boolean => Ok(Some(Value::Bool(given_trimmed == "true"))),
            _ if given_trimmed.is_empty() && self.kind != FieldKind::Text => {
                if self.is_required {
                    Err(problem(t.value_missing))
                } else {
                    Ok(None)
                }
            }
            FieldKind::Text if given.is_empty() && self.is_required => {
                Err(problem(t.value_missing))
            }
            FieldKind::Text => Ok(Some(Value::String(given.to_owned()))),
            FieldKind::Integer | FieldKind::Number => serde_json::from_str(given_trimmed)
                .ok()
                .filter(Value::is_number)
                .map(Some)
                .ok_or_else(|| problem(t.not_number)),
            FieldKind::Choice => {
                let known = schema["enum"].as_array().into_iter().flatten();
                let same = |it: &&Value| {
                    it.as_str().map_or_else(|| it.to_string(), str::to_owned) == given
                };
                Ok(Some(known.clone().find(same).cloned().unwrap_or_else(|| Value::from(given))))
            }
            FieldKind::Json => serde_json::from_str(given)
                .map(Some)
                .map_err(|error| problem(&t.fill(t.not_json, error))),
        }
    }
}

/// A value as a field shows it.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
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
    for (name, param) in params {
        let field = Field::new(name, param);
        let text = given(&field.key);
        if text.is_none() && field.kind != FieldKind::Boolean {
            continue;
        }
        match field.read(&text.unwrap_or_default(), &param.schema, t) {
            Ok(Some(value)) if Some(&value) != param.default.as_ref() => {
                // An empty text in the place of a null default is nothing.
                let is_nothing = value == "" && param.default == Some(Value::Null);
                if !is_nothing {
                    conf.insert(name.clone(), value);
                }
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
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn every_problem_is_said_at_once() {
        let given = [("param.most", "many"), ("param.list", "["), ("conf", "[]")];
        let problems = read(&given).unwrap_err();
        assert_eq!(problems.len(), 3);
        assert!(problems.iter().any(|it| it == "most is not a number"));
        assert_eq!(read(&[("param.most", "")]).unwrap_err(), ["most needs a value"]);
    }
}
