//! Assets and their events, as people see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::order::Orders;
use super::{COUNT_LIMIT, Page, Side, TextFilter, from_json, push_within};
use crate::{Store, StoreError};

/// An asset.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetRecord {
    pub id: i64,
    pub name: String,
    pub uri: String,
    pub group: String,
    pub extra: Value,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The number of its newest event, and when it was.
    pub last_event: Option<(i64, DateTime<Utc>)>,
    /// Tasks of the newest versions.
    pub references: Vec<AssetReference>,
}

/// A task that reads or makes an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetReference {
    pub dag_id: String,
    pub task_id: String,
    /// It makes it; otherwise it reads it.
    pub is_outlet: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Which assets; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct AssetFilter {
    pub name: TextFilter,
    pub uri: TextFilter,
    /// Those that a task of one of these reads or makes; none named: any.
    pub dag_ids: Vec<String>,
    /// Those that a task of one of these reads or makes, with the tasks and events of these alone;
    /// `None`: of any.
    pub within: Option<Vec<String>>,
    /// Those that a task of a DAG whose file is there reads or makes.
    pub only_active: bool,
    pub orders: Orders<AssetOrder>,
}

/// What assets are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AssetOrder {
    #[default]
    Id,
    Name,
    Uri,
    Created,
    Updated,
}

/// An event of an asset.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct AssetEventRecord {
    pub id: i64,
    pub asset_id: i64,
    pub name: String,
    pub uri: String,
    pub asset_group: String,
    pub extra: Value,
    pub dag_id: Option<String>,
    pub task_id: Option<String>,
    pub run_id: Option<String>,
    pub map_index: i32,
    pub created_at: DateTime<Utc>,
}

/// Which events; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct AssetEventFilter {
    pub id: Option<i64>,
    pub asset_id: Option<i64>,
    pub dag_id: Option<String>,
    /// Those of these DAGs, and those of no DAG whose asset one of these reads or makes; `None`: of any.
    pub within: Option<Vec<String>>,
    pub task_id: Option<String>,
    pub run_id: Option<String>,
    pub map_index: Option<i32>,
    /// Of the asset.
    pub name: TextFilter,
    pub bounds: Vec<(Side, DateTime<Utc>)>,
    pub orders: Orders<AssetEventOrder>,
}

/// What events are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AssetEventOrder {
    #[default]
    Created,
    DagId,
    TaskId,
    RunId,
    MapIndex,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    name: String,
    uri: String,
    asset_group: String,
    extra: Value,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    event: Option<i64>,
    event_at: Option<DateTime<Utc>>,
    tasks: Value,
}

/// Up to whose tasks are told, up to whose event is the last one, and the rest.
const ASSETS: [&str; 3] = [
    "
    SELECT a.asset AS id, a.name, a.uri, a.asset_group, a.extra, a.created_at, a.updated_at,
           last.event, last.created_at AS event_at,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                          'dag_id', d.dag_id, 'task_id', t.task_id, 'is_outlet', r.kind = 'outlet',
                          'created_at', r.created_at, 'updated_at', r.updated_at)
                          ORDER BY d.dag_id, t.task_id, r.kind)
               FROM asset_reference r
               JOIN dag d ON d.dag = r.dag AND NOT d.is_stale
               JOIN dag_task t ON t.dag = r.dag AND t.task = r.task
               WHERE r.asset = a.asset",
    "
           ), '[]') AS tasks
    FROM asset a
    LEFT JOIN LATERAL (
        SELECT e.event, e.created_at FROM asset_event e
        WHERE e.asset = a.asset",
    "
        ORDER BY e.event DESC LIMIT 1
    ) AS last ON true
    WHERE true",
];

const EVENTS: &str = "
    SELECT e.event AS id, e.asset AS asset_id, a.name, a.uri, a.asset_group, e.extra, e.dag_id,
           e.task_id, e.run_id, e.map_index, e.created_at
    FROM asset_event e JOIN asset a ON a.asset = e.asset
    WHERE true";

