//! One snapshot of the tables that the engine writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use super::PLACES;
use super::graph::{Graph, Node};

/// Final states, as the database spells them.
const FINAL: [&str; 5] = ["success", "failed", "skipped", "upstream_failed", "removed"];

/// Everything that the checker looks at, as of one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    runs: Vec<RunRow>,
    graphs: HashMap<(i32, i32), Graph>,
    /// Of runs with mapped tasks.
    expanded: HashMap<i64, Graph>,
    history: HashMap<i64, BTreeMap<i32, Vec<Ended>>>,
    live: HashMap<i64, BTreeMap<i32, Live>>,
    joins: HashMap<i64, BTreeMap<i32, Join>>,
    resets: HashMap<i64, BTreeMap<i32, Reset>>,
    /// Runs whose cascade is not finished.
    cascading: HashSet<i64>,
    pub(super) pools: Vec<PoolRow>,
}

/// A run.
#[derive(Debug, FromRow)]
pub(super) struct RunRow {
    pub(super) run_key: i64,
    pub(super) dag: i32,
    pub(super) version: i32,
    pub(super) run_type: String,
    pub(super) logical_date: Option<DateTime<Utc>>,
    pub(super) state: String,
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    pub(super) tasks_open: i32,
    pub(super) tasks_active: i32,
    pub(super) tasks_held: i32,
    pub(super) leaves_failed: i32,
    pub(super) has_resets: bool,
}

/// A row of the history.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Ended {
    run_key: i64,
    pub(super) task: i32,
    pub(super) token: i64,
    pub(super) state: String,
    pub(super) try_number: i32,
    pub(super) resets: i32,
    pub(super) session: Option<i64>,
    pub(super) queued_at: Option<DateTime<Utc>>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) ended_at: DateTime<Utc>,
    pub(super) cause: Option<String>,
}

/// A live row.
#[derive(Debug, FromRow)]
pub(super) struct Live {
    run_key: i64,
    pub(super) task: i32,
    pub(super) state: String,
    pub(super) try_number: i32,
    pub(super) token: Option<i64>,
    pub(super) queued_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) pool: Option<String>,
    pub(super) pool_slots: i32,
    pub(super) own_pool: Option<String>,
    pub(super) waits_pool: bool,
}

/// A pool.
#[derive(Debug, FromRow)]
pub(super) struct PoolRow {
    pub(super) name: String,
    pub(super) slots: i32,
    pub(super) used: i32,
}

/// Counters of a waiting task.
#[derive(Debug, FromRow)]
pub(super) struct Join {
    run_key: i64,
    task: i32,
    pub(super) needed: i32,
    pub(super) success: i32,
    pub(super) failed: i32,
    pub(super) skipped: i32,
    pub(super) upstream_failed: i32,
    pub(super) removed: i32,
    pub(super) decided: bool,
}

/// The last clear of a task.
#[derive(Debug, FromRow)]
pub(super) struct Reset {
    run_key: i64,
    task: i32,
    pub(super) token: i64,
}

/// One run with everything of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunView<'a> {
    pub(super) row: &'a RunRow,
    pub(super) graph: &'a Graph,
    pub(super) is_cascading: bool,
    history: Option<&'a BTreeMap<i32, Vec<Ended>>>,
    live: Option<&'a BTreeMap<i32, Live>>,
    joins: Option<&'a BTreeMap<i32, Join>>,
    resets: Option<&'a BTreeMap<i32, Reset>>,
}

impl Snapshot {
    /// Reads all of it in one read-only transaction.
    pub(super) async fn read(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = pool.begin().await?;
        sqlx::raw_sql(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL statement_timeout = 0",
        )
        .execute(&mut *tx)
        .await?;
        let snapshot = Self::read_with(&mut tx).await?;
        tx.commit().await?;
        Ok(snapshot)
    }

