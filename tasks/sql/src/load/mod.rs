//! Operator `postgres.load`: a dataset into a table, once, in one transaction.

mod catalog;
mod copy_in;
mod create;
mod input;
mod ledger;
mod mapping;
pub(crate) mod offsets;
mod tables;
mod transaction;
mod upsert;

use std::time::Duration;

use subak_core::letter::Replay;
use subak_core::operators::sql::PostgresLoad;
use subak_task::{DatasetRef, Operator, RangeRef, TaskContext, TaskError, TaskOutput};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::load::ledger::{Earlier, Ledger, Loaded};
use crate::load::offsets::Offsets;
use crate::name::{Identifier, TableName};
use crate::session::{Backend, Session};
use crate::target::Target;

/// How long an interrupted COMMIT is asked after, in steps that double.
const SETTLE: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
    Duration::from_millis(3_200),
];

/// `postgres.load`: loads a dataset into a table.
pub(crate) struct PostgresLoadOperator;

/// A load, its names checked.
pub(crate) struct Load<'a> {
    pub(crate) params: PostgresLoad,
    pub(crate) dataset: DatasetRef,
    pub(crate) table: TableName,
    pub(crate) key: Vec<Identifier>,
    pub(crate) target: Target,
    pub(crate) ledger: Ledger,
    /// Ranges of topics that the dataset carries, and the ledger that they are held against.
    pub(crate) ranges: Vec<RangeRef>,
    pub(crate) offsets: Offsets,
    /// Dead letters of this very load that go through again.
    pub(crate) replay: Option<Replay>,
    pub(crate) ctx: &'a TaskContext,
}

impl Operator for PostgresLoadOperator {
    const NAME: &'static str = "postgres.load";
    type Params = PostgresLoad;

    async fn run(&self, params: PostgresLoad, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let replay = ctx.pipeline.replay().await?.filter(|it| it.task == ctx.identity.task_id);
        let load = Load::new(params, replay, ctx)?;
        let opening = ctx.cancel.run_until_cancelled(Session::open(&load.target)).await;
        let mut session = opening.unwrap_or_else(|| Err(TaskError::cancelled()))?;
        let backend = session.backend();
        let work = Box::pin(load.in_transaction(&mut session.db));
        let loaded = backend.guard(&ctx.cancel, work).await?;
        match loaded.earlier {
            None => {
                load.commit(session, &backend, &loaded).await?;
                ctx.log(format!("loaded and committed: {loaded}"));
            }
            Some(Earlier::Try) => {
                ctx.log(format!("loaded already, by an earlier try: {loaded}"));
            }
            Some(Earlier::Range) => ctx.log(format!(
                "nothing to load: {} is committed already",
                load.ranges.iter().map(RangeRef::to_string).collect::<Vec<_>>().join(", ")
            )),
        }
        let rows = load.rows_of_range(&loaded);
        for range in &load.ranges {
            range.tell_committed(&ctx.identity.task_id, rows, ctx).await;
        }
        Ok(output(&loaded))
    }
}

fn output(loaded: &Loaded) -> TaskOutput {
    let rows_rejected = u64::try_from(loaded.rows_rejected).unwrap_or_default();
    TaskOutput { value: Some(loaded.to_json()), rows_rejected, ..TaskOutput::default() }
}

impl<'a> Load<'a> {
    fn new(
        params: PostgresLoad,
        replay: Option<Replay>,
        ctx: &'a TaskContext,
    ) -> Result<Self, TaskError> {
        let mut dataset: DatasetRef =
            serde_json::from_value(params.input.0.clone()).map_err(|error| {
                TaskError::permanent(format!(
                    "`input` is no dataset ({error}): name a task that hands one on, as \
                 `{{{{ tasks.<task id>.output }}}}`"
                ))
            })?;
        let key =
            params.key.iter().map(|name| Identifier::new(name)).collect::<Result<Vec<_>, _>>()?;
        let target = Target::named(&params.connection, ctx)?;
        if let Some(replay) = &replay {
            // The ledger has which replays are loaded, as it has ranges of topics.
            let taken = RangeRef::new(&replay.range, &ctx.identity.dag_id, &replay.task);
            dataset.provenance.push(taken.to_provenance());
        }
        let ranges = RangeRef::of(&dataset)?;
        if !ranges.is_empty() && ctx.identity.map_index >= 0 {
            return Err(TaskError::permanent(
                "a mapped load of a topic's range is not supported yet: each instance would move the \
                 same ledger",
            ));
        }
        Ok(Self {
            offsets: Offsets::new(&target, ctx, &ctx.identity.task_id)?,
            ranges,
            table: TableName::parse(&params.table)?,
            ledger: Ledger::new(&target, ctx)?,
            params,
            dataset,
            replay,
            key,
            target,
            ctx,
        })
    }

    /// The rows that the table has of the load's one range: those of several are not told apart, and of
    /// one that another run has loaded they are not known here.
    fn rows_of_range(&self, loaded: &Loaded) -> Option<i64> {
        let is_known = self.ranges.len() == 1 && loaded.earlier != Some(Earlier::Range);
        is_known.then_some(loaded.rows_loaded)
    }

    /// Commits. If the answer is lost, the ledger says whether the rows are there.
    async fn commit(
        &self,
        mut session: Session,
        backend: &Backend,
        loaded: &Loaded,
    ) -> Result<(), TaskError> {
        // A commit is not stopped half-way: the outcome would be known only later.
        let never = CancellationToken::new();
        let commit = async {
            let committed = sqlx::raw_sql("COMMIT").execute(&mut session.db).await;
            Ok(committed)
        };
        match backend.guard(&never, commit).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error @ sqlx::Error::Database(_))) if !ends_session(&error) => {
                Err(self.target.failure(error))
            }
            Ok(Err(_)) | Err(_) => {
                drop(session);
                self.settle(backend, loaded).await
            }
        }
    }

    async fn settle(&self, backend: &Backend, loaded: &Loaded) -> Result<(), TaskError> {
        self.ctx.log("the answer to COMMIT was lost: asking whether it took effect");
        for pause in SETTLE {
            sleep(pause).await;
            match self.outcome(backend).await {
                Ok(Some(found)) if found.rows_loaded == loaded.rows_loaded => return Ok(()),
                Ok(None) => {
                    return Err(TaskError::transient(format!(
                        "{}: the connection was lost while committing, and nothing was loaded",
                        self.target
                    )));
                }
                // Not known yet.
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Err(TaskError::transient(format!(
            "{}: the answer to COMMIT was lost and PostgreSQL cannot be asked; the next try finds out \
             whether the rows are loaded, and does not load them twice",
            self.target
        )))
    }

    /// Returns what the ledger has once the old session has ended: then nothing changes any more.
    async fn outcome(&self, backend: &Backend) -> Result<Option<Loaded>, TaskError> {
        let mut session = Session::open(&self.target).await?;
        let ended = !backend.is_alive(&mut session.db).await?;
        match self.ledger.find(&mut session.db).await? {
            None if !ended => Err(TaskError::transient("the old session is still at work")),
            found => Ok(found),
        }
    }
}

/// Whether the server closed the session with the error, so that it says nothing of the commit.
fn ends_session(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
}
