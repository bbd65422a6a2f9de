//! Task instances of many runs: those to which something has happened.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use sqlx::{Postgres, QueryBuilder};
use subak_core::dag::model::Task;
use subak_core::ids::{RunKey, TaskId};
use subak_core::state::TaskState;

use super::bounds::{Bound, Times};
use super::instances::{InstanceRecord, Row, current};
use super::order::{Orders, directed};
use super::run_list::{self, RunFilter};
use super::{COUNT_LIMIT, Page, RunRecord, TextFilter, VersionRecord};
use crate::{Store, StoreError};

/// Which task instances; all conditions together, and those of `runs`.
#[derive(Debug, Clone, Default)]
pub struct InstanceFilter {
    /// Any of these; empty: all. `None`: nothing has happened to it yet.
    pub states: Vec<Option<TaskState>>,
    pub task_id: Option<String>,
    /// Any of these; empty: all.
    pub task_ids: Vec<String>,
    pub task_text: TextFilter,
    /// Any of these; empty: all.
    pub pools: Vec<String>,
    pub pool_text: TextFilter,
    /// Any of these; empty: all.
    pub queues: Vec<String>,
    pub queue_text: TextFilter,
    /// Any of these; empty: all. Executors are Airflow's: no instance has one.
    pub executors: Vec<String>,
    /// Any of these; empty: all.
    pub operators: Vec<String>,
    pub operator_text: TextFilter,
    /// Any of these; empty: all.
    pub map_indexes: Vec<i32>,
    /// Any of these; empty: all.
    pub tries: Vec<i32>,
    pub bounds: Vec<Bound>,
    pub orders: Orders<InstanceOrder>,
}

/// By what task instances are ordered; those alike, by run, task and map index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstanceOrder {
    #[default]
    Key,
    TaskId,
    State,
    Started,
    Ended,
    Duration,
    MapIndex,
    Try,
    Operator,
    RunAfter,
    LogicalDate,
    DataStart,
    DataEnd,
}

#[derive(sqlx::FromRow)]
struct ListRow {
    run_key: i64,
    task_id: String,
    #[sqlx(flatten)]
    row: Row,
}

const FROM: &str = concat!(
    " FROM run r
      JOIN dag d ON d.dag = r.dag
      JOIN dag_version v ON v.dag = r.dag AND v.version = r.version
      CROSS JOIN LATERAL (",
    current!("r.run_key", "true"),
    ") AS i
      JOIN dag_task t ON t.dag = r.dag AND t.task = i.task
      WHERE true"
);

impl Store {
    /// Returns a page of the task instances of these runs to which something has happened.
    pub async fn instances_across(
        &self,
        runs: &RunFilter,
        filter: &InstanceFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<(RunKey, InstanceRecord)>, StoreError> {
        let mut query = QueryBuilder::new("SELECT r.run_key, t.task_id, i.*");
        push_conditions(&mut query, runs, filter);
        let own = ["r.run_key", "i.task", "i.map_index"];
        filter.orders.push(&mut query, InstanceOrder::column, &own);
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let rows: Vec<ListRow> = query.build_query_as().fetch_all(self.pool()).await?;
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        push_conditions(&mut count, runs, filter);
        count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        let total = count.build_query_scalar().fetch_one(self.pool()).await?;
        let item = |it: ListRow| (RunKey(it.run_key), it.row.into_instance(TaskId(it.task_id)));
        Ok(Page { items: rows.into_iter().map(item).collect(), total })
    }
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, runs: &RunFilter, filter: &InstanceFilter) {
    query.push(FROM);
    run_list::push_conditions(query, runs);
    let mut any = |column: &str, of: &[String]| {
        if !of.is_empty() {
            query.push(" AND ").push(column).push(" = ANY(").push_bind(of.to_vec()).push(")");
        }
    };
    let states: Vec<String> =
        filter.states.iter().flatten().map(|state| state.as_str().to_owned()).collect();
    any("i.state", &states);
    any("t.task_id", &filter.task_id.clone().into_iter().collect::<Vec<_>>());
    any("t.task_id", &filter.task_ids);
    any(OF_POOL, &filter.pools);
    any(OF_QUEUE, &filter.queues);
    any(OF_OPERATOR, &filter.operators);
    let of_none = !filter.states.is_empty() && states.is_empty() || !filter.executors.is_empty();
    if of_none {
        // What nothing has happened to is in no row, and an executor neither.
        query.push(" AND false");
    }
    filter.task_text.push(query, "t.task_id");
    filter.pool_text.push(query, OF_POOL);
    filter.queue_text.push(query, OF_QUEUE);
    filter.operator_text.push(query, OF_OPERATOR);
    for (column, of) in [("i.map_index", &filter.map_indexes), ("i.try_number", &filter.tries)] {
        if !of.is_empty() {
            query.push(" AND ").push(column).push(" = ANY(").push_bind(of.clone()).push(")");
        }
    }
    for bound in &filter.bounds {
        bound.push(query, "i");
    }
}

/// What the task of an instance has in its version.
macro_rules! of_task {
    ($field:literal) => {
        concat!(
            "(SELECT it ->> '",
            $field,
            "' FROM jsonb_array_elements(v.canonical -> 'tasks') it
              WHERE it ->> 'task_id' = t.task_id)"
        )
    };
}
const OF_POOL: &str = of_task!("pool");
const OF_QUEUE: &str = of_task!("queue");
const OF_OPERATOR: &str = of_task!("operator");

impl InstanceOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Key => "r.run_key",
            Self::TaskId => "t.task_id",
            Self::State => "i.state",
            Self::Started => "i.started_at",
            Self::Ended => "i.ended_at",
            Self::Duration => "(i.ended_at - i.started_at)",
            Self::MapIndex => "i.map_index",
            Self::Try => "i.try_number",
            Self::Operator => OF_OPERATOR,
            Self::RunAfter => "r.run_after",
            Self::LogicalDate => "r.logical_date",
            Self::DataStart => "r.data_interval_start",
            Self::DataEnd => "r.data_interval_end",
        }
    }

    /// Whether it is the run's: all instances of a run are alike in it.
    fn is_of_run(self) -> bool {
        matches!(self, Self::RunAfter | Self::LogicalDate | Self::DataStart | Self::DataEnd)
    }
}

