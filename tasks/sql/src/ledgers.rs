//! Reads ledgers for the tasks that read topics.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Connection as _;
use subak_core::dag::model::Sink;
use subak_task::{LedgerTopic, Ledgers, RangeRef, TaskContext, TaskError};

use crate::load::offsets::Offsets;
use crate::session::Session;
use crate::target::Target;

/// Knows the ledgers of PostgreSQL.
pub(crate) struct PostgresLedgers;

#[async_trait]
impl Ledgers for PostgresLedgers {
    async fn read(
        &self,
        sink: &Sink,
        topic: &LedgerTopic,
        ctx: &TaskContext,
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        let target = Target::named(&sink.connection, ctx)?;
        let reading = async {
            let mut session = Session::open(&target).await?;
            Offsets::new(&target, ctx, &sink.task_id)?.read(&mut session.db, topic).await
        };
        let read = ctx.cancel.run_until_cancelled(reading).await;
        read.unwrap_or_else(|| Err(TaskError::cancelled()))
    }

    async fn pass(
        &self,
        sink: &Sink,
        range: &RangeRef,
        ctx: &TaskContext,
    ) -> Result<(), TaskError> {
        let target = Target::named(&sink.connection, ctx)?;
        let passing = async {
            let offsets = Offsets::new(&target, ctx, &sink.task_id)?;
            let mut session = Session::open(&target).await?;
            offsets.ensure(&mut session.db).await?;
            let refused = |error| target.failure(error);
            let mut tx = session.db.begin().await.map_err(refused)?;
            if !offsets.hold_in_tx(&mut tx, range).await? {
                offsets.advance_in_tx(&mut tx, range).await?;
            }
            tx.commit().await.map_err(refused)
        };
        let passed = ctx.cancel.run_until_cancelled(passing).await;
        passed.unwrap_or_else(|| Err(TaskError::cancelled()))
    }
}
