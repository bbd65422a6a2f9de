//! Lists of runs: which, in which order, and from which place on.

use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};

use super::bounds::{Bound, RUN_UPDATED};
use super::order::{Orders, way};
use super::runs::{RUNS, RunRecord, RunRow};
use super::{COUNT_LIMIT, Page, TextFilter, push_within};
use crate::{Store, StoreError};

/// Which runs; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub dag_id: Option<String>,
    /// Any of these; empty: all.
    pub dag_ids: Vec<String>,
    /// Those of these DAGs; `None`: of any.
    pub within: Option<Vec<String>>,
    pub dag_text: TextFilter,
    pub run_id: Option<String>,
    /// Any of these; empty: all.
    pub run_ids: Vec<String>,
    pub run_text: TextFilter,
    pub user_text: TextFilter,
    /// Any of these; empty: all.
    pub states: Vec<String>,
    /// Any of these; empty: all.
    pub run_types: Vec<String>,
    /// Any of these; empty: all.
    pub versions: Vec<i32>,
    /// Part of the conf as JSON, in any case.
    pub conf: Option<String>,
    pub bounds: Vec<Bound>,
    pub orders: Orders<RunOrder>,
}

/// By what runs are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunOrder {
    /// As they were made.
    #[default]
    Key,
    DagId,
    RunId,
    RunAfter,
    LogicalDate,
    DataStart,
    DataEnd,
    Started,
    Ended,
    Duration,
    State,
    Type,
    Updated,
    Conf,
    /// What no run has.
    Nothing,
}

/// A place in an ordered list of runs: behind the run of this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlace {
    pub orders: Orders<RunOrder>,
    /// What the run has of each key before its own, as text; `None`: nothing.
    pub values: Vec<Option<String>>,
    pub key: i64,
    /// The page before the place is meant.
    pub back: bool,
}

impl RunOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Key => "r.run_key",
            Self::DagId => "d.dag_id",
            Self::RunId => "r.run_id",
            Self::RunAfter => "r.run_after",
            Self::LogicalDate => "r.logical_date",
            Self::DataStart => "r.data_interval_start",
            Self::DataEnd => "r.data_interval_end",
            Self::Started => "r.started_at",
            Self::Ended => "r.ended_at",
            Self::Duration => "(r.ended_at - r.started_at)",
            Self::State => "r.state",
            Self::Type => "r.run_type",
            Self::Updated => RUN_UPDATED,
            Self::Conf => "r.conf",
            Self::Nothing => "NULL::text",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Key => "bigint",
            Self::DagId | Self::RunId | Self::Type | Self::Nothing => "text",
            Self::State => "run_state",
            Self::Duration => "interval",
            Self::Conf => "jsonb",
            _ => "timestamptz",
        }
    }
}

impl Store {
    /// Returns a page of runs.
    pub async fn run_list(
        &self,
        filter: &RunFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<RunRecord>, StoreError> {
        let mut query = QueryBuilder::new(RUNS);
        push_conditions(&mut query, filter);
        push_order(&mut query, &filter.orders, false);
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let rows: Vec<RunRow> = query.build_query_as().fetch_all(self.pool()).await?;
        let items = rows.into_iter().map(RunRow::into_record).collect::<Result<_, _>>()?;
        Ok(Page { items, total: self.run_count(filter).await? })
    }

    /// Returns the runs behind a place, or before it, in the list's order; and whether there are more.
    pub async fn runs_behind(
        &self,
        filter: &RunFilter,
        place: Option<&RunPlace>,
        limit: i64,
    ) -> Result<(Vec<RunRecord>, bool), StoreError> {
        let back = place.is_some_and(|place| place.back);
        let mut query = QueryBuilder::new(RUNS);
        push_conditions(&mut query, filter);
        if let Some(place) = place {
            push_behind(&mut query, place);
        }
        push_order(&mut query, &filter.orders, back);
        query.push(" LIMIT ").push_bind(limit + 1);
        let rows: Vec<RunRow> = query.build_query_as().fetch_all(self.pool()).await?;
        let mut items = rows.into_iter().map(RunRow::into_record).collect::<Result<Vec<_>, _>>()?;
        let most = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > most;
        items.truncate(most);
        if back {
            items.reverse();
        }
        Ok((items, more))
    }

    /// Returns the place of a run in a list of this order.
    pub async fn run_place(
        &self,
        run: &RunRecord,
        filter: &RunFilter,
        back: bool,
    ) -> Result<RunPlace, StoreError> {
        let (keys, _) = filter.orders.before_own();
        let mut query = QueryBuilder::new("SELECT ARRAY[");
        for (at, (key, _)) in keys.iter().enumerate() {
            query.push(if at == 0 { "" } else { ", " }).push(key.column()).push("::text");
        }
        query.push("]::text[] FROM run r JOIN dag d ON d.dag = r.dag WHERE r.run_key = ");
        query.push_bind(run.run_key.0);
        let values: Option<Vec<Option<String>>> =
            query.build_query_scalar().fetch_optional(self.pool()).await?;
        Ok(RunPlace {
            orders: filter.orders.clone(),
            // Of a run that has just been deleted nothing is known: what follows it is found by its key.
            values: values.unwrap_or_else(|| vec![None; keys.len()]),
            key: run.run_key.0,
            back,
        })
    }

    /// Counts runs up to [`COUNT_LIMIT`].
    async fn run_count(&self, filter: &RunFilter) -> Result<i64, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT count(*) FROM (SELECT 1 FROM run r JOIN dag d ON d.dag = r.dag WHERE true",
        );
        push_conditions(&mut query, filter);
        query.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        Ok(query.build_query_scalar().fetch_one(self.pool()).await?)
    }
}

