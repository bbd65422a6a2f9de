//! What the templates of a task use of its run, all of them together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::context::XComKey;
use super::is_template;
use super::uses::{Use, uses};
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
