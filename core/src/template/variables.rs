//! `var`: the variables that people set for all DAGs.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Value as Jinja, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value;

use super::value::jinja;

/// `var.value` or `var.json`.
#[derive(Debug)]
struct Variables {
    values: Arc<BTreeMap<String, String>>,
    as_json: bool,
}

/// Returns `var`.
pub(super) fn variables(values: &BTreeMap<String, String>) -> Jinja {
    let values = Arc::new(values.clone());
    let of = |as_json| Jinja::from_object(Variables { values: values.clone(), as_json });
    Jinja::from_pairs([("value", of(false)), ("json", of(true))])
}

impl Variables {
    fn get(&self, key: &str) -> Option<Result<Jinja, Error>> {
        let text = self.values.get(key)?;
        if !self.as_json {
            return Some(Ok(text.as_str().into()));
        }
        // The parser's own words could quote a secret.
        let read = serde_json::from_str::<Value>(text).map_err(|_| {
            let why = format!("variable `{key}` is not JSON: read it with var.value");
            Error::new(ErrorKind::InvalidOperation, why)
        });
        Some(read.map(|value| jinja(&value)))
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match self.get(key.as_str()?)? {
            Ok(value) => Some(value),
            // An error as a value: whoever uses it gets it.
            Err(error) => Some(Jinja::from(error)),
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        if method != "get" {
            let why = format!("var has no method {method}");
            return Err(Error::new(ErrorKind::UnknownMethod, why));
        }
        let (key, default, named): (Option<String>, Option<Jinja>, Kwargs) = from_args(args)?;
        let key = match key {
            Some(key) => key,
            None => named.get("key")?,
        };
        let default = match default {
            Some(default) => Some(default),
            None => named.get("default_var").or_else(|_| named.get("default"))?,
        };
        named.assert_all_used()?;
        match (self.get(&key), default) {
            (Some(value), _) => value,
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let why = format!("variable `{key}` does not exist");
                Err(Error::new(ErrorKind::UndefinedError, why))
            }
        }
    }
}
