//! The one Jinja environment: strict about what is undefined, bounded in what it may do.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::{arithmetic, datetime, filters, python};

/// Instructions that one template may run.
const FUEL: u64 = 200_000;

/// The environment of all templates.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python::method);
    environment.remove_global("debug");
    datetime::add_filters(&mut environment);
    arithmetic::add_filters(&mut environment);
    filters::add_filters(&mut environment);
    environment
});
