//! A DAG as people read it, from the database or from a server.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
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
    params: BTreeMap<String, Param>,
    latest_dag_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version_number: i32,
}

#[derive(Deserialize)]
struct Param {
    value: Option<Value>,
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
            params: model.params.iter().map(param).collect(),
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
        let param = |(name, param): (String, Param)| (name, default(param.value.as_ref()));
        Self {
            version: dag.latest_dag_version.version_number,
            description: dag.description,
            schedule: when(dag.timetable_summary.map(|short| (short, dag.timetable_description))),
            is_paused: dag.is_paused,
            next_run_at: dag.next_dagrun_run_after,
            timezone: dag.timezone.parse().unwrap_or(Tz::UTC),
            params: dag.params.into_iter().map(param).collect(),
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
