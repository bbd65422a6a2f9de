//! A DAG file as written: the structs from which it is read, and its JSON Schema made.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assets::RawAssets;
use super::model::{OnOverlap, WeightRule};
use super::notices::RawNotices;
use super::params::Declaration;
use super::retry::RawRetryRule;
use super::timing::RawSchedule;
use super::values::{Backoff, Instant, Limit, Pool, Positive, Queue, Share, Span, Zone};
use crate::decide::TriggerRule;

/// A DAG: one YAML document.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "some fields only check their type and make the schema; nodes are read"
)]
pub(crate) struct RawDag {
    /// Names the DAG: letters, digits, `-`, `.` and `_`.
    #[schemars(required)]
    pub dag_id: Option<String>,
    /// One line for lists.
    pub description: Option<String>,
    /// A page about the DAG, in Markdown.
    pub doc_md: Option<String>,
    /// When runs start by themselves: a cron expression of five fields, `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@quarterly`, `@yearly`, `@once`, `@continuous`, a duration, null, or
    /// a map.
    #[serde(default)]
    #[schemars(with = "Option<RawSchedule>")]
    schedule: Option<WrittenSchedule>,
    /// The time zone of the schedule and of dates without an offset; UTC if absent.
    pub timezone: Option<Zone>,
    /// No scheduled run is earlier than this.
    pub start_date: Option<Instant>,
    /// No scheduled run is later than this.
    pub end_date: Option<Instant>,
    /// Whether runs missed since `start_date` are made up for; needs `start_date`.
    pub catchup: Option<bool>,
    /// Runs that may be active at once; 16 if absent.
    pub max_active_runs: Option<Positive>,
    /// What becomes of a run that is due while `max_active_runs` are active; `queue` if absent.
    pub on_overlap: Option<OnOverlap>,
    /// Tasks of one run that may be ready or running at once; 16 if absent.
    pub max_active_tasks: Option<Positive>,
    /// A run that takes longer fails.
    pub dagrun_timeout: Option<Limit>,
    /// Whether a task that fails stops all others but teardowns. Every trigger rule must be
    /// `all_success` then.
    pub fail_fast: Option<bool>,
    /// Who is told of a run that failed: a connection of type `smtp`, `slack` or `webhook`, or several.
    pub on_failure: Option<RawNotices>,
    /// Who is told of a run that succeeded.
    pub on_success: Option<RawNotices>,
    /// After this many failed runs in a row the DAG is paused; 0, never, if absent.
    pub max_consecutive_failed_dag_runs: Option<u32>,
    /// Control keys of every task that does not have them itself.
    #[serde(default)]
    #[schemars(with = "DefaultArgs")]
    pub default_args: Option<DefaultArgs>,
    /// Values that a run may be triggered with.
    #[serde(default)]
    #[schemars(with = "RawParams")]
    params: Option<RawParams>,
    /// Groups of tasks: a map of group id to group.
    #[serde(default)]
    #[schemars(with = "RawGroups")]
    task_groups: Option<RawGroups>,
    /// Words to find the DAG by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether a new DAG waits to be unpaused; false if absent.
    pub is_paused_upon_creation: Option<bool>,
    /// The tasks: a map of task id to task, or a list of tasks with `task_id`.
    #[schemars(with = "RawTasks")]
    tasks: Option<RawTasks>,
}

/// Keys of a DAG that are part of the format, and not built yet.
pub(crate) const DAG_NOT_YET: &[&str] = &["deadline"];

/// The keys of a task that belong to it alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[expect(
    dead_code,
    reason = "some fields only check their type and make the schema; nodes are read"
)]
pub(crate) struct TaskHead {
    /// Names the task, where tasks are a list.
    pub task_id: Option<String>,
    /// What the task does: `bash`, `csv.read`, …
    #[schemars(required)]
    pub operator: Option<String>,
    /// Tasks that come before this one. Tasks whose output this one reads need not be named.
    pub depends_on: Option<Vec<String>>,
    /// Another name of `depends_on`.
    pub dependencies: Option<Vec<String>>,
    /// The task makes what others need: they run only if it succeeds.
    pub setup: Option<bool>,
    /// The task puts away what setups made: it runs once everything between them and itself has ended.
    pub teardown: Option<RawTeardown>,
    /// One template: unless it is true when the task is to start, the task is skipped.
    pub when: Option<String>,
    /// The group that the task belongs to.
    pub task_group: Option<String>,
    /// The operator's arguments.
    #[serde(default)]
    #[schemars(with = "RawWith")]
    with: Option<RawWith>,
    /// What the task is mapped over: one instance of it for each item. Arguments by name, each a list,
    /// a map, `{zip: [a, b]}`, or what a task returns: `{{ ti.xcom_pull('task') }}`. Several arguments
    /// are crossed.
    #[serde(default)]
    #[schemars(with = "RawExpand")]
    expand: Option<RawExpand>,
    /// Arguments that are the same for every instance of a mapped task, as those of `with` are.
    #[serde(default)]
    #[schemars(with = "RawWith")]
    partial: Option<RawWith>,
    /// A template that names each instance of a mapped task, such as `{{ task.input }}`.
    pub map_index_template: Option<String>,
    /// Assets that the task reads: a list of URIs, or of maps with `name`, `uri`, `group` and `extra`.
    pub inlets: Option<RawAssets>,
    /// Assets that the task makes: each time it succeeds there is an event of each of them.
    pub outlets: Option<RawAssets>,
}

