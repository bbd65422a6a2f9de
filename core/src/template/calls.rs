//! Calls in templates whose arguments are read without running them: `var.value.get`, `params.get` and
//! `ti.xcom_pull`.

use minijinja::machinery::ast::{CallArg, Expr};
use minijinja::machinery::parse_expr;
use minijinja::value::ValueKind;

use super::context::{XComKey, XComOf};
use super::uses::Use;

/// The variable of `var.value.get(name, default)`. Its name is to be a literal: the server sends the
/// value along before anything is rendered.
pub(super) fn variable(args: &[CallArg<'_>]) -> Use {
    let name = match args.first() {
        Some(CallArg::Pos(name) | CallArg::Kwarg("key", name)) => name.as_const(),
        _ => None,
    };
    match name.as_ref().and_then(|name| name.as_str()) {
        Some(key) => Use::Variable { key: key.to_owned(), optional: args.len() > 1 },
        None => Use::Wrong(
            "a variable's name is written out, such as var.value.get('name', 'default')".to_owned(),
        ),
    }
}

/// What `params.get(name)` and the like name; `None`: it is no method of a dict.
pub(super) fn params(method: &str, args: &[CallArg<'_>]) -> Option<Use> {
    let name = match (method, args.first()) {
        ("items" | "keys" | "values", None) => return Some(Use::Param("*".to_owned())),
        ("get", Some(CallArg::Pos(name))) => name.as_const(),
        _ => return None,
    };
    Some(match name.as_ref().and_then(|name| name.as_str()) {
        Some(name) => Use::Param(name.to_owned()),
        None => Use::Wrong("a param's name is written out, such as params.get('name')".to_owned()),
    })
}

/// The XComs of `xcom_pull(task_ids, key, map_indexes, include_prior_dates, default)`. All but the default
/// are to be literals: the server sends these values along before anything is rendered.
pub(super) fn xcom_pull(args: &[CallArg<'_>]) -> Result<Vec<XComKey>, String> {
    let mut task_ids = None;
    let mut key = "return_value".to_owned();
    let (mut indexes, mut prior) = (Vec::new(), false);
    for (index, arg) in args.iter().enumerate() {
        let (name, expr) = match arg {
            CallArg::Pos(expr) => (["task_ids", "key"].get(index).copied().unwrap_or(""), expr),
            CallArg::Kwarg(name, expr) => (*name, expr),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return Err(literal("arguments")),
        };
        let value = expr.as_const();
        match name {
            "task_ids" => task_ids = Some(value.ok_or_else(|| literal("task ids"))?),
            "key" => {
                let text = value.as_ref().and_then(|value| value.as_str().map(str::to_owned));
                key = text.ok_or_else(|| literal("the key"))?;
            }
            "map_indexes" => {
                let value = value.ok_or_else(|| literal("map indexes"))?;
                indexes = map_indexes(&value).ok_or_else(|| {
                    "\"map_indexes\" of xcom_pull is an index or a list of indexes, from 0"
                        .to_owned()
                })?;
            }
            "include_prior_dates" => {
                let is_bool = value.filter(|value| value.kind() == ValueKind::Bool);
                prior = is_bool.ok_or_else(|| literal("\"include_prior_dates\""))?.is_true();
            }
            // What stands for a value that there is not; nothing is sent for it.
            "default" => {}
            other => return Err(format!("xcom_pull with {other:?} is not supported yet")),
        }
    }
    let task_ids = task_ids.ok_or("xcom_pull needs a task: ti.xcom_pull('task')")?;
    let names: Option<Vec<String>> = match task_ids.as_str() {
        Some(name) => Some(vec![name.to_owned()]),
        None => task_ids.try_iter().ok().and_then(|ids| {
            ids.map(|id| id.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }),
    };
    let names = names.ok_or_else(|| literal("task ids"))?;
    if prior && !indexes.is_empty() {
        let message = "xcom_pull takes \"map_indexes\" or \"include_prior_dates\", not both";
        return Err(message.to_owned());
    }
    if names.len() > 1 && indexes.len() > 1 {
        return Err("xcom_pull takes several tasks or several \"map_indexes\", not both".to_owned());
    }
    let of = match (indexes.is_empty(), prior) {
        (false, _) => indexes.into_iter().map(XComOf::Instance).collect(),
        (true, true) => vec![XComOf::Prior],
        (true, false) => vec![XComOf::Run],
    };
    let named = |id: String| {
        let key = XComKey::new(&id, &key);
        of.iter().map(move |of| XComKey { of: *of, ..key.clone() }).collect::<Vec<_>>()
    };
    Ok(names.into_iter().flat_map(named).collect())
}

/// Whether an expression is a call with a default.
pub(super) fn has_default(expression: &str) -> bool {
    let is_default = |arg: &CallArg<'_>| matches!(arg, CallArg::Kwarg("default", _));
    matches!(parse_expr(expression), Ok(Expr::Call(call)) if call.args.iter().any(is_default))
}

/// One index, or a list of them.
fn map_indexes(value: &minijinja::Value) -> Option<Vec<i32>> {
    let index = |value: &minijinja::Value| {
        value.as_i64().and_then(|index| i32::try_from(index).ok()).filter(|index| *index >= 0)
    };
    match value.kind() {
        ValueKind::Seq => value.try_iter().ok()?.map(|value| index(&value)).collect(),
        _ => index(value).map(|index| vec![index]),
    }
}

fn literal(what: &str) -> String {
    format!("xcom_pull needs {what} written out, such as ti.xcom_pull('task')")
}
