//! Metrics for Prometheus, in its text format. They are worked out at most every few seconds, however
//! many scrape; brokers are asked through workers, and one that is away is said to be.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use subak_store::Pool;

use crate::app::App;
use crate::clock;
use crate::problem::ApiError;
use crate::topics::Lags;

/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let (counts, lags) = tokio::join!(app.counts.get(&app.store), app.topics.lags());
    let (counts, lags) = (counts?, lags?);
    let mut text = Text::default();
    text.family("subak_info", "gauge", "The server's version.");
    text.sample("subak_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("subak_runs", "gauge", "DAG runs that are not over, by state.");
    text.sample("subak_runs", &[("state", "running")], counts.runs.0);
    text.sample("subak_runs", &[("state", "queued")], counts.runs.1);
    let about =
        "Task instances that are ready, run or wait on a timer; queued: the queue's length.";
    text.family("subak_task_instances", "gauge", about);
    for (state, queue, count) in &counts.live {
        text.sample("subak_task_instances", &[("state", state), ("queue", queue)], *count);
    }
    let sessions = &app.topics.engine().core.sessions;
    text.family("subak_workers", "gauge", "Workers that are connected to this server.");
    text.sample("subak_workers", &[], sessions.count());
    text.family("subak_slots_free", "gauge", "Free slots of these workers, by queue.");
    for (queue, free) in sessions.free_slots() {
        text.sample("subak_slots_free", &[("queue", &queue)], free);
    }
    text.family("subak_http_requests_total", "counter", "Requests answered by this server.");
    for (class, count) in app.answered.counts() {
        text.sample("subak_http_requests_total", &[("status", class)], count);
    }
    text.durations(&app);
    text.pools(&counts.pools);
    if let Some(beat) = app.actions.last_beat() {
        let about = "Seconds since the engine's timers of this server last went round.";
        text.family("subak_engine_beat_age_seconds", "gauge", about);
        let age = (clock::now() - beat).as_seconds_f64().max(0.0);
        text.sample("subak_engine_beat_age_seconds", &[], age);
    }
    text.lags(&lags);
    Ok(([(header::CONTENT_TYPE, FORMAT)], text.0).into_response())
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        let _infallible = write!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _infallible = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.0, "{close} {value}");
    }

    fn durations(&mut self, app: &App) {
        let name = "subak_http_request_duration_seconds";
        let about = "How soon this server's answers began.";
        let durations = app.answered.durations();
        self.family(name, "histogram", about);
        for (bound, count) in durations.within {
            self.sample(&format!("{name}_bucket"), &[("le", &bound.to_string())], count);
        }
        self.sample(&format!("{name}_bucket"), &[("le", "+Inf")], durations.count);
        self.sample(&format!("{name}_sum"), &[], durations.seconds);
        self.sample(&format!("{name}_count"), &[], durations.count);
    }

    fn pools(&mut self, pools: &[Pool]) {
        let about = "Slots of a pool; -1: no limit.";
        self.of_pools("subak_pool_slots", about, pools, |pool| pool.slots.into());
        let about = "Slots of a pool that tasks have.";
        self.of_pools("subak_pool_slots_used", about, pools, |pool| pool.used.into());
        let about = "Slots of a pool that waiting tasks ask for.";
        self.of_pools("subak_pool_slots_wanted", about, pools, |pool| pool.wanted);
    }

    fn of_pools(&mut self, name: &str, about: &str, pools: &[Pool], value: fn(&Pool) -> i64) {
        self.family(name, "gauge", about);
        for pool in pools {
            self.sample(name, &[("pool", &pool.name)], value(pool));
        }
    }

    fn lags(&mut self, lags: &Lags) {
        let about =
            "Whether the brokers of a connection that a DAG reads were heard, through a worker.";
        self.family("subak_kafka_heard", "gauge", about);
        for (connection, missing) in &lags.heard {
            let heard = u8::from(missing.is_none());
            self.sample("subak_kafka_heard", &[("connection", connection)], heard);
        }
        let about = "Offsets that are not in every sink of a pipeline yet. Missing: not known.";
        self.of_partitions("subak_topic_lag", about, lags, |part| part.lag);
        let about = "The offset behind a partition's last committed record.";
        self.of_partitions("subak_topic_high_watermark", about, lags, |part| part.high);
        let about = "The offset up to which a pipeline has read, or is reading.";
        self.of_partitions("subak_topic_position", about, lags, |part| part.position);
        let about = "Offsets that a consumer group of such a topic has not read yet, whoever it belongs to.";
        self.family("subak_group_lag", "gauge", about);
        for it in &lags.groups {
            for part in &it.partitions {
                let Some(lag) = part.lag else { continue };
                let partition = part.partition.to_string();
                let labels = [
                    ("connection", &*it.connection),
                    ("group", &it.group),
                    ("topic", &it.topic),
                    ("partition", &partition),
                ];
                self.sample("subak_group_lag", &labels, lag);
            }
        }
        let about = "Ranges that are not in all of their sinks.";
        self.family("subak_topic_open_ranges", "gauge", about);
        for it in &lags.pipelines {
            let labels = [("dag_id", &*it.record.dag_id), ("task_id", &it.record.task_id)];
            self.sample("subak_topic_open_ranges", &labels, it.record.open_ranges);
        }
    }

    fn of_partitions(
        &mut self,
        name: &str,
        about: &str,
        lags: &Lags,
        value: impl Fn(&crate::topics::PartitionLag) -> Option<i64>,
    ) {
        self.family(name, "gauge", about);
        for it in &lags.pipelines {
            let record = &it.record;
            for part in &it.partitions {
                let Some(value) = value(part) else { continue };
                let partition = part.partition.to_string();
                let labels = [
                    ("dag_id", &*record.dag_id),
                    ("task_id", &record.task_id),
                    ("connection", &record.connection),
                    ("topic", &record.topic),
                    ("partition", &partition),
                ];
                self.sample(name, &labels, value);
            }
        }
    }
}

/// A label's value may hold anything.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_line_whatever_its_labels_hold() {
        let mut text = Text::default();
        text.family("a", "gauge", "About.");
        text.sample("a", &[], 1);
        text.sample("a", &[("x", "q\"\\\n"), ("y", "z")], -2);
        let expected = "# HELP a About.\n# TYPE a gauge\na 1\na{x=\"q\\\"\\\\\\n\",y=\"z\"} -2\n";
        assert_eq!(text.0, expected);
    }
}
