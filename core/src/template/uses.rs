//! What a template uses: read from its syntax tree, without running it.

use std::collections::HashSet;

use minijinja::machinery::ast::{Call, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};

use super::bounds;
use super::calls::{params, variable, xcom_pull};
use super::context::XComKey;

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
