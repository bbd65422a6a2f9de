//! Operator `http.poll`: what an API answers, again and again, as records of a topic.

mod answer;
mod client;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use subak_core::operators::feed::HttpPoll;
use subak_task::{BadRow, Operator, Refused, TaskContext, TaskError, TaskOutput, TopicWriter};
use tokio::time::Instant;

use self::client::{Client, Failure};
use crate::life::{Life, Next};

/// The longest wait between two polls of which the first failed.
const WAIT_MOST: Duration = Duration::from_secs(60);

/// The key of the task's state.
const STATE: &str = "poll";

/// `http.poll`: asks and sends until it is stopped.
pub(crate) struct HttpPollOperator;

/// What is remembered between tries and runs, in milliseconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// When the last answer was asked for.
    polled_ms: u64,
    /// When something was asked last, answered or not, where requests are limited.
    #[serde(default)]
    asked_ms: u64,
}

impl Operator for HttpPollOperator {
    const NAME: &'static str = "http.poll";
    type Params = HttpPoll;

    async fn run(&self, params: HttpPoll, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let client = Client::new(&params, ctx)?;
        let topic =
            ctx.topics.open(&params.connection, &params.topic, params.partitions, ctx).await?;
        let noted = ctx.state.get(STATE).await?.unwrap_or_default();
        let noted = serde_json::from_value(noted).unwrap_or_default();
        let poll =
            Poll { params, ctx, client, topic, noted, polls: 0, records: 0, bytes: 0, rejected: 0 };
        poll.run().await
    }
}

struct Poll<'c> {
    params: HttpPoll,
    ctx: &'c TaskContext,
    client: Client,
    topic: Box<dyn TopicWriter>,
    noted: Checkpoint,
    polls: u64,
    records: u64,
    bytes: u64,
    rejected: u64,
}

impl Poll<'_> {
    async fn run(mut self) -> Result<TaskOutput, TaskError> {
        let life = Life::new(self.ctx);
        let began = Instant::now();
        let mut failed = 0;
        let (left, why) = self.left();
        if !left.is_zero() {
            let shown = left.as_secs_f64();
            self.ctx.log(format!("{} {why}: asking again in {shown:.1} s", self.client));
        }
        let mut next = began + left;
        while life.sleep_until(next).await? == Next::GoOn {
            let now = Instant::now();
            match self.poll(began).await {
                Ok(()) => {
                    if failed > 0 {
                        self.ctx.log(format!("{} answers again", self.client));
                    }
                    failed = 0;
                    next = now + self.params.interval.0.max(self.apart());
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again { why, after }) => {
                    failed += 1;
                    if failed > self.params.retries {
                        return Err(TaskError::transient(format!(
                            "{why}, {failed} times in a row"
                        )));
                    }
                    let rest = after.unwrap_or_else(|| self.backoff(failed));
                    next = (Instant::now() + rest).max(now + self.apart());
                    let shown = next.saturating_duration_since(Instant::now()).as_secs_f64();
                    self.ctx.log(format!("{why}: asking again in {shown:.1} s"));
                }
            }
            // Dead letters are seen when the try has ended.
            if self.rejected > 0 {
                break;
            }
        }
        let Self { polls, records, rejected, .. } = self;
        self.ctx
            .log(format!("{records} records of {polls} polls sent to topic {}", self.params.topic));
        let value = json!({ "topic": self.params.topic, "polls": polls, "records": records });
        Ok(TaskOutput { value: Some(value), rows_rejected: rejected, ..TaskOutput::default() })
    }

    /// How long the last request of a former try or run holds up the next one, and why.
    fn left(&self) -> (Duration, &'static str) {
        let since = |then_ms: u64| Duration::from_millis(now_ms().saturating_sub(then_ms));
        let interval = self.params.interval.0.saturating_sub(since(self.noted.polled_ms));
        let limit = self.apart().saturating_sub(since(self.noted.asked_ms));
        if limit > interval {
            (limit, "was asked as often as `rate_limit` allows")
        } else {
            (interval, "was asked less than an interval ago")
        }
    }

    /// How far two requests are apart at least.
    fn apart(&self) -> Duration {
        let limit = self.params.rate_limit;
        limit.map_or(Duration::ZERO, |a_minute| Duration::from_secs_f64(60.0 / a_minute))
    }

    async fn note(&self) -> Result<(), Failure> {
        self.ctx.state.put(STATE, &json!(self.noted)).await.map_err(Failure::Final)
    }

    /// Twice as long after each failure, with a share drawn from the clock so that pollers part.
    fn backoff(&self, failed: u32) -> Duration {
        let base = Duration::from_secs(1 << (failed - 1).min(6)).min(WAIT_MOST);
        base + base.mul_f64((now_ms() % 100) as f64 / 400.0)
    }

    /// Asks once, and sends what was answered.
    async fn poll(&mut self, began: Instant) -> Result<(), Failure> {
        let polled_ms = now_ms();
        if self.params.rate_limit.is_some() {
            self.noted.asked_ms = polled_ms;
            self.note().await?;
        }
        let asking = self.client.ask();
        let body = self.ctx.cancel.run_until_cancelled(asking).await;
        let body = body.unwrap_or_else(|| Err(Failure::Final(TaskError::cancelled())))?;
        let (records, note) = answer::records(&body, &self.params);
        note.iter().for_each(|note| self.ctx.log(note));
        let (count, bytes) =
            (records.len(), records.iter().map(|record| record.value.len()).sum::<usize>());
        let refused = self.topic.send(records).await.map_err(Failure::Final)?;
        self.polls += 1;
        self.records += (count - refused.len()) as u64;
        self.bytes += bytes as u64;
        self.reject(refused).await.map_err(Failure::Final)?;
        self.noted.polled_ms = polled_ms;
        self.note().await?;
        let rate = self.records as f64 / began.elapsed().as_secs_f64().max(1.0);
        self.ctx.progress.progress(
            self.records,
            self.bytes,
            &format!("{} polls, {rate:.1} records/s", self.polls),
        );
        Ok(())
    }

    /// Keeps what the topic does not take.
    async fn reject(&mut self, refused: Vec<Refused>) -> Result<(), TaskError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.ctx.log(format!(
            "{} records are not taken by the topic: kept as dead letters",
            refused.len()
        ));
        let mut rows = Vec::with_capacity(refused.len());
        for Refused { record, why } in refused {
            self.rejected += 1;
            rows.push(BadRow {
                source: self.client.to_string(),
                position: i64::try_from(now_ms()).unwrap_or(i64::MAX) * 1_000
                    + i64::try_from(self.rejected % 1_000).unwrap_or_default(),
                reasons: vec![why],
                raw: record.value,
                ..BadRow::default()
            });
        }
        self.ctx.dead_letters.send(rows).await
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
