//! Runs one query over datasets and writes its result as a dataset.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use serde_json::Value;
use subak_core::operators::data::Step;
use subak_task::{DatasetRef, DatasetStats, ScanCounts, Source, TaskContext};
use tokio::task::JoinSet;

use super::explain;
use super::first_row;
use super::steps;
use super::tables::{Tables, register};
use crate::csv::scan::Counters;
use crate::dataset::ipc::{self, Part, PartWriter};
use crate::dataset::writing::Writing;
use crate::error::DataError;
use crate::runtime::threads;

/// Consumers of memory that an error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN;

/// A query and what it needs.
pub(crate) struct Query {
    pub name: String,
    pub tables: Tables,
    pub what: What,
    pub folder: PathBuf,
    pub scratch: PathBuf,
    pub memory_bytes: usize,
    pub counters: Arc<Counters>,
    pub counts: Arc<ScanCounts>,
}

/// What is asked.
pub(crate) enum What {
    Sql(String),
    /// Steps over the only table.
    Steps(Vec<Step>),
}

impl Query {
    /// Takes from `ctx` what a query needs.
    pub(crate) fn new(ctx: &TaskContext, tables: Tables, what: What) -> Result<Self, DataError> {
        Ok(Self {
            name: ctx.identity.task_id.clone(),
            tables,
            what,
            folder: ipc::folder(ctx)?,
            scratch: ctx.scratch.clone(),
            memory_bytes: ctx.memory_bytes,
            counters: Arc::new(Counters::default()),
            counts: Arc::clone(&ctx.counts),
        })
    }

    /// Runs it and writes the result.
    pub(crate) async fn run(self) -> Result<(DatasetRef, DatasetStats), DataError> {
        let (session, plan) = self.plan().await?;
        let schema = plan.schema();
        let parts = match self.parts(&session, plan, &schema).await {
            Ok(parts) => parts,
            Err(error) => return Err(Box::pin(self.explained(error)).await),
        };
        let (mut dataset, stats) = ipc::dataset(&self.name, &self.folder, &schema, parts)?;
        dataset.provenance = provenance(&self.tables);
        Ok((dataset, stats))
    }

