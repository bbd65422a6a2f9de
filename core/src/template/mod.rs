//! Templates: Jinja as Airflow has it, strict and bounded.
//!
//! [`references`] and the check at parse time read a template's syntax tree; [`render_task`] runs it on
//! a worker. Both know the same variables, so that a template that can't be right is an error when the
//! file is read.

mod arithmetic;
mod bounds;
mod calls;
mod check;
mod connections;
mod context;
mod datetime;
mod environment;
mod filters;
mod growth;
mod macros;
mod python;
mod references;
mod render;
mod uses;
mod value;
mod variables;

pub(crate) use check::{Known, check};
pub use context::{GROUP_KEY, PreviousRun, RunContext, XComKey, XComOf};
pub use references::{References, references, references_of};
pub use render::{RenderError, has_templates, render, render_task};
pub use value::is_true;

/// Whether a text holds template syntax at all.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The expression, if the text is exactly one `{{ expression }}`: it yields a value, not text.
pub(crate) fn expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    bounds::check(text).ok()?;
    minijinja::machinery::parse_expr(inner).is_ok().then_some(inner)
}

/// Whether the text is exactly one `{{ expression }}`.
pub(crate) fn is_expression(text: &str) -> bool {
    expression(text).is_some()
}

/// Whether a template shows only what all tasks of a run see alike, whenever they start. One that can't be
/// read shows nothing.
pub(crate) fn is_of_run(text: &str) -> bool {
    use references::PREVIOUS;
    use uses::Use;
    let of_try = |used: &Use| match used {
        Use::Path(path) => {
            let name = path[0].as_str();
            let of_task = ["task", "ti", "task_instance", "task_instance_key_str"];
            of_task.contains(&name) || PREVIOUS.contains(&name)
        }
        Use::Param(_) | Use::Conf | Use::Filter(_) | Use::Test(_) | Use::Wrong(_) => false,
        Use::Variable { .. }
        | Use::Connection { .. }
        | Use::Output(_)
        | Use::Group(_)
        | Use::XComs(_) => true,
    };
    !uses::uses(text).is_ok_and(|uses| uses.iter().any(|(used, _)| of_try(used)))
}

/// Whether the text is exactly one `{{ tasks.<id>.output }}`.
pub(crate) fn is_output(text: &str) -> bool {
    is_expression(text) && matches!(uses::uses(text).as_deref(), Ok([(uses::Use::Output(_), _)]))
}

/// The XCom, if the text is exactly one `{{ ti.xcom_pull('task') }}` of one task, without a default.
pub(crate) fn pulled(text: &str) -> Option<XComKey> {
    let inner = expression(text)?.trim();
    match uses::uses(text).ok()?.as_slice() {
        _ if calls::has_default(inner) => None,
        [(uses::Use::XComs(keys), part)] if *part == inner => match keys.as_slice() {
            [key] => Some(key.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
