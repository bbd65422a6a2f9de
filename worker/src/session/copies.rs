//! Copies of dead letters into a topic, at least once, for whoever reads them there.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use subak_core::hex;
use subak_core::operators::letters::LetterCopies;
use subak_task::{BadRow, DeadLetterSink, Outgoing, Refused, TaskContext, TaskError, TopicWriter};
use tokio::sync::Mutex;

use crate::log::TryLog;

/// Puts dead letters into a topic, and then where they are kept.
pub(super) struct Copied {
    /// With the sink that keeps them.
    ctx: TaskContext,
    to: LetterCopies,
    /// Knows the secrets of the task's connections, which are hidden.
    log: Arc<TryLog>,
    topic: Mutex<Option<Box<dyn TopicWriter>>>,
}

impl Copied {
    pub(super) fn new(ctx: TaskContext, to: LetterCopies, log: Arc<TryLog>) -> Self {
        Self { ctx, to, log, topic: Mutex::new(None) }
    }

    /// A record under the key of its pipeline and its place.
    fn outgoing(&self, row: &BadRow) -> Outgoing {
        let id = &self.ctx.identity;
        let place = json!({
            "dag_id": id.dag_id, "task_id": id.task_id, "source": row.source,
            "partition": row.partition, "position": row.position,
        });
        let patterns = self.log.patterns();
        let shown = patterns.mask_bytes(&row.raw);
        let record = shown.as_deref().unwrap_or(&row.raw);
        let mut value = place.clone();
        value["dag_run_id"] = json!(id.run_id);
        value["try_number"] = json!(id.try_number);
        let reasons: Vec<String> = row.reasons.iter().map(|reason| patterns.mask(reason)).collect();
        value["reasons"] = json!(reasons);
        match std::str::from_utf8(record) {
            Ok(text) => value["text"] = json!(text),
            Err(_) => value["hex"] = json!(hex::encode(record)),
        }
        Outgoing { key: Some(place.to_string().into()), value: value.to_string().into() }
    }
}

#[async_trait]
impl DeadLetterSink for Copied {
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError> {
        let mut topic = self.topic.lock().await;
        let writer = match &mut *topic {
            Some(writer) => writer,
            None => {
                let LetterCopies { connection, topic: name } = &self.to;
                let opened = self.ctx.topics.open(connection, name, None, &self.ctx).await?;
                topic.insert(opened)
            }
        };
        let records = rows.iter().map(|row| self.outgoing(row)).collect();
        for Refused { why, .. } in writer.send(records).await? {
            self.ctx.log(format!("a dead letter is kept, but not copied: {why}"));
        }
        self.ctx.dead_letters.send(rows).await
    }
}
