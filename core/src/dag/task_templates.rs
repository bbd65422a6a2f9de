//! The templates of tasks and groups: what they may name, and where no value may stand.

use std::collections::BTreeSet;

use super::diagnostic::At;
use super::page::Page;
use super::tasks::Tasks;
use super::written::Written;
use super::yaml::Node;
use crate::operators::Operator;
use crate::template::{self, Known};

impl Tasks<'_> {
    /// `when` is one expression.
    pub(super) fn check_when(&self, written: &Written<'_>, upstream: &mut BTreeSet<String>) {
        let Some(node) = written.node.get("when") else { return };
        let Some(text) = node.text() else { return };
        if !template::is_expression(text) {
            let message = "\"when\" is one template, such as \"{{ params.full }}\"";
            return self.report.error(
                Page::Branches,
                node.at,
                format!("task {:?}: {message}", written.id),
            );
        }
        self.check_template(written, node.at, text, None, upstream);
    }

    pub(super) fn check_template(
        &self,
        written: &Written<'_>,
        at: At,
        text: &str,
        code_of: Option<&'static Operator>,
        upstream: &mut BTreeSet<String>,
    ) {
        let group = self.group_arguments(written);
        let known =
            Known { params: self.params, tasks: &self.names, arguments: &[], group: &group };
        let checked = template::check(text, &known);
        for problem in &checked.problems {
            self.report.error(
                Page::Templates,
                self.report.within(at, &problem.part),
                problem.message.as_str(),
            );
        }
        if let Some(operator) = code_of {
            for part in &checked.values {
                self.report.error(
                    Page::Commands,
                    self.report.within(at, part),
                    in_code(operator, part),
                );
            }
        }
        for (task, part) in checked.outputs {
            let place = self.report.within(at, &part);
            if !self.names.contains(task.as_str()) {
                continue;
            }
            if !self.check_upstream(written, &task, place) {
                continue;
            }
            if self.mapped.contains(task.as_str()) && !self.in_one_group(written, &task) {
                let message = format!(
                    "task {task:?} is mapped, and datasets of its instances can't be handed on yet: \
                     what they return is {{{{ ti.xcom_pull('{task}') }}}}"
                );
                self.report.error(Page::Mapped, place, message);
            }
            if let Some(other) = self.operators.get(task.as_str()).filter(|o| !o.has_output) {
                let name = other.name;
                self.report.error(
                    Page::Templates,
                    place,
                    format!("task {task:?} ({name}) hands on no dataset"),
                );
            }
            upstream.insert(task);
        }
    }

    /// Checks a template that belongs to a group.
    pub(super) fn check_group_template(&self, at: At, text: &str) {
        let known = Known { params: self.params, tasks: &self.names, arguments: &[], group: &[] };
        for problem in &template::check(text, &known).problems {
            self.report.error(
                Page::Templates,
                self.report.within(at, &problem.part),
                problem.message.as_str(),
            );
        }
    }

    /// Checks the template that names the instances of a mapped task.
    pub(super) fn check_label_template(
        &self,
        node: &Node,
        text: &str,
        arguments: &[&str],
        group: &[&str],
    ) {
        let known = Known { params: self.params, tasks: &self.names, arguments, group };
        for problem in &template::check(text, &known).problems {
            self.report.error(
                Page::Templates,
                self.report.within(node.at, &problem.part),
                problem.message.as_str(),
            );
        }
    }
}

/// Why a value from outside may not stand in code, and where it goes instead.
fn in_code(operator: &Operator, part: &str) -> String {
    match operator.name {
        "bash" => format!(
            "a value may not stand in a command, where it would be run as code: \
             write env: {{VALUE: \"{{{{ {part} }}}}\"}} and \"$VALUE\" in the command"
        ),
        _ => format!(
            "a value may not stand in code, where it would be run: \
             write input: {{value: \"{{{{ {part} }}}}\"}} and read it from the file $SUBAK_INPUT"
        ),
    }
}
