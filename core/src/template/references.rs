//! What a template uses: read from its syntax tree, without running it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use minijinja::machinery::ast::{Call, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};
use minijinja::value::ValueKind;
use serde_json::Value;

use super::context::{XComKey, XComOf};
use super::{bounds, is_template};
use crate::dag::model::{Source, Task};

/// Dates of the last successful run before.
pub(super) const PREVIOUS: [&str; 4] = [
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
];

/// What the templates of a task use of its run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Tasks whose dataset is used: `tasks.X.output`.
    pub outputs: BTreeSet<String>,
    /// XComs that are pulled.
    pub xcoms: BTreeSet<XComKey>,
    /// Params by name; `*` where all of them are used at once.
    pub params: BTreeSet<String>,
    /// Whether the run's conf is used.
    pub conf: bool,
    /// Whether something of the last successful run is used.
    pub previous: bool,
    /// Variables, with whether a template can do without.
    pub variables: BTreeMap<String, bool>,
    /// Connections by their ids.
    pub connections: BTreeSet<String>,
}

impl References {
    /// Every XCom that rendering needs: those pulled, and datasets, whose key is `output`.
    #[must_use]
    pub fn needed_xcoms(&self) -> BTreeSet<XComKey> {
        let outputs = self.outputs.iter().map(|task| XComKey::output_of(task));
        self.xcoms.iter().cloned().chain(outputs).collect()
    }

    fn add(&mut self, used: &Use) {
        match used {
            Use::Output(task) => _ = self.outputs.insert(task.clone()),
            Use::XComs(keys) => self.xcoms.extend(keys.iter().cloned()),
            Use::Param(name) => _ = self.params.insert(name.clone()),
            Use::Conf => self.conf = true,
            Use::Variable { key, optional } => {
                let known = self.variables.entry(key.clone()).or_insert(*optional);
                *known &= *optional;
            }
            Use::Connection { id, .. } => _ = self.connections.insert(id.clone()),
            Use::Path(path) if PREVIOUS.contains(&path[0].as_str()) => self.previous = true,
            Use::Group(_) | Use::Path(_) | Use::Filter(_) | Use::Test(_) | Use::Wrong(_) => {}
        }
    }
}

/// Returns what the templates in a task's `with` use. Templates that can't be read use nothing.
#[must_use]
pub fn references(with: &Value) -> References {
    let mut found = References::default();
    collect(with, &mut found);
    found
}

/// Returns what all templates of a task use.
#[must_use]
pub fn references_of(task: &Task) -> References {
    let mut found = references(&task.with);
    if let Some(when) = &task.when {
        collect(&Value::from(when.as_str()), &mut found);
    }
    for (_, source) in task.expand.iter().flat_map(|expand| &expand.arguments) {
        collect_items(source, &mut found);
    }
    found
}

/// What is written out in the file is rendered; what tasks return is not.
fn collect_items(source: &Source, found: &mut References) {
    match source {
        Source::Literal(value) => collect(value, found),
        Source::Task { .. } => {}
        Source::Zip { of, .. } => of.iter().for_each(|source| collect_items(source, found)),
    }
}