    async fn read_with(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let runs = sqlx::query_as(
            "SELECT run_key, dag, version, run_type, logical_date, state::text, cancelled_at, tasks_open, tasks_active,
                    tasks_held, leaves_failed, has_resets
             FROM run ORDER BY run_key",
        );
        let history = sqlx::query_as(
            "SELECT run_key, task + (map_index + 1) * 100000 AS task, token, state::text, try_number,
                    resets, session, queued_at, started_at, ended_at,
                    -- What a mapped instance is to take may be gone: a clear of what is above it.
                    CASE WHEN error LIKE 'the task could not be handed over%' THEN 'not_handed_over'
                         ELSE cause END AS cause
             FROM try_history ORDER BY token",
        );
        let live = sqlx::query_as(
            "SELECT run_key, task + (map_index + 1) * 100000 AS task, state::text, try_number, token,
                    queued_at, started_at, pool, pool_slots, own_pool, waits_pool
             FROM live",
        );
        let joins = sqlx::query_as(
            "SELECT run_key, task + (map_index + 1) * 100000 AS task, needed, success, failed, skipped,
                    upstream_failed, removed, decided
             FROM join_state",
        );
        let resets = sqlx::query_as(
            "SELECT run_key, task + (map_index + 1) * 100000 AS task, token FROM task_reset",
        );
        let cascades = sqlx::query_scalar("SELECT run_key FROM outbox WHERE run_key IS NOT NULL");
        let maps =
            sqlx::query_as("SELECT run_key, task, instances, verdict IS NOT NULL FROM mapped");
        let pools = sqlx::query_as("SELECT name, slots, used FROM pool ORDER BY name");
        let pools: Vec<PoolRow> = pools.fetch_all(&mut *db).await?;
        let runs: Vec<RunRow> = runs.fetch_all(&mut *db).await?;
        let history: Vec<Ended> = history.fetch_all(&mut *db).await?;
        let live: Vec<Live> = live.fetch_all(&mut *db).await?;
        let joins: Vec<Join> = joins.fetch_all(&mut *db).await?;
        let resets: Vec<Reset> = resets.fetch_all(&mut *db).await?;
        let cascades: Vec<i64> = cascades.fetch_all(&mut *db).await?;
        let maps: Vec<(i64, i32, Option<i32>, bool)> = maps.fetch_all(&mut *db).await?;
        let graphs = graphs(db).await?;
        let expanded = expanded(&runs, &graphs, maps);
        let mut of_task: HashMap<i64, BTreeMap<i32, Vec<Ended>>> = HashMap::new();
        for row in history {
            of_task.entry(row.run_key).or_default().entry(row.task).or_default().push(row);
        }
        Ok(Self {
            graphs,
            expanded,
            runs,
            history: of_task,
            live: by_task(live, |row| (row.run_key, row.task)),
            joins: by_task(joins, |row| (row.run_key, row.task)),
            resets: by_task(resets, |row| (row.run_key, row.task)),
            cascading: cascades.into_iter().collect(),
            pools,
        })
    }

    /// Every run.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunView<'_>> {
        self.runs.iter().map(|row| RunView {
            row,
            graph: (self.expanded.get(&row.run_key))
                .unwrap_or_else(|| &self.graphs[&(row.dag, row.version)]),
            is_cascading: self.cascading.contains(&row.run_key),
            history: self.history.get(&row.run_key),
            live: self.live.get(&row.run_key),
            joins: self.joins.get(&row.run_key),
            resets: self.resets.get(&row.run_key),
        })
    }

    /// Every live row.
    pub(super) fn all_live(&self) -> impl Iterator<Item = &Live> {
        self.live.values().flat_map(BTreeMap::values)
    }

    /// The ended try that was handed over under this token.
    pub(super) fn ended(&self, run_key: i64, task: i32, token: i64) -> Option<&Ended> {
        let of_task = self.history.get(&run_key)?.get(&task)?;
        of_task.iter().find(|row| row.token == token)
    }

    /// Every try that a worker ended, with its run and task; of one operator, where it is named.
    pub(super) fn tries<'a>(
        &'a self,
        operator: Option<&'a str>,
    ) -> impl Iterator<Item = (i64, i32, &'a Ended)> {
        self.runs().flat_map(move |run| {
            run.tasks()
                .filter(move |(_, node)| operator.is_none_or(|operator| node.operator == operator))
                .flat_map(move |(task, _)| run.history(task))
                .filter(|row| row.session.is_some())
                .map(|row| (row.run_key, row.task, row))
        })
    }
}

impl RunRow {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "success" | "failed")
    }
}

impl Ended {
    pub(super) fn is_final(&self) -> bool {
        FINAL.contains(&self.state.as_str())
    }
}

