//! A field of the form: what it is of a parameter's schema, what it shows, and how it is read.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use serde_json::Value;
use subak_core::dag::model::Param;

use crate::text::Text;

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
    /// What holds where a number is left empty.
    pub placeholder: String,
    /// What was filled in was refused.
    pub is_wrong: bool,
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
        let value = param.default.as_ref().and_then(|it| kind.shown(it)).unwrap_or_default();
        let is_number = matches!(kind, FieldKind::Integer | FieldKind::Number);
        Self {
            name: name.to_owned(),
            title: text("title"),
            key: format!("param.{name}"),
            kind,
            placeholder: if is_number && !is_nullable { value.clone() } else { String::new() },
            value,
            description: described.into_iter().find(|it| !it.is_empty()).unwrap_or_default(),
            is_required: param.default.is_none() && !is_nullable,
            is_nullable,
            options,
            proposals: examples.into_iter().flatten().map(plain).collect(),
            section: text("section"),
            minimum: bound("minimum"),
            maximum: bound("maximum"),
            pattern: pattern.unwrap_or_default(),
            is_wrong: false,
        }
    }

    /// What people call it: its title, or its name.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
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
    pub(super) fn read(
        &self,
        given: &str,
        param: &Param,
        t: &Text,
    ) -> Result<Option<Value>, String> {
        let problem = |what: &str| format!("{} {what}", self.label());
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

/// The types that a schema names.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The items of a list, one a line; or a list as JSON, which may hold what no line can.
fn items(text: &str) -> Value {
    if let Ok(list @ Value::Array(_)) = serde_json::from_str(text) {
        return list;
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
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