pub(crate) const HEAD_KEYS: &[&str] = &[
    "task_id",
    "operator",
    "depends_on",
    "dependencies",
    "setup",
    "teardown",
    "when",
    "task_group",
    "with",
    "expand",
    "partial",
    "map_index_template",
    "inlets",
    "outlets",
];

/// The control keys of a task, also of `default_args`.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
pub(crate) struct Controls {
    /// Tries after the first one failed; 0 if absent.
    pub retries: Option<u32>,
    /// Delay before the next try; 5 minutes if absent.
    pub retry_delay: Option<Span>,
    /// Whether the delay doubles with each try, or how many times as long it gets.
    pub retry_exponential_backoff: Option<Backoff>,
    /// The longest delay of an exponential backoff; a day if absent.
    pub max_retry_delay: Option<Span>,
    /// Share of the delay, 0 to 1, of which a random part is added to it.
    pub retry_jitter: Option<Share>,
    /// What becomes of failures of one class or exit code; the first rule that fits decides.
    pub retry_policy: Option<Vec<RawRetryRule>>,
    /// Who is told when the task has failed for good: a connection of type `smtp`, `slack` or
    /// `webhook`, or several.
    pub on_failure: Option<RawNotices>,
    /// Who is told when it has succeeded.
    pub on_success: Option<RawNotices>,
    /// Who is told when a try has failed and another one follows.
    pub on_retry: Option<RawNotices>,
    /// A try that takes longer fails.
    pub execution_timeout: Option<Limit>,
    /// When the task runs, given how its upstream tasks ended.
    pub trigger_rule: Option<TriggerRule>,
    /// The queue whose workers take the task; `default` if absent.
    pub queue: Option<Queue>,
    /// Who looks after the task; `airflow` if absent.
    pub owner: Option<String>,
    /// Heavier tasks are handed out first; 1 if absent. Where no task of the DAG has a weight or a rule,
    /// all are equal.
    pub priority_weight: Option<i32>,
    /// Whose weights are added to the task's own: those of all tasks below it (`downstream`, if
    /// absent), above it (`upstream`), or nobody's (`absolute`). Where no task of the DAG has a weight or
    /// a rule, all are equal.
    pub weight_rule: Option<WeightRule>,
    /// The pool whose slots the task takes while it is ready or runs; `default_pool`, which has no
    /// limit, if absent.
    pub pool: Option<Pool>,
    /// How many slots of its pool the task takes; 1 if absent.
    pub pool_slots: Option<Positive>,
    /// How many instances of the task are ready or run at once, in all runs of the DAG together; its
    /// pool is a limit besides.
    pub max_active_tis_per_dag: Option<Positive>,
    /// How many instances of the task are ready or run at once in one run. A task that is not mapped
    /// has one.
    pub max_active_tis_per_dagrun: Option<Positive>,
    /// Whether the result is kept as XCom; true if absent.
    pub do_xcom_push: Option<bool>,
    /// Whether the task waits until it has succeeded, or was skipped, in the run before.
    pub depends_on_past: Option<bool>,
    /// Whether it also waits for the tasks right below it in the run before.
    pub wait_for_downstream: Option<bool>,
    /// Whether the task does not wait for the run before if no run yet had it; false if absent.
    pub ignore_first_depends_on_past: Option<bool>,
}

pub(crate) const CONTROL_KEYS: &[&str] = &[
    "retries",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "retry_jitter",
    "retry_policy",
    "on_failure",
    "on_success",
    "on_retry",
    "execution_timeout",
    "trigger_rule",
    "queue",
    "owner",
    "priority_weight",
    "weight_rule",
    "pool",
    "pool_slots",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "do_xcom_push",
    "depends_on_past",
    "wait_for_downstream",
    "ignore_first_depends_on_past",
];

impl Controls {
    /// These keys, and where one is absent that of `defaults`.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        let other = defaults.clone();
        Self {
            retries: self.retries.or(other.retries),
            retry_delay: self.retry_delay.or(other.retry_delay),
            retry_exponential_backoff: self
                .retry_exponential_backoff
                .or(other.retry_exponential_backoff),
            max_retry_delay: self.max_retry_delay.or(other.max_retry_delay),
            retry_jitter: self.retry_jitter.or(other.retry_jitter),
            retry_policy: self.retry_policy.or(other.retry_policy),
            on_failure: self.on_failure.or(other.on_failure),
            on_success: self.on_success.or(other.on_success),
            on_retry: self.on_retry.or(other.on_retry),
            execution_timeout: self.execution_timeout.or(other.execution_timeout),
            trigger_rule: self.trigger_rule.or(other.trigger_rule),
            queue: self.queue.or(other.queue),
            owner: self.owner.or(other.owner),
            priority_weight: self.priority_weight.or(other.priority_weight),
            weight_rule: self.weight_rule.or(other.weight_rule),
            pool: self.pool.or(other.pool),
            pool_slots: self.pool_slots.or(other.pool_slots),
            max_active_tis_per_dag: self.max_active_tis_per_dag.or(other.max_active_tis_per_dag),
            max_active_tis_per_dagrun: self
                .max_active_tis_per_dagrun
                .or(other.max_active_tis_per_dagrun),
            do_xcom_push: self.do_xcom_push.or(other.do_xcom_push),
            depends_on_past: self.depends_on_past.or(other.depends_on_past),
            wait_for_downstream: self.wait_for_downstream.or(other.wait_for_downstream),
            ignore_first_depends_on_past: self
                .ignore_first_depends_on_past
                .or(other.ignore_first_depends_on_past),
        }
    }
}

