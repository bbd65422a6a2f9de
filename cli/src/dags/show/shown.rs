//! A DAG as people read it, from the database or from a server.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use subak_core::dag::model::Dag;
use subak_core::schedule::{self, Tz};
use subak_store::read::DagRecord;

use crate::output::{self, Table};

/// What is shown of a DAG.
pub(super) struct Shown {
    dag_id: String,
    version: i32,
    file: String,
    description: Option<String>,
    schedule: String,
    is_paused: bool,
    next_run_at: Option<DateTime<Utc>>,
    timezone: Tz,
    /// With their defaults.
    params: Vec<(String, String)>,
    tasks: Vec<Line>,
}

/// A task, and those that it waits for.
struct Line {
    task_id: String,
    operator: String,
    after: Vec<String>,
    rule: String,
    retries: u32,
}

/// What the API tells of a DAG.
#[derive(Deserialize)]
pub(super) struct Details {
    dag_id: String,
    fileloc: String,
    description: Option<String>,
    timetable_summary: Option<String>,
    timetable_description: String,
    is_paused: bool,
    next_dagrun_run_after: Option<DateTime<Utc>>,
    timezone: String,
    params: Params,
    latest_dag_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version_number: i32,
}

/// In the order in which they are told.
struct Params(Vec<(String, Param)>);

#[derive(Deserialize)]
struct Param {
    #[serde(default)]
    value: Value,
    /// Whether the value is one; a server from before does not tell, and null is none then.
    has_default: Option<bool>,
}

/// What the API tells of a task.
#[derive(Deserialize)]
pub(super) struct Task {
    task_id: String,
    operator_name: String,
    downstream_task_ids: Vec<String>,
    trigger_rule: String,
    retries: u32,
}

impl Param {
    /// The default, if there is one.
    fn given(&self) -> Option<&Value> {
        let is_given = self.has_default.unwrap_or(!self.value.is_null());
        Some(&self.value).filter(|_| is_given)
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

/// Reads a map and keeps its order.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("params by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut params = Vec::new();
        while let Some(param) = map.next_entry()? {
            params.push(param);
        }
        Ok(Params(params))
    }
}

impl Shown {
    pub(super) fn new(dag: DagRecord, model: &Dag) -> Self {
        let zone = dag.head.timezone;
        let written = dag.head.schedule.as_ref();
        let schedule = written.map(|it| (schedule::summary(it), schedule::in_words(it, zone)));
        let param = |(name, param): (&String, &subak_core::dag::model::Param)| {
            (name.clone(), default(param.default.as_ref()))
        };
        let tasks = model.tasks.iter().map(|task| Line {
            task_id: task.task_id.to_string(),
            operator: task.operator.clone(),
            after: task.upstream.iter().map(|id| id.0.clone()).collect(),
            rule: task.trigger_rule.as_str().to_owned(),
            retries: task.retries,
        });
        Self {
            version: dag.version,
            description: model.description.clone(),
            schedule: when(schedule),
            is_paused: dag.is_paused,
            next_run_at: dag.next_run_at,
            timezone: zone,
            params: model.params_in_order().map(param).collect(),
            tasks: tasks.collect(),
            dag_id: dag.dag_id,
            file: dag.file,
        }
    }

    pub(super) fn told(dag: Details, tasks: Vec<Task>) -> Self {
        let after = |task: &Task| {
            let before = tasks.iter().filter(|it| it.downstream_task_ids.contains(&task.task_id));
            before.map(|it| it.task_id.clone()).collect()
        };
        let line = |task: &Task| Line {
            task_id: task.task_id.clone(),
            operator: task.operator_name.clone(),
            after: after(task),
            rule: task.trigger_rule.clone(),
            retries: task.retries,
        };
        let param = |(name, param): (String, Param)| (name, default(param.given()));
        Self {
            version: dag.latest_dag_version.version_number,
            description: dag.description,
            schedule: when(dag.timetable_summary.map(|short| (short, dag.timetable_description))),
            is_paused: dag.is_paused,
            next_run_at: dag.next_dagrun_run_after,
            timezone: dag.timezone.parse().unwrap_or(Tz::UTC),
            params: dag.params.0.into_iter().map(param).collect(),
            tasks: tasks.iter().map(line).collect(),
            dag_id: dag.dag_id,
            file: dag.fileloc,
        }
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        output::line(format!("{}, version {} of {}", self.dag_id, self.version, self.file))?;
        if let Some(description) = &self.description {
            output::line(description)?;
        }
        output::line(format!("schedule   {}", self.schedule))?;
        output::line(format!("paused     {}", if self.is_paused { "yes" } else { "no" }))?;
        output::line(format!("next run   {}", self.next_run()))?;
        for (name, default) in &self.params {
            output::line(format!("param      {name}: {default}"))?;
        }
        output::line("")?;
        let mut table = Table::new(&["task", "operator", "after", "rule", "retries"]);
        for task in &self.tasks {
            let after = task.after.join(", ");
            table.row([
                task.task_id.clone(),
                task.operator.clone(),
                if after.is_empty() { "-".to_owned() } else { after },
                task.rule.clone(),
                task.retries.to_string(),
            ]);
        }
        Ok(table.print()?)
    }

    /// The next run on the clocks of the DAG's time zone, and in UTC where that is another one.
    fn next_run(&self) -> String {
        let utc = output::instant(self.next_run_at);
        match self.next_run_at {
            Some(at) if self.timezone != Tz::UTC => {
                let local = at.with_timezone(&self.timezone);
                format!("{} ({utc})", local.format("%Y-%m-%d %H:%M:%S %Z"))
            }
            _ => utc,
        }
    }
}

/// The schedule as written, and in words.
fn when(schedule: Option<(String, String)>) -> String {
    match schedule {
        None => "by hand only".to_owned(),
        Some((short, words)) if words.starts_with(&short) => words,
        Some((short, words)) => format!("{short}: {words}"),
    }
}

fn default(value: Option<&Value>) -> String {
    value.map_or("required".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn params_that_are_told_keep_their_order_and_a_default_of_null() {
        let told = r#"{"shop": {"value": null, "has_default": true, "schema": {}},
                       "day": {"value": null, "has_default": false, "schema": {}},
                       "most": {"value": 3, "has_default": true, "schema": {}},
                       "area": {"value": null}}"#;
        let Params(params) = serde_json::from_str(told).unwrap();
        let shown = params.iter().map(|(name, it)| (name.as_str(), default(it.given())));
        let shown: Vec<_> = shown.collect();
        let wanted = [("shop", "null"), ("day", "required"), ("most", "3"), ("area", "required")];
        assert_eq!(shown, wanted.map(|(name, default)| (name, default.to_owned())));
        assert_eq!(params[2].1.value, json!(3));
    }
}