fn collect(value: &Value, found: &mut References) {
    match value {
        Value::String(text) if is_template(text) => {
            for (used, _) in uses(text).unwrap_or_default() {
                found.add(&used);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// One use of something outside the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// A param's name, or `*`.
    Param(String),
    Conf,
    /// `var.value.x`, `var.json.x`; one with a default is optional.
    Variable {
        key: String,
        optional: bool,
    },
    /// `conn.x.host`.
    Connection {
        id: String,
        field: String,
    },
    Output(String),
    /// An argument of the mapped group.
    Group(String),
    XComs(Vec<XComKey>),
    /// Any other variable, with the attributes taken of it.
    Path(Vec<String>),
    Filter(String),
    Test(String),
    /// Something that no template may do.
    Wrong(String),
}

/// Returns all uses with the text of each, or the error of a template that can't be read.
pub(super) fn uses(text: &str) -> Result<Vec<(Use, &str)>, minijinja::Error> {
    bounds::check(text)?;
    let tree = parse(text, "template", minijinja::syntax::SyntaxConfig::default())?;
    let mut walk = Walk { text, found: Vec::new(), locals: HashSet::new() };
    walk.statement(&tree);
    Ok(walk.found)
}

struct Walk<'t> {
    text: &'t str,
    found: Vec<(Use, &'t str)>,
    /// Names that the template itself gives a value.
    locals: HashSet<String>,
}

impl<'t> Walk<'t> {
    /// Notes a use; its text goes from the start of `from` to the end of `span`.
    fn add_from(&mut self, used: Use, from: &Expr<'_>, span: Span) {
        let place = start(from)..span.end_offset as usize;
        self.found.push((used, self.text.get(place).unwrap_or(self.text).trim()));
    }

    fn add(&mut self, used: Use, span: Span) {
        let place = span.start_offset as usize..span.end_offset as usize;
        self.found.push((used, self.text.get(place).unwrap_or(self.text).trim()));
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => {
                self.expression(&each.iter);
                self.locals.insert("loop".to_owned());
                self.declare(&each.target);
                each.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            Stmt::WithBlock(block) => {
                for (target, value) in &block.assignments {
                    self.expression(value);
                    self.declare(target);
                }
                self.statements(&block.body);
            }
            Stmt::Set(set) => {
                self.expression(&set.expr);
                self.declare(&set.target);
            }
            Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.statements(&set.body);
                self.declare(&set.target);
            }
            Stmt::AutoEscape(block) => self.statements(&block.body),
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.statements(&block.body);
            }
            Stmt::Do(call) => self.call(&call.call),
            Stmt::Macro(declared) => {
                self.locals.insert(declared.name.to_owned());
                self.locals.insert("caller".to_owned());
                declared.args.iter().for_each(|arg| self.declare(arg));
                declared.defaults.iter().for_each(|default| self.expression(default));
                self.statements(&declared.body);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.statements(&block.macro_decl.body);
            }
            Stmt::Block(block) => self.statements(&block.body),
            Stmt::Import(part) => self.add(other_file(), part.span()),
            Stmt::FromImport(part) => self.add(other_file(), part.span()),
            Stmt::Extends(part) => self.add(other_file(), part.span()),
            Stmt::Include(part) => self.add(other_file(), part.span()),
            // Other features of minijinja may add statements; they use nothing of the run.
            #[expect(unreachable_patterns, reason = "features of minijinja add variants")]
            _ => {}
        }
    }

    fn declare(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => _ = self.locals.insert(var.id.to_owned()),
            Expr::List(list) => list.items.iter().for_each(|item| self.declare(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.declare(item)),
            _ => {}
        }
    }

    fn expression(&mut self, expr: &Expr<'_>) {
        if let Some(path) = path(expr) {
            return self.path(path, expr);
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| self.expression(part));
            }
            Expr::UnaryOp(op) => self.expression(&op.expr),
            Expr::BinOp(op) => {
                self.expression(&op.left);
                self.expression(&op.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|expr| self.expression(expr));
            }
            Expr::Filter(filter) => {
                self.add(Use::Filter(filter.name.to_owned()), filter.span());
                filter.expr.iter().for_each(|expr| self.expression(expr));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.add(Use::Test(test.name.to_owned()), test.span());
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(attribute) => self.expression(&attribute.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|expr| self.expression(expr));
            }
        }
    }

    fn call(&mut self, call: &minijinja::machinery::ast::Spanned<Call<'_>>) {
        let callee = path(&call.expr);
        match callee.as_deref() {
            Some([var, kind, method]) if is_variables(var, kind) && method == "get" => {
                let used = variable(&call.args);
                self.add_from(used, &call.expr, call.span());
            }
            Some([ti, method]) if is_ti(ti) && method == "xcom_pull" => {
                let used = xcom_pull(&call.args).map_or_else(Use::Wrong, Use::XComs);
                self.add_from(used, &call.expr, call.span());
            }
            Some([name, method]) if name == "params" && !self.locals.contains(name) => {
                match params(method, &call.args) {
                    Some(used) => self.add_from(used, &call.expr, call.span()),
                    None => self.expression(&call.expr),
                }
            }
            _ => self.expression(&call.expr),
        }
        self.arguments(&call.args);
    }

    fn arguments(&mut self, args: &[CallArg<'_>]) {
        for arg in args {
            match arg {
                CallArg::Pos(expr)
                | CallArg::Kwarg(_, expr)
                | CallArg::PosSplat(expr)
                | CallArg::KwargSplat(expr) => self.expression(expr),
            }
        }
    }

    fn path(&mut self, path: Vec<String>, expr: &Expr<'_>) {
        if self.locals.contains(&path[0]) {
            return;
        }
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let used = match names[..] {
            ["params", name, ..] => Use::Param(name.to_owned()),
            ["dag", "params", ref rest @ ..] => {
                let name = rest.first().copied().unwrap_or("name");
                Use::Wrong(format!("the run's params are meant: write {{{{ params.{name} }}}}"))
            }
            ["params"] => Use::Param("*".to_owned()),
            ["dag_run", "conf", ..] => Use::Conf,
            ["var", "value" | "json", "get"] => {
                Use::Wrong("get is a call: {{ var.value.get('name', 'default') }}".to_owned())
            }
            ["var", "value" | "json", key, ..] => {
                Use::Variable { key: key.to_owned(), optional: false }
            }
            ["var", ..] => Use::Wrong(
                "name a variable: {{ var.value.name }}, or {{ var.json.name }} for JSON".to_owned(),
            ),
            ["conn", id, field, ..] if id != "get" => {
                Use::Connection { id: id.to_owned(), field: field.to_owned() }
            }
            ["conn", ..] => Use::Wrong(
                "name a connection and its field: {{ conn.warehouse.host }}, or \
                 {{ conn['my-warehouse'].host }}"
                    .to_owned(),
            ),
            ["tasks", task, "output", ..] => Use::Output(task.to_owned()),
            ["group", name, ..] => Use::Group(name.to_owned()),
            ["group"] => Use::Wrong("name an argument: {{ group.<argument> }}".to_owned()),
            [ti, "xcom_pull"] if is_ti(ti) => {
                Use::Wrong("xcom_pull is a call: {{ ti.xcom_pull('task') }}".to_owned())
            }
            _ => Use::Path(path),
        };
        self.add_from(used, expr, expr.span());
    }
}

