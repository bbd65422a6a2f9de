//! Reads ledgers for the tasks that read topics.

use std::collections::BTreeMap;

use async_trait::async_trait;
use subak_core::dag::model::Sink;
use subak_task::{LedgerTopic, Ledgers, TaskContext, TaskError};

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
}
