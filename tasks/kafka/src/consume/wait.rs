//! Waiting for records, without a slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use subak_task::TaskError;

use super::Consume;

/// How long a `@continuous` DAG gathers records after the first one, unless its file says so.
const GATHER: Duration = Duration::from_millis(500);

/// Then the topic is looked at anew: partitions may have been added.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Between two looks at the orders to stop or to yield.
const POLL: Duration = Duration::from_millis(250);

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// There is a record.
    Found,
    /// Time has passed.
    Late,
    /// The worker drains, or the DAG has a newer version.
    Yields,
}

impl Consume {
    /// Waits for a record behind these positions; skips the task when it has waited long enough. In a
    /// `@continuous` DAG it waits as long as it takes, and then a moment for more records.
    pub(super) async fn wait(
        self: &Arc<Self>,
        positions: Vec<(i32, i64)>,
        since: Instant,
    ) -> Result<(), TaskError> {
        let wanted = self.params.max_wait.map(|wait| wait.0);
        let most = match self.ctx.is_continuous {
            true => LOOK_EVERY,
            false => wanted.unwrap_or_default().saturating_sub(since.elapsed()).min(LOOK_EVERY),
        };
        if most.is_zero() {
            return Err(self.nothing());
        }
        let over = async {
            let over = self.blocking(move |this| this.watch(&positions, most)).await?;
            if over == Over::Found && self.ctx.is_continuous {
                let gathering = tokio::time::sleep(wanted.unwrap_or(GATHER));
                self.ctx.cancel.run_until_cancelled(gathering).await;
            }
            Ok::<_, TaskError>(over)
        };
        match self.ctx.without_slot(over).await? {
            Over::Found | Over::Late => Ok(()),
            Over::Yields => Err(self.nothing()),
        }
    }

    pub(super) fn nothing(&self) -> TaskError {
        TaskError::skip(format!("topic {} has no new records", self.params.topic))
    }

    /// Reads on from the positions until there is something. On a client of its own: brokers hold its
    /// requests back for as long as there is nothing, and answer no other one meanwhile. Blocks.
    fn watch(&self, positions: &[(i32, i64)], most: Duration) -> Result<Over, TaskError> {
        let until = Instant::now() + most;
        let client = self.target.watcher(&self.group())?;
        let failure = |error: KafkaError| self.target.failure(&error, &client);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(&self.params.topic, *partition, Offset::Offset(*offset))
                .map_err(failure)?;
        }
        client.assign(&list).map_err(failure)?;
        loop {
            if self.ctx.cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            if self.ctx.yields.is_cancelled() {
                return Ok(Over::Yields);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Over::Late);
            }
            // What goes wrong here goes wrong again at the next look, where it is told.
            if let Some(Ok(_)) = client.poll(left.min(POLL)) {
                return Ok(Over::Found);
            }
        }
    }
}