impl AssetFilter {
    fn query(&self) -> QueryBuilder<Postgres> {
        let [tasks, last, rest] = ASSETS;
        let mut query = QueryBuilder::new(tasks);
        push_within(&mut query, "d.dag_id", self.within.as_deref());
        query.push(last);
        if let Some(within) = &self.within {
            query.push(" AND (e.dag_id IS NULL OR e.dag_id = ANY(").push_bind(within.clone());
            query.push("))");
        }
        query.push(rest);
        self.push(&mut query);
        query
    }

    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        self.name.push(query, "a.name");
        self.uri.push(query, "a.uri");
        if !self.only_active && self.dag_ids.is_empty() && self.within.is_none() {
            return;
        }
        query.push(
            " AND EXISTS (SELECT FROM asset_reference r JOIN dag d ON d.dag = r.dag
                          WHERE r.asset = a.asset",
        );
        if self.only_active {
            query.push(" AND NOT d.is_stale");
        }
        if !self.dag_ids.is_empty() {
            query.push(" AND d.dag_id = ANY(").push_bind(self.dag_ids.clone()).push(")");
        }
        push_within(query, "d.dag_id", self.within.as_deref());
        query.push(")");
    }
}

impl AssetOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "a.asset",
            Self::Name => "a.name",
            Self::Uri => "a.uri",
            Self::Created => "a.created_at",
            Self::Updated => "a.updated_at",
        }
    }
}

impl AssetEventFilter {
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        for (column, wanted) in [(" AND e.event = ", self.id), (" AND e.asset = ", self.asset_id)] {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted);
            }
        }
        let texts = [
            (" AND e.dag_id = ", &self.dag_id),
            (" AND e.task_id = ", &self.task_id),
            (" AND e.run_id = ", &self.run_id),
        ];
        for (column, wanted) in texts {
            if let Some(wanted) = wanted {
                query.push(column).push_bind(wanted.clone());
            }
        }
        if let Some(within) = &self.within {
            query.push(" AND (e.dag_id = ANY(").push_bind(within.clone()).push(
                ") OR e.dag_id IS NULL AND EXISTS (
                    SELECT FROM asset_reference r JOIN dag d ON d.dag = r.dag
                    WHERE r.asset = e.asset",
            );
            push_within(query, "d.dag_id", Some(within));
            query.push("))");
        }
        if let Some(map_index) = self.map_index {
            query.push(" AND e.map_index = ").push_bind(map_index);
        }
        self.name.push(query, "a.name");
        for (side, at) in &self.bounds {
            query.push(" AND e.created_at").push(side.sign()).push_bind(*at);
        }
    }
}

impl AssetEventOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Created => "e.created_at",
            Self::DagId => "e.dag_id",
            Self::TaskId => "e.task_id",
            Self::RunId => "e.run_id",
            Self::MapIndex => "e.map_index",
        }
    }
}

impl Store {
    /// Returns a page of assets.
    pub async fn asset_list(
        &self,
        filter: &AssetFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<AssetRecord>, StoreError> {
        let mut query = filter.query();
        filter.orders.push(&mut query, AssetOrder::column, &["a.asset"]);
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let rows: Vec<Row> = query.build_query_as().fetch_all(self.pool()).await?;
        let items = rows.into_iter().map(Row::record).collect::<Result<_, _>>()?;
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT FROM asset a WHERE true");
        filter.push(&mut count);
        Ok(Page { items, total: self.counted(count).await? })
    }

    /// Returns a page of events.
    pub async fn asset_event_list(
        &self,
        filter: &AssetEventFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<AssetEventRecord>, StoreError> {
        let mut query = QueryBuilder::new(EVENTS);
        filter.push(&mut query);
        filter.orders.push(&mut query, AssetEventOrder::column, &["e.created_at", "e.event"]);
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let items = query.build_query_as().fetch_all(self.pool()).await?;
        let mut count = QueryBuilder::new(
            "SELECT count(*) FROM (
                 SELECT FROM asset_event e JOIN asset a ON a.asset = e.asset WHERE true",
        );
        filter.push(&mut count);
        Ok(Page { items, total: self.counted(count).await? })
    }

    async fn counted(&self, mut query: QueryBuilder<Postgres>) -> Result<i64, StoreError> {
        query.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        Ok(query.build_query_scalar().fetch_one(self.pool()).await?)
    }
}

impl Row {
    fn record(self) -> Result<AssetRecord, StoreError> {
        Ok(AssetRecord {
            references: from_json(self.tasks, || format!("the tasks of asset {}", self.id))?,
            id: self.id,
            name: self.name,
            uri: self.uri,
            group: self.asset_group,
            extra: self.extra,
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_event: self.event.zip(self.event_at),
        })
    }
}
