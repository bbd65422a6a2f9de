//! The variables that a template sees.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use minijinja::value::{Kwargs, Object, Value as Jinja, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::{Map, Value};

use super::connections::connections;
use super::datetime::Moment;
use super::macros::macros;
use super::references::PREVIOUS;
use super::value::jinja;
use super::variables::variables;

/// The key of an item that is a mapped group's, and no argument of the task.
pub const GROUP_KEY: &str = "group";

/// Names an XCom of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XComKey {
    pub task_id: String,
    pub key: String,
    pub of: XComOf,
}

/// Which XComs of a task are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XComOf {
    /// The run's own; of a mapped task the list of its instances'.
    #[default]
    Run,
    /// One instance's of a mapped task.
    Instance(i32),
    /// The run's own, or else the newest one of runs with an earlier logical date.
    Prior,
}

impl XComKey {
    /// The key under which a task's dataset reference is kept.
    pub const OUTPUT: &'static str = "output";
    /// The key of a task's result.
    pub const RETURN_VALUE: &'static str = "return_value";

    /// Names an XCom of the run.
    #[must_use]
    pub fn new(task_id: &str, key: &str) -> Self {
        Self { task_id: task_id.to_owned(), key: key.to_owned(), of: XComOf::Run }
    }

    /// Names the dataset of a task.
    #[must_use]
    pub fn output_of(task_id: &str) -> Self {
        Self::new(task_id, Self::OUTPUT)
    }
}

/// The dates of the last run that succeeded and has an earlier logical date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PreviousRun {
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a try knows of its run: everything that its templates may show.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    pub dag_id: String,
    pub task_id: String,
    pub run_id: String,
    /// `manual` or `scheduled`.
    pub run_type: String,
    /// Absent in runs triggered without one; then `ds`, `ts` and the like are undefined.
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: Option<DateTime<Utc>>,
    /// The DAG's params, overlaid by the run's conf: an object.
    pub params: Value,
    /// The run's conf: an object.
    pub conf: Value,
    pub try_number: u32,
    /// -1: not mapped.
    pub map_index: i32,
    /// Of an instance of a mapped task: arguments that other tasks have returned. The operator gets
    /// them as they are.
    pub arguments: Map<String, Value>,
    /// Of an instance of a task in a mapped group: its item.
    pub group: Map<String, Value>,
    /// The XComs that the task's templates name, see [`super::References::needed_xcoms`].
    pub xcoms: BTreeMap<XComKey, Value>,
    /// The last successful run before, if a template names it.
    pub previous: PreviousRun,
    /// The variables that the task's templates name, see [`super::References::variables`].
    pub variables: BTreeMap<String, String>,
    /// The connections that the task's templates name, see [`super::References::connections`].
    pub connections: BTreeMap<String, Value>,
}

impl RunContext {
    /// All variables by name.
    pub(super) fn variables(&self) -> Jinja {
        let mut all: BTreeMap<&str, Jinja> = BTreeMap::new();
        all.insert("run_id", self.run_id.as_str().into());
        all.insert("params", jinja(&self.params));
        all.insert("macros", macros());
        all.insert("dag", Jinja::from_pairs([("dag_id", self.dag_id.as_str())]));
        all.insert("task", self.task());
        all.insert("tasks", self.tasks());
        let group = self.group.iter().map(|(name, value)| (name.as_str(), jinja(value)));
        all.insert("group", Jinja::from_pairs(group));
        let ti = Jinja::from_object(TaskInstance { run: Arc::new(self.clone()) });
        all.insert("ti", ti.clone());
        all.insert("task_instance", ti);
        all.insert("dag_run", self.dag_run());
        all.insert("var", variables(&self.variables));
        all.insert("conn", connections(&self.connections));
        for (name, instant) in self.instants() {
            all.insert(name, Moment::value(instant));
        }
        for (name, instant) in PREVIOUS.into_iter().zip(self.previous.instants()) {
            // None where there is no such run, as in Airflow.
            all.insert(name, instant.map_or_else(|| Jinja::from(()), Moment::value));
        }
        if let Some(date) = self.logical_date {
            let moment = Moment::utc(date);
            all.insert("ds", moment.ds().into());
            all.insert("ds_nodash", moment.ds_nodash().into());
            all.insert("ts", moment.iso().into());
            all.insert("ts_nodash", moment.ts_nodash().into());
            all.insert("ts_nodash_with_tz", moment.ts_nodash_with_tz().into());
            let (dag, task, day) = (&self.dag_id, &self.task_id, moment.ds_nodash());
            all.insert("task_instance_key_str", format!("{dag}__{task}__{day}").into());
        }
        Jinja::from_pairs(all)
    }

