//! Params of a DAG: their declaration, and the check of the values that a run is triggered with.
//!
//! A param's declaration is a JSON Schema. What people use most is read and checked here, for the sake of
//! messages; all of it is then left to the validator. Words that nobody knows change nothing, as in JSON
//! Schema, but for those that are nearly known ones: these are refused.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema as Schema;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model::{Dag, Param};
use super::page::Page;
use super::suggest::nearest;
use super::yaml::{Kind, Node, Read, read};
use crate::json_schema::JsonSchema;
use crate::problem::{Counted, Limit, Problem};

/// A param's declaration.
#[derive(Debug, Clone, Default, Deserialize, Serialize, Schema)]
#[serde(rename_all = "camelCase")]
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
    /// The same in Markdown, where there is no `description`; forms show it as it is written.
    #[serde(rename = "description_md", skip_serializing_if = "Option::is_none")]
    description_md: Option<String>,
    /// The heading under which forms show the param, together with others that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<String>,
    /// What forms call the values of `enum`: by value, as text.
    #[serde(rename = "values_display", skip_serializing_if = "Option::is_none")]
    values_display: Option<BTreeMap<String, String>>,
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
    /// What a text must be, and how a form shows it: date, date-time, time, email, uuid, multiline, …
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// Values that a form proposes.
    #[serde(skip_serializing_if = "Option::is_none")]
    examples: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Serialize, Schema)]
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

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Types;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type or a list of types")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Types, E> {
                Type::deserialize(StrDeserializer::<E>::new(text)).map(Types::One)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Types, A::Error> {
                let mut types = Vec::new();
                while let Some(one) = items.next_element()? {
                    types.push(one);
                }
                Ok(Types::Several(types))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// Tells `default: null` from no default.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Words of a declaration that only the validator reads.
const WORDS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "definitions",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "else",
    "if",
    "maxContains",
    "maxProperties",
    "minContains",
    "minProperties",
    "multipleOf",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "readOnly",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
];

/// Words of [`Declaration`] that it checks itself, or that say nothing about values.
const CHECKED: &[&str] = &[
    "type",
    "title",
    "description",
    "description_md",
    "section",
    "values_display",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "examples",
];

/// Words of [`Declaration`] that the validator checks.
const LEFT: &[&str] = &["default", "pattern", "items", "properties", "required", "format"];

/// Reads a param: a map is its declaration, anything else its default.
pub(super) fn param(node: &Node, how: &Read<'_>) -> Option<Param> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Param { schema: Value::Object(Map::new()), default: Some(node.to_json()) });
    }
    let others = others(node);
    let hint = ": a map that is the default itself stands under \"default\"";
    let mut declared: Declaration = read(node, &Read { others: &others, hint, ..*how })?;
    if declared.allowed.as_ref().is_some_and(Vec::is_empty) {
        let at = node.get("enum").map_or(node.at, |node| node.at);
        let message = format!("{}: \"enum\" is empty: no value is allowed", how.what);
        how.report.error(Page::Params, at, message);
        return None;
    }
    let default = declared.default.take();
    let mut schema = serde_json::to_value(&declared).expect("a declaration is plain JSON");
    for (key, value) in node.entries().iter().filter(|(key, _)| others.contains(&&*key.text)) {
        schema[&key.text] = value.to_json();
    }
    let param = Param { schema, default };
    if let Some(Err(why)) = param.validator() {
        how.report.error(Page::Params, node.at, format!("{} is no JSON Schema: {why}", how.what));
        return None;
    }
    if let Some(problem) = param.default.as_ref().and_then(|value| param.problem(value)) {
        let at = node.get("default").map_or(node.at, |node| node.at);
        how.report.error(Page::Params, at, format!("{}: the default {problem}", how.what));
        return None;
    }
    Some(param)
}

/// The keys that are not read into a [`Declaration`]: the validator's, and those that resemble no word,
/// if any other word shows that this is a declaration.
fn others(node: &Node) -> Vec<&str> {
    let words = || CHECKED.iter().chain(LEFT).chain(WORDS).copied();
    let keys = || node.entries().iter().map(|(key, _)| key.text.as_str());
    let mut others: Vec<&str> = WORDS.to_vec();
    if keys().any(|key| words().any(|word| word == key)) {
        others.extend(keys().filter(|key| nearest(key, words()).is_none()));
    }
    others
}