/// What is not there comes last in both directions, as in Airflow. Read back: all of it turned round.
fn push_order(query: &mut QueryBuilder<Postgres>, orders: &Orders<RunOrder>, back: bool) {
    let (keys, descending) = orders.before_own();
    query.push(" ORDER BY ");
    for (key, descending) in keys {
        let nulls = if back { " NULLS FIRST, " } else { " NULLS LAST, " };
        query.push(key.column()).push(way(*descending != back)).push(nulls);
    }
    query.push("r.run_key").push(way(descending != back));
}

/// Adds that a run is behind a place, or before it: by the first key, or alike in that and by the next
/// one, and so on.
fn push_behind(query: &mut QueryBuilder<Postgres>, place: &RunPlace) {
    let sign = |descending: bool| if descending == place.back { " > " } else { " < " };
    let (keys, descending) = place.orders.before_own();
    query.push(" AND (");
    for ((key, descending), value) in keys.iter().zip(&place.values) {
        let (column, kind) = (key.column(), key.kind());
        match value {
            None if place.back => {
                query.push(column).push(" IS NOT NULL OR ").push(column).push(" IS NULL AND (");
            }
            None => {
                query.push(column).push(" IS NULL AND (");
            }
            Some(value) => {
                if !place.back {
                    query.push(column).push(" IS NULL OR ");
                }
                for (sign, then) in [(sign(*descending), " OR "), (" = ", " AND (")] {
                    query.push(column).push(sign).push_bind(value.clone()).push("::text::");
                    query.push(kind).push(then);
                }
            }
        }
    }
    query.push("r.run_key").push(sign(descending)).push_bind(place.key);
    query.push(")".repeat(keys.len().min(place.values.len()) + 1));
}

pub(super) fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &RunFilter) {
    if let Some(dag_id) = &filter.dag_id {
        query.push(" AND d.dag_id = ").push_bind(dag_id.clone());
    }
    if let Some(run_id) = &filter.run_id {
        query.push(" AND r.run_id = ").push_bind(run_id.clone());
    }
    if !filter.dag_ids.is_empty() {
        query.push(" AND d.dag_id = ANY(").push_bind(filter.dag_ids.clone()).push(")");
    }
    if !filter.run_ids.is_empty() {
        query.push(" AND r.run_id = ANY(").push_bind(filter.run_ids.clone()).push(")");
    }
    push_within(query, "d.dag_id", filter.within.as_deref());
    filter.dag_text.push(query, "d.dag_id");
    filter.run_text.push(query, "r.run_id");
    filter.user_text.push(query, "r.triggered_user");
    if !filter.states.is_empty() {
        query.push(" AND r.state::text = ANY(").push_bind(filter.states.clone()).push(")");
    }
    if !filter.run_types.is_empty() {
        query.push(" AND r.run_type = ANY(").push_bind(filter.run_types.clone()).push(")");
    }
    if !filter.versions.is_empty() {
        query.push(" AND r.version = ANY(").push_bind(filter.versions.clone()).push(")");
    }
    if let Some(part) = &filter.conf {
        query.push(" AND r.conf::text ILIKE ").push_bind(super::anywhere(part));
    }
    for bound in &filter.bounds {
        bound.push(query, "r");
    }
}