    /// `task`: its id, and the arguments of a mapped one.
    fn task(&self) -> Jinja {
        let arguments = self.arguments.iter().map(|(name, value)| (name.as_str(), jinja(value)));
        Jinja::from_pairs(arguments.chain([("task_id", self.task_id.as_str().into())]))
    }

    fn instants(&self) -> impl Iterator<Item = (&'static str, DateTime<Utc>)> {
        [
            ("logical_date", self.logical_date),
            ("data_interval_start", self.data_interval_start),
            ("data_interval_end", self.data_interval_end),
        ]
        .into_iter()
        .filter_map(|(name, instant)| Some((name, instant?)))
    }

    fn dag_run(&self) -> Jinja {
        let mut all: BTreeMap<&str, Jinja> = BTreeMap::new();
        all.insert("dag_id", self.dag_id.as_str().into());
        all.insert("run_id", self.run_id.as_str().into());
        all.insert("run_type", self.run_type.as_str().into());
        all.insert("conf", jinja(&self.conf));
        for (name, instant) in [
            ("logical_date", self.logical_date),
            ("data_interval_start", self.data_interval_start),
            ("data_interval_end", self.data_interval_end),
            ("run_after", self.run_after),
        ] {
            // None where the run has no such date, as in Airflow.
            all.insert(name, instant.map_or_else(|| Jinja::from(()), Moment::value));
        }
        Jinja::from_pairs(all)
    }

    /// `tasks.X.output`: the dataset of each task that has one here.
    fn tasks(&self) -> Jinja {
        let outputs = self.xcoms.iter().filter(|(name, _)| name.key == XComKey::OUTPUT);
        Jinja::from_pairs(outputs.map(|(name, value)| {
            (name.task_id.clone(), Jinja::from_pairs([(XComKey::OUTPUT, jinja(value))]))
        }))
    }
}

impl PreviousRun {
    /// In the order of the variables that show them.
    fn instants(self) -> [Option<DateTime<Utc>>; 4] {
        [self.data_interval_start, self.data_interval_end, self.started_at, self.ended_at]
    }
}

/// `ti`: the try, with `xcom_pull`.
struct TaskInstance {
    run: Arc<RunContext>,
}

impl fmt::Debug for TaskInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<TaskInstance {}.{} [{}]>", self.run.dag_id, self.run.task_id, self.run.run_id)
    }
}

impl Object for TaskInstance {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match key.as_str()? {
            "dag_id" => Some(self.run.dag_id.as_str().into()),
            "task_id" => Some(self.run.task_id.as_str().into()),
            "run_id" => Some(self.run.run_id.as_str().into()),
            "try_number" => Some(self.run.try_number.into()),
            "map_index" => Some(self.run.map_index.into()),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        if method != "xcom_pull" {
            return Err(Error::new(ErrorKind::UnknownMethod, format!("ti has no method {method}")));
        }
        let (task_ids, key, named): (Option<Jinja>, Option<String>, Kwargs) = from_args(args)?;
        let task_ids = match task_ids {
            Some(ids) => ids,
            None => named.get("task_ids")?,
        };
        let key = match key {
            Some(key) => Some(key),
            None => named.get("key")?,
        };
        let key = key.unwrap_or_else(|| XComKey::RETURN_VALUE.to_owned());
        let indexes: Option<Jinja> = named.get("map_indexes")?;
        let prior: Option<bool> = named.get("include_prior_dates")?;
        let default: Option<Jinja> = named.get("default")?;
        named.assert_all_used()?;
        let pull = |task_id: &str, of: XComOf| match (self.pull(task_id, &key, of), &default) {
            (found, Some(default)) if found.is_none() => default.clone(),
            (found, _) => found,
        };
        let of = match indexes.as_ref().and_then(Jinja::as_i64) {
            Some(index) => XComOf::Instance(i32::try_from(index).unwrap_or(i32::MAX)),
            None if prior == Some(true) => XComOf::Prior,
            None => XComOf::Run,
        };
        if let Some(task_id) = task_ids.as_str() {
            let Some(indexes) = indexes.filter(|it| it.kind() == ValueKind::Seq) else {
                return Ok(pull(task_id, of));
            };
            let of = |index: Jinja| index.as_i64().and_then(|index| i32::try_from(index).ok());
            let all = indexes.try_iter()?.filter_map(of);
            return Ok(all.map(|index| pull(task_id, XComOf::Instance(index))).collect());
        }
        let all = task_ids.try_iter()?.map(|id| pull(id.as_str().unwrap_or_default(), of));
        Ok(all.collect())
    }
}

impl TaskInstance {
    /// An XCom that does not exist is none, as in Airflow.
    fn pull(&self, task_id: &str, key: &str, of: XComOf) -> Jinja {
        let name = XComKey { of, ..XComKey::new(task_id, key) };
        self.run.xcoms.get(&name).map_or_else(|| Jinja::from(()), jinja)
    }
}
