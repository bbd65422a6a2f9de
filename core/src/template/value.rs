//! JSON and a template's values, both ways.

use minijinja::value::{Value as Jinja, ValueKind};
use serde_json::{Map, Number, Value};

use super::datetime::Moment;

/// JSON as a template's value; null is Python's None.
pub(super) fn jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(value) => Jinja::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Jinja::from(whole),
            (None, Some(whole)) => Jinja::from(whole),
            (None, None) => Jinja::from(number.as_f64()),
        },
        Value::String(text) => Jinja::from(text.as_str()),
        Value::Array(items) => items.iter().map(jinja).collect(),
        Value::Object(entries) => {
            Jinja::from_pairs(entries.iter().map(|(key, value)| (key.as_str(), jinja(value))))
        }
    }
}

/// A template's value as JSON. Dates are written as they print.
pub(super) fn json(value: &Jinja) -> Result<Value, minijinja::Error> {
    if value.downcast_object_ref::<Moment>().is_some() {
        return Ok(value.to_string().into());
    }
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => number(value)?,
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| json(&item)).collect::<Result<_, _>>()?
        }
        ValueKind::Map => {
            let mut entries = Map::new();
            for key in value.try_iter()? {
                entries.insert(key.to_string(), json(&value.get_item(&key)?)?);
            }
            entries.into()
        }
        _ => value.to_string().into(),
    })
}

fn number(value: &Jinja) -> Result<Value, minijinja::Error> {
    if value.is_integer() {
        if let Ok(whole) = i64::try_from(value.clone()) {
            return Ok(whole.into());
        }
        if let Ok(whole) = u64::try_from(value.clone()) {
            return Ok(whole.into());
        }
    }
    let float = f64::try_from(value.clone())?;
    Ok(Number::from_f64(float).map_or(Value::Null, Value::Number))
}

/// Whether a value is true, as Python takes it.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}
