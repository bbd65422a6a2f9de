//! `aggregate` and `transform`: SQL over datasets, and steps over one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use subak_core::operators::Input;
use subak_core::operators::data::{self, SqlTransform};
use subak_task::{Operator, TaskContext, TaskError, TaskOutput, bytes_text, rows_text};

use crate::csv::scan::Counters;
use crate::dataset::reference;
use crate::error::DataError;
use crate::runtime::run;
use crate::sql::query::{Query, What};
use crate::sql::tables::Tables;

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
        query(tables(params.input.as_ref(), &params.inputs)?, What::Sql(params.sql), ctx).await
    }
}

impl Operator for Transform {
    const NAME: &'static str = "transform";
    type Params = data::Transform;

    async fn run(
        &self,
        params: data::Transform,
        ctx: &TaskContext,
    ) -> Result<TaskOutput, TaskError> {
        let tables = tables(params.input.as_ref(), &params.inputs)?;
        let what = match params.sql {
            Some(sql) => What::Sql(sql),
            None => What::Steps(params.steps),
        };
        query(tables, what, ctx).await
    }
}

async fn query(tables: Tables, what: What, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
    let query = Query::new(ctx, tables, what)?;
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
fn tables(input: Option<&Input>, inputs: &BTreeMap<String, Input>) -> Result<Tables, DataError> {
    let mut tables = Tables::new();
    if let Some(input) = input {
        let dataset = reference::dataset(input)?;
        tables.insert(dataset.name.clone(), dataset);
    }
    for (name, input) in inputs {
        tables.insert(name.clone(), reference::dataset(input)?);
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
