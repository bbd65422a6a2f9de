//! Asks PostgreSQL for generic plans, and judges how they read.

use std::collections::HashMap;

use anyhow::Context;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use subak_store::{Reads, Statement};

/// Tables that grow with runs; those of DAGs and workers stay small.
const GROWING: [&str; 9] = [
    "run",
    "live",
    "join_state",
    "task_reset",
    "try_history",
    "xcom",
    "dataset",
    "log_chunk",
    "outbox",
];

/// Indexes that timers are read from, the earliest first.
const TIMERS: [&str; 4] = ["live_due", "outbox_due", "run_deadline", "run_waits"];

/// The plan that the engine's sessions keep for a statement.
pub(super) async fn generic_plan(
    session: &mut PgConnection,
    statement: &Statement,
) -> anyhow::Result<Value> {
    let seqscan = if statement.reads == Reads::Whole { "on" } else { "off" };
    let prepare =
        format!("SET enable_seqscan = {seqscan}; DEALLOCATE ALL; PREPARE it AS {}", statement.sql);
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await.context(statement.name)?;
    let count: i64 = sqlx::query_scalar(
        "SELECT cardinality(parameter_types)::bigint FROM pg_prepared_statements WHERE name = 'it'",
    )
    .persistent(false)
    .fetch_one(&mut *session)
    .await?;
    let nulls = vec!["NULL"; usize::try_from(count)?].join(", ");
    let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE it {arguments}");
    let plans: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(session)
        .await
        .context(statement.name)?;
    Ok(plans[0]["Plan"].clone())
}

/// What the schema says that a plan is judged by.
pub(super) struct Rules {
    /// Index to its first column.
    first_columns: HashMap<String, String>,
    /// Index to its table.
    tables: HashMap<String, String>,
}

/// Where in a plan a node stands.
#[derive(Clone, Copy)]
struct Place {
    reads: Reads,
    /// Something above takes only the first rows.
    is_limited: bool,
}

impl Place {
    fn sorts_too_much(self, node: &Value) -> bool {
        self.is_limited && self.reads != Reads::Whole && reads_growing(node)
    }
}

impl Rules {
    pub(super) async fn read(session: &mut PgConnection) -> anyhow::Result<Self> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT i.relname::text, t.relname::text, a.attname::text
             FROM pg_index x
             JOIN pg_class i ON i.oid = x.indexrelid
             JOIN pg_class t ON t.oid = x.indrelid
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
             WHERE t.relnamespace = 'public'::regnamespace",
        )
        .persistent(false)
        .fetch_all(session)
        .await?;
        let first_columns = rows.iter().map(|(i, _, column)| (i.clone(), column.clone())).collect();
        let tables = rows.into_iter().map(|(index, table, _)| (index, table)).collect();
        Ok(Self { first_columns, tables })
    }

    /// Everything that a statement must not do.
    pub(super) fn problems(&self, plan: &Value, reads: Reads) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(plan, Place { reads, is_limited: false }, &mut found);
        found
    }

    fn walk(&self, node: &Value, mut place: Place, found: &mut Vec<String>) {
        let text = |key: &str| node[key].as_str().unwrap_or_default();
        match text("Node Type") {
            "Limit" => place.is_limited = true,
            "Sort" | "Incremental Sort" if place.sorts_too_much(node) => {
                found.push("sorts all rows to take the first ones".to_owned());
            }
            "Seq Scan" if is_growing(text("Relation Name")) && place.reads != Reads::Whole => {
                found.push(format!("reads `{}` from end to end", text("Relation Name")));
            }
            "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => {
                found.extend(self.index_problem(text("Index Name"), text("Index Cond"), place));
            }
            _ => {}
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.walk(child, place, found);
        }
    }

    fn index_problem(&self, index: &str, condition: &str, place: Place) -> Option<String> {
        let table = self.tables.get(index).map_or(index, String::as_str);
        if !is_growing(table) {
            return None;
        }
        let first = self.first_columns.get(index).map_or("", String::as_str);
        let by_timer = place.reads == Reads::Due && place.is_limited && TIMERS.contains(&index);
        if condition.contains(&format!("({first} = ")) || by_timer {
            return None;
        }
        if condition.is_empty() {
            return Some(format!("walks index `{index}` from end to end"));
        }
        Some(format!("no equality on `{first}` of index `{index}`: {condition}"))
    }
}

fn is_growing(table: &str) -> bool {
    // Partitions are named after their tables: try_history_20261121, try_history_default.
    GROWING.iter().any(|name| {
        table
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest == "_default" || is_day(rest))
    })
}

fn is_day(rest: &str) -> bool {
    rest.strip_prefix('_')
        .is_some_and(|day| day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()))
}

fn reads_growing(node: &Value) -> bool {
    node["Relation Name"].as_str().is_some_and(is_growing)
        || node["Plans"].as_array().into_iter().flatten().any(reads_growing)
}
