//! Records into a topic, at a rate, with checkpoints.

use std::time::Duration;

use serde_json::json;
use subak_core::operators::feed::Generate;
use subak_task::{Outgoing, TaskContext, TaskError, TaskOutput, TopicWriter};
use tokio::time::Instant;

use super::position::Position;
use super::profile;
use crate::life::{Life, Next};

/// Records sent at once, at most.
const AT_ONCE: u64 = 10_000;

/// How often a slow feed sends, and any feed notes how far it is.
const SEND_EVERY: Duration = Duration::from_millis(100);
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Sends until the count is there, or until the try is to end.
pub(super) async fn run(
    params: &Generate,
    mut topic: Box<dyn TopicWriter>,
    ctx: &TaskContext,
) -> Result<TaskOutput, TaskError> {
    let mut position = Position::begin(ctx).await?;
    // A run that has an end goes to it; only one without yields.
    let life = Life::new(ctx);
    let end = params.count.map_or(u64::MAX, |count| position.from.saturating_add(count));
    let first = position.next;
    let began = Instant::now();
    let (mut kept, mut bytes) = (began, 0);
    while position.next < end {
        let due = due(params.rate, began.elapsed(), position.next - first).min(end - position.next);
        if due == 0 {
            let woken = life.sleep_until(Instant::now() + SEND_EVERY).await?;
            if woken == Next::Yield && params.count.is_none() {
                break;
            }
            continue;
        }
        let until = position.next + due;
        let records: Vec<Outgoing> = (position.next..until)
            .map(|record| profile::outgoing(params.profile, params.seed, record))
            .collect();
        bytes += records.iter().map(|record| record.value.len() as u64).sum::<u64>();
        let sending = ctx.cancel.run_until_cancelled(topic.send(records)).await;
        let refused = sending.unwrap_or_else(|| Err(TaskError::cancelled()))?;
        if let Some(refused) = refused.into_iter().next() {
            return Err(TaskError::permanent(format!(
                "the topic takes no such record: {}",
                refused.why
            )));
        }
        position.next = until;
        if kept.elapsed() >= KEEP_EVERY {
            kept = Instant::now();
            position.keep(ctx).await?;
            let sent = position.next - first;
            let rate = sent as f64 / began.elapsed().as_secs_f64();
            ctx.progress.progress(sent, bytes, &format!("{rate:.0} records/s"));
        }
        if params.count.is_none() && life.next() == Next::Yield {
            break;
        }
    }
    position.keep(ctx).await?;
    let sent = position.next - first;
    let name = params.topic.as_deref().unwrap_or_default();
    ctx.log(format!("{sent} records sent to topic {name}, {bytes} bytes"));
    let value =
        json!({ "topic": name, "records": sent, "from": position.from, "next": position.next });
    Ok(TaskOutput { value: Some(value), ..TaskOutput::default() })
}

/// How many records may be sent now, if `sent` were after `elapsed`.
fn due(rate: Option<f64>, elapsed: Duration, sent: u64) -> u64 {
    let Some(rate) = rate else { return AT_ONCE };
    // The first one at once.
    let due = (rate * elapsed.as_secs_f64()) as u64 + 1;
    due.saturating_sub(sent).min(AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_on_the_whole() {
        let after = |seconds, sent| due(Some(10.0), Duration::from_secs_f64(seconds), sent);
        assert_eq!(after(0.0, 0), 1);
        assert_eq!(after(0.05, 1), 0);
        assert_eq!(after(1.0, 1), 10);
        assert_eq!(after(1e6, 0), AT_ONCE);
        assert_eq!(due(None, Duration::ZERO, 5), AT_ONCE);
    }
}
