//! `expand` and `partial`: what a task is mapped over.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::diagnostic::At;
use super::model::{Expand, Source};
use super::page::Page;
use super::suggest::did_you_mean;
use super::tasks::Tasks;
use super::written::Written;
use super::yaml::{Key, Kind, Node, Read};
use crate::decide::MAP_MOST;
use crate::operators::{Operator, flow};
use crate::template::{self, XComKey, XComOf};

/// The arguments of a task as its operator is to read them.
pub(super) struct Arguments<'a> {
    /// `with` and `partial`: the same for every instance.
    pub(super) same: Cow<'a, Node>,
    /// These, and one item of everything that the task is mapped over.
    pub(super) sample: Cow<'a, Node>,
    pub(super) expand: Option<Expand>,
}

/// Whose `expand` is read.
pub(super) struct Place<'p> {
    /// For messages.
    pub(super) what: String,
    /// `None`: a group's.
    pub(super) written: Option<&'p Written<'p>>,
    /// The operator that runs the argument as code.
    pub(super) code_of: Option<&'static Operator>,
}

/// What `expand` may hold.
const EXPECTED: &str = "expected a list, a map, {zip: [a, b]}, or \"{{ ti.xcom_pull('task') }}\"";

impl Tasks<'_> {
    /// Reads `with`, `partial`, `expand` and `map_index_template` of a task.
    pub(super) fn arguments<'a>(
        &self,
        written: &Written<'a>,
        operator: &'static Operator,
        upstream: &mut BTreeSet<String>,
    ) -> Arguments<'a> {
        let node: &'a Node = written.node;
        let with = node.get("with").filter(|with| with.kind != Kind::Null);
        let with = with.map_or(Cow::Owned(nothing(written)), Cow::Borrowed);
        let Some(expand) = node.get("expand") else {
            let of_group = self.groups.mapped(written.group).next().is_some();
            if of_group {
                self.check_label(written, &[]);
            }
            for key in ["partial", "map_index_template"] {
                let is_named = of_group && key == "map_index_template";
                if let Some(node) = node.get(key).filter(|_| !is_named) {
                    let message = format!(
                        "task {:?}: {key:?} belongs to a task that is mapped, by \"expand\"",
                        written.id
                    );
                    self.report.error(Page::Mapped, node.at, message);
                }
            }
            return Arguments { sample: with.clone(), same: with, expand: None };
        };
        let same = match node.get("partial").filter(|partial| partial.kind != Kind::Null) {
            Some(partial) => Cow::Owned(self.joined(written, &with, partial)),
            None => with,
        };
        self.may_be_mapped(written, operator, expand);
        let mut arguments = Vec::new();
        let mut sample = same.clone().into_owned();
        let (key_only, empty) = match &expand.kind {
            Kind::Map(entries) => (true, entries.is_empty()),
            _ => (false, true),
        };
        if !key_only || empty {
            let message = "\"expand\" is a map of argument to a list, or to what a task returns";
            self.report.error(Page::Mapped, expand.at, format!("task {:?}: {message}", written.id));
        }
        for (key, node) in expand.entries() {
            let source = self.argument(written, operator, &same, key, node, upstream);
            if same.get(&key.text).is_none() {
                // What is wrong with it has been said.
                let item = source.as_ref().map_or_else(|| unknown(node), |_| sample_of(node));
                with_argument(&mut sample, key.clone(), item);
            }
            arguments.extend(source.map(|source| (key.text.clone(), source)));
        }
        let expand_model = Expand { arguments };
        let literal = expand_model.arguments.iter().map(|(_, source)| source.literal_length());
        let all = literal.fold(1_usize, |all, count| all.saturating_mul(count.unwrap_or(1)));
        if all > MAP_MOST as usize {
            let message =
                format!("task {:?} is mapped over {all} items: {MAP_MOST} is the most", written.id);
            self.report.error(Page::Mapped, expand.at, message);
        }
        let names: Vec<&str> =
            expand_model.arguments.iter().map(|(name, _)| name.as_str()).collect();
        self.check_label(written, &names);
        Arguments { same, sample: Cow::Owned(sample), expand: Some(expand_model) }
    }

    /// Checks the items of a mapped task one by one, once the first ones are known to be right.
    pub(super) fn check_items(
        &self,
        written: &Written<'_>,
        operator: &'static Operator,
        how: &Read<'_>,
        sample: &Node,
    ) {
        let entries = written.node.get("expand").map_or(&[][..], Node::entries);
        for (key, node) in entries {
            let Kind::List(items) = &node.kind else { continue };
            for item in items.iter().skip(1) {
                let before = self.report.len();
                let mut other = sample.clone();
                with_argument(&mut other, key.clone(), item.clone());
                operator.check(&other, how);
                if self.report.len() > before {
                    return;
                }
            }
        }
    }

    /// `with` and `partial` together.
    fn joined(&self, written: &Written<'_>, with: &Node, partial: &Node) -> Node {
        let mut entries = with.entries().to_vec();
        if !matches!(partial.kind, Kind::Map(_)) {
            let message = "\"partial\" is a map of arguments, as \"with\" is";
            self.report.error(
                Page::Mapped,
                partial.at,
                format!("task {:?}: {message}", written.id),
            );
        }
        for (key, node) in partial.entries() {
            if with.get(&key.text).is_some() {
                let message =
                    format!("task {:?}: {:?} is in \"with\" already", written.id, key.text);
                self.report.error(Page::Mapped, key.at, message);
            } else {
                entries.push((key.clone(), node.clone()));
            }
        }
        Node { at: with.at, kind: Kind::Map(entries) }
    }

    /// Reads what one argument is mapped over.
    fn argument(
        &self,
        written: &Written<'_>,
        operator: &'static Operator,
        same: &Node,
        key: &Key,
        node: &Node,
        upstream: &mut BTreeSet<String>,
    ) -> Option<Source> {
        let what = format!("task {:?}", written.id);
        let is_dataset = key.text == "input" && operator.name != "python" || key.text == "inputs";
        if same.get(&key.text).is_some() {
            let message = format!("{what}: {:?} is in \"with\" or \"partial\" already", key.text);
            self.report.error(Page::Mapped, key.at, message);
            return None;
        }
        if key.text == "connection" || is_dataset {
            let message = format!("{what}: {:?} can't be mapped over yet", key.text);
            self.report.error(Page::Mapped, key.at, message);
            return None;
        }
        let is_code = operator.code.contains(&key.text.as_str());
        let place = Place { what, written: Some(written), code_of: is_code.then_some(operator) };
        self.source(&place, node, upstream)
    }

    /// Reads something with items.
    pub(super) fn source(
        &self,
        place: &Place<'_>,
        node: &Node,
        upstream: &mut BTreeSet<String>,
    ) -> Option<Source> {
        let what = &place.what;
        if let Some(zip) = zip_of(node) {
            let Kind::List(parts) = &zip.kind else {
                self.report.error(
                    Page::Mapped,
                    zip.at,
                    format!("{what}: \"zip\" is a list of lists"),
                );
                return None;
            };
            for (key, _) in node
                .entries()
                .iter()
                .filter(|(key, _)| !matches!(key.text.as_str(), "zip" | "fill"))
            {
                let near = did_you_mean(&key.text, ["zip", "fill"]);
                let message = format!("{what}: unknown key {:?} beside \"zip\"{near}", key.text);
                self.report.error(Page::Mapped, key.at, message);
            }
            if parts.is_empty() {
                self.report.error(Page::Mapped, zip.at, format!("{what}: \"zip\" holds nothing"));
            }
            let of = parts.iter().map(|part| self.source(place, part, upstream));
            let of = of.collect::<Option<Vec<_>>>()?;
            let fill = node.get("fill");
            fill.iter().for_each(|fill| self.check_literal(place, fill, upstream));
            let source = Source::Zip { of, fill: fill.map(Node::to_json) };
            if !source.tasks().is_empty() && source.has_templates() {
                let why = "what tasks return is in the same \"zip\", and is not rendered";
                let message = format!("{what}: no template can stand here: {why}");
                self.report.error(Page::Mapped, zip.at, message);
            }
            return Some(source);
        }
        match &node.kind {
            Kind::List(_) | Kind::Map(_) => {
                self.check_literal(place, node, upstream);
                Some(Source::Literal(node.to_json()))
            }
            Kind::Text(text) if template::is_template(text) => {
                let before = self.report.len();
                self.check_source(place, node.at, text, upstream);
                if self.report.len() > before {
                    return None;
                }
                let message = match template::pulled(text) {
                    Some(XComKey { task_id, key, of: XComOf::Run })
                        if key == XComKey::RETURN_VALUE =>
                    {
                        if place
                            .written
                            .is_some_and(|written| !self.check_upstream(written, &task_id, node.at))
                        {
                            return None;
                        }
                        upstream.insert(task_id.clone());
                        return Some(Source::Task { task_id: task_id.as_str().into(), key });
                    }
                    Some(_) => "only what a task returns can be mapped over, not another key",
                    None if template::is_output(text) => {
                        return self.rows_of(place, node, text, upstream);
                    }
                    None => EXPECTED,
                };
                self.report.error(Page::Mapped, node.at, format!("{what}: {message}"));
                None
            }
            _ => {
                self.report.error(Page::Mapped, node.at, format!("{what}: {EXPECTED}"));
                None
            }
        }
    }

    /// The rows of another task's dataset: that task returns them.
    fn rows_of(
        &self,
        place: &Place<'_>,
        node: &Node,
        text: &str,
        upstream: &mut BTreeSet<String>,
    ) -> Option<Source> {
        let id = template::references(&Value::from(text)).outputs.into_iter().next()?;
        let operator = self.operators.get(id.as_str())?;
        let why = if !operator.has_output {
            format!("task {id:?} ({}) hands on no dataset", operator.name)
        } else if operator.name == super::sinks::CONSUME {
            "what a topic's records flow through cannot be mapped yet".to_owned()
        } else if self.mapped.contains(id.as_str()) {
            format!("task {id:?} is mapped itself: its datasets have no rows together")
        } else {
            upstream.insert(id.clone());
            self.rows_of.borrow_mut().insert(id.clone());
            let key = XComKey::RETURN_VALUE.to_owned();
            return Some(Source::Task { task_id: id.as_str().into(), key });
        };
        if place.written.is_none() || operator.name == super::sinks::CONSUME {
            self.report.error(Page::Mapped, node.at, format!("{}: {why}", place.what));
        }
        None
    }

    /// Checks a template that names a task.
    fn check_source(&self, place: &Place<'_>, at: At, text: &str, upstream: &mut BTreeSet<String>) {
        match place.written {
            Some(written) => self.check_template(written, at, text, place.code_of, upstream),
            None => self.check_group_template(at, text),
        }
    }

    /// Templates may stand in the items of a list that is written out.
    fn check_literal(&self, place: &Place<'_>, node: &Node, upstream: &mut BTreeSet<String>) {
        node.walk(&mut |node| {
            let Some(text) = node.text().filter(|text| template::is_template(text)) else { return };
            let message = if !template::references(&Value::from(text)).outputs.is_empty() {
                "a dataset in \"expand\" is not supported yet"
            } else if place.written.is_none() && !template::is_of_run(text) {
                "an item of a group shows what all of its tasks see alike: params, dates, run_id, dag_run"
            } else {
                return self.check_source(place, node.at, text, upstream);
            };
            self.report.error(Page::Mapped, node.at, format!("{}: {message}", place.what));
        });
    }

    /// What cannot be mapped, and why.
    fn may_be_mapped(&self, written: &Written<'_>, operator: &Operator, expand: &Node) {
        if flow::DECIDES.contains(&operator.name) {
            let (task, operator) = (written.id, operator.name);
            let message = format!(
                "task {task:?}: {operator:?} decides about the tasks below it once, and can't be mapped"
            );
            self.report.error(Page::Mapped, expand.at, message);
        }
    }

    /// `map_index_template` may name the arguments, of the task or of its group, and what is known of the
    /// run.
    fn check_label(&self, written: &Written<'_>, arguments: &[&str]) {
        let Some(node) = written.node.get("map_index_template") else { return };
        let Some(text) = node.text() else { return };
        let group = self.group_arguments(written);
        let used = template::references(&Value::from(text));
        let of_tasks = !used.xcoms.is_empty() || !used.outputs.is_empty();
        if of_tasks || !used.variables.is_empty() || !used.connections.is_empty() {
            let own = if group.is_empty() { "task.input" } else { "group.input" };
            let message = format!(
                "task {:?}: \"map_index_template\" names the instance's own arguments, such as \
                 {{{{ {own} }}}}, and no results of tasks, variables or connections",
                written.id
            );
            return self.report.error(Page::Mapped, node.at, message);
        }
        self.check_label_template(node, text, arguments, &group);
    }
}

