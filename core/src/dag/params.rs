//! Params of a DAG: their declaration, and the check of the values that a run is triggered with.
//!
//! A param's declaration is the part of JSON Schema that forms and people use; what is nested in it may
//! be all of JSON Schema. Other keys are refused rather than ignored.

use schemars::JsonSchema as Schema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model::{Dag, Param};
use super::page::Page;
use super::yaml::{Kind, Node, Read, read};
use crate::json_schema::JsonSchema;

/// A param's declaration.
#[derive(Debug, Clone, Default, Deserialize, Serialize, Schema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Declaration {
    /// The value if the trigger gives none; without it the trigger must.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    default: Option<Value>,
    /// One type or several of: string, integer, number, boolean, object, array, null.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    types: Option<Types>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The values allowed.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    allowed: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_minimum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_maximum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_items: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_items: Option<usize>,
    /// A regular expression that a text must match somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    /// The schema of a list's items.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Value>,
    /// The schemas of a map's values, by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Map<String, Value>>,
    /// The keys that a map must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<Vec<String>>,
    /// How a form shows the value: date, date-time, multiline, …
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Deserialize, Serialize, Schema)]
#[serde(untagged)]
enum Types {
    One(Type),
    Several(Vec<Type>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Schema)]
#[serde(rename_all = "lowercase")]
enum Type {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    Null,
}

/// Tells `default: null` from no default.
pub(super) fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a param: a map is its declaration, anything else its default.
pub(super) fn param(node: &Node, how: &Read<'_>) -> Option<Param> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Param { schema: Value::Object(Map::new()), default: Some(node.to_json()) });
    }
    let mut declared: Declaration = read(node, how)?;
    if let Some(Err(why)) = declared.nested() {
        how.report.error(Page::Params, node.at, format!("{} is no JSON Schema: {why}", how.what));
        return None;
    }
    let default = declared.default.take();
    let problem = default.as_ref().and_then(|value| declared.problem(value));
    if let Some(problem) = problem {
        let at = node.get("default").map_or(node.at, |node| node.at);
        how.report.error(Page::Params, at, format!("{}: the default {problem}", how.what));
        return None;
    }
    let schema = serde_json::to_value(&declared).expect("a declaration is plain JSON");
    Some(Param { schema, default })
}

impl Param {
    /// What is wrong with a value of this param, if anything: "is not an integer".
    #[must_use]
    pub fn problem(&self, value: &Value) -> Option<String> {
        let declared: Declaration = serde_json::from_value(self.schema.clone()).ok()?;
        declared.problem(value)
    }
}

impl Dag {
    /// The params of a run: defaults overlaid by `conf`, or everything wrong with them.
    pub fn params_with(&self, conf: &Value) -> Result<Value, Vec<String>> {
        let mut values = Map::new();
        let mut problems = Vec::new();
        for (name, param) in &self.params {
            let value = conf.get(name).or(param.default.as_ref());
            let Some(value) = value else {
                problems.push(format!("param \"{name}\" has no default: give it in conf"));
                continue;
            };
            if let Some(problem) = param.problem(value) {
                problems.push(format!("param \"{name}\" {problem}"));
            }
            values.insert(name.clone(), value.clone());
        }
        if problems.is_empty() { Ok(values.into()) } else { Err(problems) }
    }
}

impl Declaration {
    fn problem(&self, value: &Value) -> Option<String> {
        self.type_problem(value)
            .or_else(|| self.bound_problem(value))
            .or_else(|| self.length_problem(value))
            .or_else(|| self.nested_problem(value))
    }

    /// The part that is more than types and limits.
    fn nested(&self) -> Option<Result<JsonSchema, String>> {
        let Self { pattern, items, properties, required, .. } = self;
        let mut schema = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            schema.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("pattern", pattern.clone().map(Value::from));
        put("items", items.clone());
        put("properties", properties.clone().map(Value::from));
        put("required", required.clone().map(Value::from));
        (!schema.is_empty()).then(|| JsonSchema::new(&schema.into()))
    }

    fn nested_problem(&self, value: &Value) -> Option<String> {
        let reasons = self.nested()?.ok()?.reasons(value);
        (!reasons.is_empty()).then(|| format!("does not match: {}", reasons.join("; ")))
    }

    fn type_problem(&self, value: &Value) -> Option<String> {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(value)
        {
            return Some(format!("is {value}, not one of {}", Value::from(allowed.clone())));
        }
        let types = match self.types.as_ref()? {
            Types::One(one) => std::slice::from_ref(one),
            Types::Several(several) => several,
        };
        if types.iter().any(|kind| kind.takes(value)) {
            return None;
        }
        let names: Vec<_> = types.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
        Some(format!("is {value}, not of type {}", names.join(" or ")))
    }

    fn bound_problem(&self, value: &Value) -> Option<String> {
        let number = value.as_f64()?;
        type Bound = (Option<f64>, fn(f64, f64) -> bool, &'static str);
        let bounds: [Bound; 4] = [
            (self.minimum, |number, bound| number >= bound, "at least"),
            (self.maximum, |number, bound| number <= bound, "at most"),
            (self.exclusive_minimum, |number, bound| number > bound, "more than"),
            (self.exclusive_maximum, |number, bound| number < bound, "less than"),
        ];
        let broken = bounds
            .iter()
            .find(|(bound, holds, _)| bound.is_some_and(|bound| !holds(number, bound)));
        broken.map(|(bound, _, words)| {
            format!("is {value}, and must be {words} {}", bound.unwrap_or_default())
        })
    }

    fn length_problem(&self, value: &Value) -> Option<String> {
        let (length, least, most, what) = match value {
            Value::String(text) => {
                (text.chars().count(), self.min_length, self.max_length, "characters")
            }
            Value::Array(items) => (items.len(), self.min_items, self.max_items, "items"),
            _ => return None,
        };
        if least.is_some_and(|least| length < least) {
            return Some(format!("has {length} {what}, and needs {}", least.unwrap_or_default()));
        }
        let most = most.filter(|most| length > *most)?;
        Some(format!("has {length} {what}, and may have {most}"))
    }
}

impl Type {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            // JSON Schema counts 1.0 as an integer.
            Self::Integer => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Null => value.is_null(),
        }
    }
}
