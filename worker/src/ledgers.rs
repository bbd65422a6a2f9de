//! Ledgers of sinks, each by the one who knows what it is kept in.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use subak_core::dag::model::Sink;
use subak_task::{LedgerTopic, Ledgers, RangeRef, TaskContext, TaskError};

/// The connection type of sinks whose ledger is a group's offsets.
const KAFKA: &str = "kafka";

/// See the module.
pub(crate) struct AllLedgers {
    databases: Arc<dyn Ledgers>,
    kafka: Arc<dyn Ledgers>,
}

impl AllLedgers {
    pub(crate) fn new() -> Self {
        Self { databases: subak_tasks_sql::ledgers(), kafka: subak_tasks_kafka::ledgers() }
    }

    /// The one who knows the sink's ledger.
    fn of(&self, sink: &Sink, ctx: &TaskContext) -> Result<&dyn Ledgers, TaskError> {
        Ok(match ctx.connection(&sink.connection)?.conn_type.as_str() {
            KAFKA => &*self.kafka,
            _ => &*self.databases,
        })
    }
}

#[async_trait]
impl Ledgers for AllLedgers {
    async fn read(
        &self,
        sink: &Sink,
        topic: &LedgerTopic,
        ctx: &TaskContext,
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        self.of(sink, ctx)?.read(sink, topic, ctx).await
    }

    async fn pass(
        &self,
        sink: &Sink,
        range: &RangeRef,
        ctx: &TaskContext,
    ) -> Result<(), TaskError> {
        self.of(sink, ctx)?.pass(sink, range, ctx).await
    }
}
