//! `+` and `-` of dates and spans of time, as Python has them: `logical_date - macros.timedelta(days=1)`.
//!
//! minijinja adds numbers, texts and lists, and asks no object. In a template that has one of the two they
//! become calls of filters, which know dates and leave everything else to minijinja.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use minijinja::machinery::{self, CodeGenerator, Instruction, Instructions, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Value as Jinja};
use minijinja::{AutoEscape, Environment, Error, Output};

use super::datetime::{Moment, far};
use super::environment::ENVIRONMENT;
use super::macros::Delta;

/// Names of filters that no template can write.
const PLUS: &str = "+";
const MINUS: &str = "-";

/// Looks the filter up anew at each call.
const NOT_CACHED: u8 = u8::MAX;

type Blocks<'t> = BTreeMap<&'t str, Instructions<'t>>;

/// Writes what a template renders to.
pub(super) fn render(template: &str, root: &Jinja, out: impl Write) -> Result<(), Error> {
    if compiled(template)?.is_none() {
        let plain = ENVIRONMENT.template_from_str(template)?;
        return plain.render_captured_to(root.clone(), out).map(drop);
    }
    let it = Jinja::from_object(Whole { template: template.to_owned(), root: root.clone() });
    let root = Jinja::from_pairs([("it", it)]);
    WRITER.template_from_str("{{ it }}")?.render_captured_to(root, out).map(drop)
}

/// Returns the value of an expression.
pub(super) fn eval(expression: &str, root: Jinja) -> Result<Jinja, Error> {
    let tree = parse_expr(expression)?;
    let mut code = CodeGenerator::new("<expression>", expression);
    code.compile_expr(&tree);
    let (mut code, blocks) = code.finish();
    if !knows_dates(&mut code) {
        return ENVIRONMENT.compile_expression(expression)?.eval(root);
    }
    let mut nothing = String::new();
    let mut out = machinery::make_string_output(&mut nothing);
    let environment: &Environment<'_> = &ENVIRONMENT;
    let found = machinery::eval(environment, &code, root, &blocks, &mut out, AutoEscape::None)?.0;
    Ok(found.unwrap_or(Jinja::UNDEFINED))
}

/// Adds the filters that the operators become.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter(PLUS, plus);
    environment.add_filter(MINUS, minus);
}

/// A template whose operators know dates; `None`: it has none of them.
fn compiled(template: &str) -> Result<Option<(Instructions<'_>, Blocks<'_>)>, Error> {
    if !template.contains(['+', '-']) {
        return Ok(None);
    }
    let tree = parse(template, "<string>", SyntaxConfig::default())?;
    let mut code = CodeGenerator::new("<string>", template);
    code.compile_stmt(&tree);
    let (mut code, mut blocks) = code.finish();
    let mut found = knows_dates(&mut code);
    for block in blocks.values_mut() {
        found |= knows_dates(block);
    }
    Ok(found.then_some((code, blocks)))
}

/// Turns the operators into calls; returns whether there was one.
fn knows_dates(code: &mut Instructions<'_>) -> bool {
    let (mut found, mut at) = (false, 0);
    while let Some(instruction) = code.get_mut(at) {
        let filter = match instruction {
            Instruction::Add => Some(PLUS),
            Instruction::Sub => Some(MINUS),
            _ => None,
        };
        if let Some(filter) = filter {
            *instruction = Instruction::ApplyFilter(filter, Some(2), NOT_CACHED);
            found = true;
        }
        at += 1;
    }
    found
}

fn plus(left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    match (moment(left), span(left), moment(right), span(right)) {
        (Some(date), _, _, Some(span)) | (_, Some(span), Some(date), _) => {
            date.moved(span.0).map(Jinja::from_object)
        }
        (_, Some(left), _, Some(right)) => sum(left.0.checked_add(&right.0)),
        _ => own("left + right", left, right),
    }
}

fn minus(left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    match (moment(left), span(left), moment(right), span(right)) {
        (Some(date), _, _, Some(span)) => date.moved(-span.0).map(Jinja::from_object),
        (Some(left), _, Some(right), _) => Ok(Jinja::from_object(Delta(left.since(right)))),
        (_, Some(left), _, Some(right)) => sum(left.0.checked_sub(&right.0)),
        _ => own("left - right", left, right),
    }
}

/// What minijinja makes of it.
fn own(expression: &'static str, left: &Jinja, right: &Jinja) -> Result<Jinja, Error> {
    let operands = Jinja::from_pairs([("left", left.clone()), ("right", right.clone())]);
    ENVIRONMENT.compile_expression(expression)?.eval(operands)
}

fn moment(value: &Jinja) -> Option<Moment> {
    value.downcast_object_ref::<Moment>().copied()
}

fn span(value: &Jinja) -> Option<&Delta> {
    value.downcast_object_ref::<Delta>()
}

fn sum(span: Option<chrono::TimeDelta>) -> Result<Jinja, Error> {
    Ok(Jinja::from_object(Delta(span.ok_or_else(far)?)))
}

/// A template and what it sees, rendered where it is shown: only so does minijinja write the code of ours
/// into something that may end it.
#[derive(Debug)]
struct Whole {
    template: String,
    root: Jinja,
}

impl Object for Whole {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Whole {
    fn write(&self, out: &mut Output<'_>) -> Result<(), Error> {
        let Some((code, blocks)) = compiled(&self.template)? else { return Ok(()) };
        let environment: &Environment<'_> = &ENVIRONMENT;
        let root = self.root.clone();
        machinery::eval(environment, &code, root, &blocks, out, AutoEscape::None).map(drop)
    }
}

/// Shows nothing but whole templates.
static WRITER: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut writer = Environment::new();
    writer.set_formatter(|out, _, value| match value.downcast_object_ref::<Whole>() {
        Some(whole) => whole.write(out),
        None => Ok(()),
    });
    writer
});