impl Param {
    /// What is wrong with a value of this param, if anything.
    #[must_use]
    pub fn problem(&self, value: &Value) -> Option<Problem> {
        let declared = serde_json::from_value::<Declaration>(self.schema.clone()).ok();
        declared.and_then(|declared| declared.problem(value)).or_else(|| {
            let reasons = self.validator()?.ok()?.reasons(value);
            (!reasons.is_empty()).then_some(Problem::Unfit { reasons })
        })
    }

    /// What is wrong with what a run's `conf` has for this param, or with the default, if it has nothing.
    #[must_use]
    pub fn problem_of(&self, given: Option<&Value>) -> Option<Problem> {
        match given.or(self.default.as_ref()) {
            Some(value) => self.problem(value),
            None => Some(Problem::NoDefault),
        }
    }

    /// The whole schema, if there is more to it than a declaration checks itself.
    fn validator(&self) -> Option<Result<JsonSchema, String>> {
        let mut words = self.schema.as_object()?.keys();
        words
            .any(|word| !CHECKED.contains(&word.as_str()))
            .then(|| JsonSchema::of_param(&self.schema))
    }
}

impl Dag {
    /// The params of a run: defaults overlaid by `conf`, or everything wrong with them.
    pub fn params_with(&self, conf: &Value) -> Result<Value, Vec<String>> {
        let mut values = Map::new();
        let mut problems = Vec::new();
        for (name, param) in &self.params {
            let given = conf.get(name);
            if let Some(problem) = param.problem_of(given) {
                problems.push(format!("param \"{name}\" {problem}"));
            }
            if let Some(value) = given.or(param.default.as_ref()) {
                values.insert(name.clone(), value.clone());
            }
        }
        if problems.is_empty() { Ok(values.into()) } else { Err(problems) }
    }
}

impl Declaration {
    fn problem(&self, value: &Value) -> Option<Problem> {
        self.type_problem(value)
            .or_else(|| self.bound_problem(value))
            .or_else(|| self.length_problem(value))
    }

    fn type_problem(&self, value: &Value) -> Option<Problem> {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(value)
        {
            let allowed = Value::from(allowed.clone());
            return Some(Problem::NotOneOf { value: value.clone(), allowed });
        }
        let types = match self.types.as_ref()? {
            Types::One(one) => std::slice::from_ref(one),
            Types::Several(several) => several,
        };
        if types.iter().any(|kind| kind.takes(value)) {
            return None;
        }
        let types = types.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
        Some(Problem::NotOfType { value: value.clone(), types })
    }

    fn bound_problem(&self, value: &Value) -> Option<Problem> {
        let number = value.as_f64()?;
        type Bound = (Option<f64>, fn(f64, f64) -> bool, Limit);
        let bounds: [Bound; 4] = [
            (self.minimum, |number, bound| number >= bound, Limit::AtLeast),
            (self.maximum, |number, bound| number <= bound, Limit::AtMost),
            (self.exclusive_minimum, |number, bound| number > bound, Limit::MoreThan),
            (self.exclusive_maximum, |number, bound| number < bound, Limit::LessThan),
        ];
        bounds.into_iter().find_map(|(bound, holds, limit)| {
            let bound = bound.filter(|bound| !holds(number, *bound))?.to_string();
            Some(Problem::OutOfBounds { value: value.clone(), limit, bound })
        })
    }

    fn length_problem(&self, value: &Value) -> Option<Problem> {
        let (length, least, most, of) = match value {
            Value::String(text) => {
                (text.chars().count(), self.min_length, self.max_length, Counted::Characters)
            }
            Value::Array(items) => (items.len(), self.min_items, self.max_items, Counted::Items),
            _ => return None,
        };
        if let Some(least) = least.filter(|least| length < *least) {
            return Some(Problem::TooShort { length, least, of });
        }
        let most = most.filter(|most| length > *most)?;
        Some(Problem::TooLong { length, most, of })
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