/// Where an expression begins: minijinja's span of `a.b.c` begins at the last dot but one.
fn start(expr: &Expr<'_>) -> usize {
    match expr {
        Expr::GetAttr(attribute) => start(&attribute.expr),
        Expr::GetItem(item) => start(&item.expr),
        Expr::Call(call) => start(&call.expr),
        other => other.span().start_offset as usize,
    }
}

fn is_ti(name: &str) -> bool {
    matches!(name, "ti" | "task_instance")
}

fn is_variables(var: &str, kind: &str) -> bool {
    var == "var" && matches!(kind, "value" | "json")
}

/// The variable of `var.value.get(name, default)`. Its name is to be a literal: the server sends the
/// value along before anything is rendered.
fn variable(args: &[CallArg<'_>]) -> Use {
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
fn params(method: &str, args: &[CallArg<'_>]) -> Option<Use> {
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

fn other_file() -> Use {
    Use::Wrong("a template can't include or import other files".to_owned())
}

/// `a.b['c']` as its names; `None` for anything that is not a variable with constant attributes.
fn path(expr: &Expr<'_>) -> Option<Vec<String>> {
    match expr {
        Expr::Var(var) => Some(vec![var.id.to_owned()]),
        Expr::GetAttr(attribute) => {
            let mut names = path(&attribute.expr)?;
            names.push(attribute.name.to_owned());
            Some(names)
        }
        Expr::GetItem(item) => {
            let name = item.subscript_expr.as_const()?.as_str()?.to_owned();
            let mut names = path(&item.expr)?;
            names.push(name);
            Some(names)
        }
        _ => None,
    }
}

/// The XComs of `xcom_pull(task_ids, key, map_indexes, include_prior_dates)`. All are to be literals: the
/// server sends these values along before anything is rendered.
fn xcom_pull(args: &[CallArg<'_>]) -> Result<Vec<XComKey>, String> {
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