    /// Writes what the plan gives, in the order of its partitions.
    async fn parts(
        &self,
        session: &SessionContext,
        plan: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
    ) -> Result<Vec<Part>, DataError> {
        let streams = execute_stream_partitioned(plan, session.task_ctx())?;
        let mut writing = JoinSet::new();
        for (number, stream) in streams.into_iter().enumerate() {
            let writer = PartWriter::new(&self.folder, number, schema)?;
            writing.spawn(async move { (number, write(stream, writer).await) });
        }
        let mut parts = Vec::new();
        while let Some(ended) = writing.join_next().await {
            let (number, part) = ended
                .map_err(|error| DataError::permanent(format!("computing failed: {error}")))?;
            parts.push((number, part?));
        }
        parts.sort_by_key(|&(number, _)| number);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// Says what is wrong with values that could not be computed with; of steps also where they are.
    async fn explained(&self, error: DataError) -> DataError {
        let what = match &error {
            DataError::DataFusion(error) => explain::values(error),
            _ => None,
        };
        let Some(what) = what else { return error };
        match &self.what {
            What::Sql(_) => DataError::permanent(format!("sql: {what}")),
            What::Steps(steps) => {
                let found = self.first_row(steps).await.ok().flatten();
                DataError::permanent(found.unwrap_or(what))
            }
        }
    }

    /// Says at which row and column the steps fail first.
    async fn first_row(&self, steps: &[Step]) -> Result<Option<String>, DataError> {
        let Some((table, dataset)) = self.tables.first_key_value() else { return Ok(None) };
        let session = self.session(1)?;
        // What is read once more does not count.
        register(&session, &self.tables, &Arc::default(), &Arc::default()).await?;
        let frame = session.table(TableReference::bare(table.as_str())).await?;
        first_row::of_steps(&session, frame, steps, &dataset.name).await
    }

    /// Plans the query: on all threads, unless its rows have an order to keep that parts of the input
    /// don't keep for themselves.
    async fn plan(&self) -> Result<(SessionContext, Arc<dyn ExecutionPlan>), DataError> {
        let session = self.session(1)?;
        register(&session, &self.tables, &self.counters, &self.counts).await?;
        let logical = self.logical(&session).await?;
        let session = match order(&logical)? {
            Order::Whole => session,
            // Only tables of ours have their parts in order.
            Order::ByRow if !self.tables.values().all(is_ipc) => session,
            Order::ByRow | Order::Mixed => self.session(threads())?,
        };
        let frame = session.execute_logical_plan(logical).await.map_err(explain::planning)?;
        let plan = frame.create_physical_plan().await.map_err(explain::planning)?;
        Ok((session, plan))
    }

    async fn logical(&self, session: &SessionContext) -> Result<LogicalPlan, DataError> {
        match &self.what {
            What::Sql(sql) => {
                explain::check(sql, &self.tables)?;
                session.state().create_logical_plan(sql).await.map_err(explain::planning)
            }
            What::Steps(steps) => {
                let Some(name) = self.tables.keys().next() else {
                    return Err(DataError::permanent("no input to clean"));
                };
                let mut frame = session.table(TableReference::bare(name.as_str())).await?;
                for (number, step) in (1..).zip(steps) {
                    frame = steps::apply(session, frame, step)
                        .map_err(|error| error.within(&format!("step {number}")))?;
                }
                Ok(frame.into_unoptimized_plan())
            }
        }
    }

    fn session(&self, partitions: usize) -> Result<SessionContext, DataError> {
        let mut config =
            SessionConfig::new().with_target_partitions(partitions).with_information_schema(false);
        let options = config.options_mut();
        // Columns are written as the file writes them: `InvoiceDate`, without quotes.
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.collect_spans = true;
        // It names a field of a column twice when projections follow one another (DataFusion 55.2).
        options.optimizer.enable_leaf_expression_pushdown = false;
        let reserved = self.memory_bytes / (8 * partitions);
        let execution = &mut options.execution;
        execution.sort_spill_reservation_bytes =
            execution.sort_spill_reservation_bytes.min(reserved);
        let pool = TrackConsumersPool::new(FairSpillPool::new(self.memory_bytes), CONSUMERS_NAMED);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_temp_file_path(&self.scratch)
            .build_arc()?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

fn is_ipc(dataset: &DatasetRef) -> bool {
    matches!(dataset.source, Source::Ipc { .. })
}

/// What the inputs carry, each entry once.
fn provenance(tables: &Tables) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for entry in tables.values().flat_map(|dataset| &dataset.provenance) {
        if !all.contains(entry) {
            all.push(entry.clone());
        }
    }
    all
}

/// Writes what a partition gives.
async fn write(
    mut stream: SendableRecordBatchStream,
    writer: PartWriter,
) -> Result<Part, DataError> {
    let writing = Writing::new(writer);
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => {
                if !writing.write(batch).await {
                    break;
                }
            }
            Err(error) => {
                let _ = writing.ended().await;
                return Err(error.into());
            }
        }
    }
    writing.ended().await?.finish()
}

/// What becomes of the order of the input's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Something in the plan mixes them.
    Mixed,
    /// It is kept where one thread does everything.
    Whole,
    /// It is kept by each part of the input for itself: nothing looks at more than a row.
    ByRow,
}

fn order(plan: &LogicalPlan) -> Result<Order, DataError> {
    let mut order = Order::ByRow;
    plan.apply_with_subqueries(|node| {
        order = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_) => order,
            LogicalPlan::Limit(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_) => Order::Whole,
            _ => Order::Mixed,
        };
        let mixed = order == Order::Mixed;
        Ok(if mixed { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(order)
}
