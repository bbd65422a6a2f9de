//! Methods of Python's texts and dicts that templates written for Airflow call.

use minijinja::value::{Value as Jinja, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

/// Calls a method that minijinja's own values do not have.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Jinja,
    name: &str,
    args: &[Jinja],
) -> Result<Jinja, Error> {
    let found = match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(text, name, args)?,
        (None, ValueKind::Map) => of_dict(state, value, name, args)?,
        _ => None,
    };
    let kind = value.kind();
    found.ok_or_else(|| {
        Error::new(ErrorKind::UnknownMethod, format!("a {kind} has no method `{name}`"))
    })
}

fn of_text(text: &str, name: &str, args: &[Jinja]) -> Result<Option<Jinja>, Error> {
    let none = || from_args::<()>(args);
    let one = || from_args::<(&str,)>(args).map(|(word,)| word);
    let strip = || from_args::<(Option<&str>,)>(args).map(|(set,)| set);
    let in_set = |set: Option<&str>, c: char| set.map_or(c.is_whitespace(), |set| set.contains(c));
    Ok(Some(match name {
        "upper" => none().map(|()| text.to_uppercase().into())?,
        "lower" => none().map(|()| text.to_lowercase().into())?,
        "strip" => strip().map(|set| text.trim_matches(|c| in_set(set, c)).into())?,
        "lstrip" => strip().map(|set| text.trim_start_matches(|c| in_set(set, c)).into())?,
        "rstrip" => strip().map(|set| text.trim_end_matches(|c| in_set(set, c)).into())?,
        "startswith" => text.starts_with(one()?).into(),
        "endswith" => text.ends_with(one()?).into(),
        "isdigit" => none()
            .map(|()| (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).into())?,
        "replace" => {
            let (from, to): (&str, &str) = from_args(args)?;
            text.replace(from, to).into()
        }
        "split" => match from_args::<(Option<&str>,)>(args)?.0 {
            Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
            Some(separator) => text.split(separator).map(Jinja::from).collect(),
            None => text.split_whitespace().map(Jinja::from).collect(),
        },
        "join" => {
            let (items,): (Vec<String>,) = from_args(args)?;
            items.join(text).into()
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            format!("{text:0>width$}", width = width.min(1_000)).into()
        }
        _ => return Ok(None),
    }))
}

fn of_dict(
    state: &mut State<'_, '_>,
    dict: &Jinja,
    name: &str,
    args: &[Jinja],
) -> Result<Option<Jinja>, Error> {
    Ok(Some(match name {
        "get" => {
            let (key, default): (&Jinja, Option<Jinja>) = from_args(args)?;
            let found = dict.get_item(key)?;
            if found.is_undefined() { default.unwrap_or_else(|| Jinja::from(())) } else { found }
        }
        "keys" => dict.try_iter()?.collect(),
        "values" => {
            dict.try_iter()?.map(|key| dict.get_item(&key)).collect::<Result<Vec<_>, _>>()?.into()
        }
        "items" => state.apply_filter("items", std::slice::from_ref(dict))?,
        _ => return Ok(None),
    }))
}