impl InstanceFilter {
    /// Whether it and its order are about tasks alone: no instance has to be read to know which follow
    /// each other.
    #[must_use]
    pub fn is_of_tasks(&self) -> bool {
        self.states.is_empty()
            && self.map_indexes.is_empty()
            && self.tries.is_empty()
            && self.bounds.is_empty()
            && self.orders.before_own().0.iter().all(|(order, _)| order.is_of_run())
    }

    /// Whether instances of a task may be meant.
    #[must_use]
    pub fn takes_task(&self, task: &Task) -> bool {
        let any = |of: &[String], value: &str| of.is_empty() || of.iter().any(|it| it == value);
        let id = &task.task_id.0;
        self.task_id.as_ref().is_none_or(|wanted| wanted == id)
            && any(&self.task_ids, id)
            && self.task_text.takes(id)
            && any(&self.pools, &task.pool)
            && self.pool_text.takes(&task.pool)
            && any(&self.queues, &task.queue)
            && self.queue_text.takes(&task.queue)
            && self.executors.is_empty()
            && any(&self.operators, &task.operator)
            && self.operator_text.takes(&task.operator)
    }

    /// Whether an instance of such a task is meant, of one run, in memory.
    #[must_use]
    pub fn takes(&self, run: &RunRecord, it: &InstanceRecord) -> bool {
        let times = Times {
            run_after: Some(run.run_after),
            logical_date: run.logical_date,
            started_at: it.started_at,
            ended_at: it.ended_at,
            updated_at: it.queued_at.max(it.started_at).max(it.ended_at),
        };
        (self.states.is_empty() || self.states.contains(&it.state))
            && (self.map_indexes.is_empty() || self.map_indexes.contains(&it.map_index.0))
            && (self.tries.is_empty() || self.tries.contains(&it.try_number))
            && self.bounds.iter().all(|bound| bound.takes(times))
    }

    /// Orders instances of one run that stand in the order of its version.
    pub fn order(&self, version: &VersionRecord, all: &mut [InstanceRecord]) {
        let took =
            |it: &InstanceRecord| it.ended_at.zip(it.started_at).map(|(end, start)| end - start);
        let state = |it: &InstanceRecord| it.state.map(TaskState::as_str);
        let operators: BTreeMap<&TaskId, &str> =
            version.model.tasks.iter().map(|task| (&task.task_id, &*task.operator)).collect();
        let operator = |it: &InstanceRecord| operators.get(&it.task_id).copied();
        self.orders.sort(all, |order, descending, a, b| match order {
            InstanceOrder::Key
            | InstanceOrder::RunAfter
            | InstanceOrder::LogicalDate
            | InstanceOrder::DataStart
            | InstanceOrder::DataEnd => Ordering::Equal,
            InstanceOrder::TaskId => directed(Some(&a.task_id.0), Some(&b.task_id.0), descending),
            InstanceOrder::State => directed(state(a), state(b), descending),
            InstanceOrder::Started => directed(a.started_at, b.started_at, descending),
            InstanceOrder::Ended => directed(a.ended_at, b.ended_at, descending),
            InstanceOrder::Duration => directed(took(a), took(b), descending),
            InstanceOrder::MapIndex => {
                directed(Some(a.map_index.0), Some(b.map_index.0), descending)
            }
            InstanceOrder::Try => directed(Some(a.try_number), Some(b.try_number), descending),
            InstanceOrder::Operator => directed(operator(a), operator(b), descending),
        });
    }
}