impl<'a> RunView<'a> {
    /// All that ended of a task, in the order of tokens.
    pub(super) fn history(&self, task: i32) -> &'a [Ended] {
        self.history.and_then(|rows| rows.get(&task)).map_or(&[], Vec::as_slice)
    }

    /// All that ended of a task and of its instances, of those also that a clear has forgotten since.
    pub(super) fn ever(&self, base: i32) -> impl Iterator<Item = &'a Ended> {
        self.all_ended().filter(move |row| row.task % PLACES == base)
    }

    pub(super) fn live(&self, task: i32) -> Option<&'a Live> {
        self.live.and_then(|rows| rows.get(&task))
    }

    /// Every end, of whatever task.
    pub(super) fn all_ended(&self) -> impl Iterator<Item = &'a Ended> {
        self.history.into_iter().flat_map(BTreeMap::values).flatten()
    }

    pub(super) fn all_live(&self) -> impl Iterator<Item = &'a Live> {
        self.live.into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn join(&self, task: i32) -> Option<&'a Join> {
        self.joins.and_then(|rows| rows.get(&task))
    }

    pub(super) fn has_joins(&self) -> bool {
        self.joins.is_some_and(|rows| !rows.is_empty())
    }

    /// The token of the task's last clear.
    pub(super) fn reset(&self, task: i32) -> Option<i64> {
        self.resets.and_then(|rows| rows.get(&task)).map(|reset| reset.token)
    }

    /// Whether somebody has cleared a task: an instance also as the task that was not expanded then, and a
    /// task that is not expanded any more also as any of its instances.
    pub(super) fn was_cleared(&self, task: i32) -> bool {
        let base = task % PLACES;
        let mut cleared = self.resets.into_iter().flat_map(BTreeMap::keys);
        cleared.any(|of| *of == task || *of == base || task == base && of % PLACES == base)
    }

    /// Whether somebody has cleared a task of the run.
    pub(super) fn is_cleared(&self) -> bool {
        self.resets.is_some_and(|rows| !rows.is_empty())
    }

    /// The final rows that count: later than the task's last clear.
    pub(super) fn current(&self, task: i32) -> impl Iterator<Item = &'a Ended> {
        let since = self.reset(task).unwrap_or(0);
        self.history(task).iter().filter(move |row| row.is_final() && row.token > since)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = (i32, &'a Node)> + use<'a> {
        self.graph.tasks.iter().map(|(&task, node)| (task, node))
    }
}

impl fmt::Display for RunView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}", self.row.run_key)
    }
}

async fn graphs(db: &mut PgConnection) -> Result<HashMap<(i32, i32), Graph>, sqlx::Error> {
    let numbers: Vec<(i32, i32, String)> =
        sqlx::query_as("SELECT dag, task, task_id FROM dag_task").fetch_all(&mut *db).await?;
    let mut of_dag: HashMap<i32, HashMap<String, i32>> = HashMap::new();
    for (dag, task, task_id) in numbers {
        of_dag.entry(dag).or_default().insert(task_id, task);
    }
    let versions: Vec<(i32, i32, serde_json::Value)> =
        sqlx::query_as("SELECT dag, version, canonical FROM dag_version").fetch_all(db).await?;
    let none = HashMap::new();
    versions
        .into_iter()
        .map(|(dag, version, canonical)| {
            let graph = Graph::new(canonical, of_dag.get(&dag).unwrap_or(&none))
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(((dag, version), graph))
        })
        .collect()
}

/// The graphs of runs with mapped tasks: each instance is a task there.
fn expanded(
    runs: &[RunRow],
    graphs: &HashMap<(i32, i32), Graph>,
    maps: Vec<(i64, i32, Option<i32>, bool)>,
) -> HashMap<i64, Graph> {
    let mut of_run: HashMap<i64, BTreeMap<i32, (Option<i32>, bool)>> = HashMap::new();
    for (run, task, instances, is_decided) in maps {
        of_run.entry(run).or_default().insert(task, (instances, is_decided));
    }
    let none = BTreeMap::new();
    let expand = |run: &RunRow| {
        let graph = graphs.get(&(run.dag, run.version)).filter(|graph| graph.has_maps())?;
        Some((run.run_key, graph.expanded(of_run.get(&run.run_key).unwrap_or(&none))))
    };
    runs.iter().filter_map(expand).collect()
}

fn by_task<Row>(
    rows: Vec<Row>,
    key: impl Fn(&Row) -> (i64, i32),
) -> HashMap<i64, BTreeMap<i32, Row>> {
    let mut of_run: HashMap<i64, BTreeMap<i32, Row>> = HashMap::new();
    for row in rows {
        let (run_key, task) = key(&row);
        of_run.entry(run_key).or_default().insert(task, row);
    }
    of_run
}