impl Source {
    /// Whether what is written out of it holds templates.
    fn has_templates(&self) -> bool {
        match self {
            Self::Literal(items) => template::has_templates(items),
            Self::Task { .. } => false,
            Self::Zip { of, fill } => {
                of.iter().any(Self::has_templates)
                    || fill.as_ref().is_some_and(template::has_templates)
            }
        }
    }

    /// How many items a source has that needs no task; `None`: some task gives them.
    #[must_use]
    pub fn literal_length(&self) -> Option<usize> {
        match self {
            Self::Literal(Value::Array(items)) => Some(items.len()),
            Self::Literal(Value::Object(entries)) => Some(entries.len()),
            Self::Literal(_) => Some(0),
            Self::Task { .. } => None,
            Self::Zip { of, fill } => {
                let lengths = of.iter().map(Self::literal_length).collect::<Option<Vec<_>>>()?;
                let lengths = lengths.into_iter();
                if fill.is_some() { lengths.max() } else { lengths.min() }
            }
        }
    }
}

fn nothing(written: &Written<'_>) -> Node {
    Node { at: written.at, kind: Kind::Null }
}

/// The parts of `{zip: […]}`.
fn zip_of(node: &Node) -> Option<&Node> {
    node.get("zip")
}

/// One item of what an argument is mapped over, for the operator to look at.
fn sample_of(node: &Node) -> Node {
    if let Some(zip) = zip_of(node) {
        let Kind::List(parts) = &zip.kind else { return unknown(node) };
        return Node { at: zip.at, kind: Kind::List(parts.iter().map(sample_of).collect()) };
    }
    match &node.kind {
        Kind::List(items) => items.first().cloned().unwrap_or_else(|| unknown(node)),
        Kind::Map(entries) => entries.first().map_or_else(
            || unknown(node),
            |(key, value)| {
                let key = Node { at: key.at, kind: Kind::Text(key.text.clone()) };
                Node { at: value.at, kind: Kind::List(vec![key, value.clone()]) }
            },
        ),
        _ => node.clone(),
    }
}

/// Something that is not known before the task runs.
fn unknown(node: &Node) -> Node {
    Node { at: node.at, kind: Kind::Text("{{ item }}".to_owned()) }
}

fn with_argument(with: &mut Node, key: Key, value: Node) {
    if let Kind::Map(entries) = &mut with.kind {
        entries.retain(|(known, _)| known.text != key.text);
        entries.push((key, value));
    } else {
        with.kind = Kind::Map(vec![(key, value)]);
    }
}