/// A group of tasks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "some fields only check their type and make the schema; nodes are read"
)]
pub(crate) struct RawGroup {
    /// What the group is for.
    pub tooltip: Option<String>,
    /// The group around it.
    pub parent: Option<String>,
    /// Control keys of every task of the group that does not have them itself.
    #[serde(default)]
    #[schemars(with = "DefaultArgs")]
    default_args: Option<DefaultArgs>,
    /// Tasks and groups that come before all tasks of the group.
    pub depends_on: Option<Vec<String>>,
    /// What the group is mapped over: all of its tasks once for each item. Arguments by name, as those
    /// of a task's `expand`; its tasks have an item as `{{ group.<argument> }}`.
    #[serde(default)]
    #[schemars(with = "RawExpand")]
    expand: Option<RawExpand>,
}

/// `teardown`: true, or what is special about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RawTeardown {
    pub is_one: bool,
    pub special: TeardownKeys,
}

/// The keys of a teardown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeardownKeys {
    /// The setups whose work it undoes; they are marked as setups and come before it.
    #[serde(default)]
    pub setups: Vec<String>,
    /// Whether the run fails if it does; false if absent.
    #[serde(default)]
    pub on_failure_fail_dagrun: bool,
}

/// `task_groups`, read one by one.
#[derive(Debug, Deserialize)]
struct RawGroups(IgnoredAny);

/// `default_args`, read by itself as [`Controls`].
#[derive(Debug, Deserialize)]
pub(crate) struct DefaultArgs(IgnoredAny);

/// `schedule`, read by itself: `timing`.
#[derive(Debug, Deserialize)]
struct WrittenSchedule(IgnoredAny);

/// `tasks`, read one by one.
#[derive(Debug, Deserialize)]
struct RawTasks(IgnoredAny);

/// `params`, read one by one.
#[derive(Debug, Deserialize)]
struct RawParams(IgnoredAny);

/// `with`, read as the operator's struct.
#[derive(Debug, Deserialize)]
struct RawWith(IgnoredAny);

/// `expand`, read by itself: `expand`.
#[derive(Debug, Deserialize)]
struct RawExpand(IgnoredAny);

/// A task of the schema: its own keys and the control keys together.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RawTask {
    #[serde(flatten)]
    #[schemars(with = "TaskHead")]
    head: Value,
    #[serde(flatten)]
    #[schemars(with = "Controls")]
    controls: Value,
}

impl JsonSchema for DefaultArgs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DefaultArgs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Controls::json_schema(generator);
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        schema
    }
}

impl JsonSchema for RawGroups {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TaskGroups".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let group = generator.subschema_for::<RawGroup>();
        json_schema!({ "type": "object", "additionalProperties": group })
    }
}

impl<'de> Deserialize<'de> for RawTeardown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RawTeardown;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or a map with \"setups\"")
            }

            fn visit_bool<E: de::Error>(self, is_one: bool) -> Result<RawTeardown, E> {
                Ok(RawTeardown { is_one, ..RawTeardown::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTeardown, A::Error> {
                let special = TeardownKeys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawTeardown { is_one: true, special })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for RawTeardown {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Teardown".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = generator.subschema_for::<TeardownKeys>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, keys] })
    }
}

impl JsonSchema for RawTasks {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tasks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let task = super::schema::with_by_operator(RawTask::json_schema(generator));
        generator.definitions_mut().insert("Task".to_owned(), task.into());
        // Not anyOf: an editor would only say that neither fits.
        json_schema!({
            "type": ["object", "array"],
            "additionalProperties": { "$ref": "#/$defs/Task" },
            "items": { "allOf": [{ "$ref": "#/$defs/Task" }, { "required": ["task_id"] }] },
        })
    }
}

impl JsonSchema for RawWith {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "With".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

impl JsonSchema for RawExpand {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expand".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "anyOf": [
                    { "type": ["array", "object"] },
                    { "type": "string", "pattern": r"^\s*\{\{.*\}\}\s*$" },
                ],
            },
        })
    }
}

impl JsonSchema for RawParams {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Params".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let declared = generator.subschema_for::<Declaration>();
        json_schema!({
            "type": "object",
            "additionalProperties": {
                "if": { "type": "object" },
                "then": declared,
                "else": { "description": "The default, any value" },
            },
        })
    }
}
