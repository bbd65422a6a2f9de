//! `aggregate` and `transform`: one implementation under two names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use subak_core::operators::data::SqlTransform;
use subak_task::{Operator, TaskContext, TaskError, TaskOutput};

use crate::csv::scan::Counters;
use crate::dataset::reference;
use crate::error::DataError;
use crate::runtime::run;
use crate::sql::query::Query;
use crate::sql::tables::Tables;
use crate::text::{bytes_text, rows_text};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(500);

/// `aggregate`.
pub(crate) struct Aggregate;

/// `transform`.
pub(crate) struct Transform;

impl Operator for Aggregate {
    const NAME: &'static str = "aggregate";
    type Params = SqlTransform;

    async fn run(&self, params: SqlTransform, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        query(params, ctx).await
    }
}

impl Operator for Transform {
    const NAME: &'static str = "transform";
    type Params = SqlTransform;

    async fn run(&self, params: SqlTransform, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        query(params, ctx).await
    }
}

async fn query(params: SqlTransform, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
    let query = Query::new(ctx, tables(&params)?, params.sql)?;
    let counters = Arc::clone(&query.counters);
    let work = run(&ctx.cancel, query.run());
    let (dataset, stats) = showing_progress(work, &counters, ctx).await?;
    let read = counters.rows.load(Ordering::Relaxed);
    if read > 0 {
        let bytes = bytes_text(counters.bytes.load(Ordering::Relaxed));
        ctx.log(format!("{} read ({bytes})", rows_text(read, "row")));
    }
    ctx.log(format!("{} in the result", rows_text(stats.rows.unwrap_or_default(), "row")));
    Ok(TaskOutput { dataset: Some((dataset, stats)), ..TaskOutput::default() })
}

/// Returns the tables by their names in the query.
fn tables(params: &SqlTransform) -> Result<Tables, DataError> {
    let mut tables = Tables::new();
    if let Some(input) = &params.input {
        let dataset = reference::dataset(input)?;
        tables.insert(dataset.name.clone(), dataset);
    }
    for (name, input) in &params.inputs {
        tables.insert(name.clone(), reference::dataset(input)?);
    }
    if tables.is_empty() {
        return Err(DataError::permanent(
            "no input: name a dataset by `input: \"{{ tasks.<task id>.output }}\"`, or several by `inputs`",
        ));
    }
    Ok(tables)
}

async fn showing_progress<T>(
    work: impl Future<Output = T>,
    counters: &Counters,
    ctx: &TaskContext,
) -> T {
    tokio::pin!(work);
    let mut timer = tokio::time::interval(PROGRESS);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = timer.tick() => ctx.progress.progress(
                counters.rows.load(Ordering::Relaxed),
                counters.bytes.load(Ordering::Relaxed),
                "read",
            ),
        }
    }
}
