//! Metrics for Prometheus, in its text format. They are worked out at most every few seconds, however
//! many scrape; brokers are asked through workers, and one that is away is said to be.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use subak_store::{Pool, PoolUse};

use crate::app::App;
use crate::clock;
use crate::counts::{Counted, RouteCount};
use crate::engine::Tally;
use crate::histogram::Durations;
use crate::problem::ApiError;
use crate::topics::Lags;

/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    // While the database is away the server tells what it knows without it.
    let told = match app.store.answers().await {
        true => told(&app).await?,
        false => None,
    };
    let mut text = Text::default();
    text.family("subak_info", "gauge", "The server's version.");
    text.sample("subak_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let about = "Whether the metadata database answered; if not, what comes from it is left out.";
    text.family("subak_database_up", "gauge", about);
    text.sample("subak_database_up", &[], u8::from(told.is_some()));
    if let Some((counts, _)) = &told {
        text.counts(counts);
    }
    let sessions = &app.topics.engine().core.sessions;
    text.family("subak_workers", "gauge", "Workers that are connected to this server.");
    text.sample("subak_workers", &[], sessions.count());
    text.family("subak_slots_free", "gauge", "Free slots of these workers, by queue.");
    for (queue, free) in sessions.free_slots() {
        text.sample("subak_slots_free", &[("queue", &queue)], free);
    }
    text.requests(&app.answered.read());
    text.connections(app.store.pool_uses());
    text.engine(&app.topics.engine().core.tally);
    if let Some((counts, _)) = &told {
        text.pools(&counts.pools);
    }
    if let Some(beat) = app.actions.last_beat() {
        let about = "Seconds since the engine's timers of this server last went round.";
        text.family("subak_engine_beat_age_seconds", "gauge", about);
        let age = (clock::now() - beat).as_seconds_f64().max(0.0);
        text.sample("subak_engine_beat_age_seconds", &[], age);
    }
    if let Some((_, lags)) = &told {
        text.lags(lags);
    }
    Ok(([(header::CONTENT_TYPE, FORMAT)], text.0).into_response())
}

/// What comes from the database and from brokers; `None`: the database has gone away meanwhile.
async fn told(app: &App) -> Result<Option<(Arc<Counted>, Arc<Lags>)>, ApiError> {
    match tokio::try_join!(app.counts.get(&app.store), app.topics.lags()) {
        Ok(told) => Ok(Some(told)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(error.into()),
    }
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

    fn counts(&mut self, counts: &Counted) {
        self.family("subak_runs", "gauge", "DAG runs that are not over, by state.");
        self.sample("subak_runs", &[("state", "running")], counts.runs.0);
        self.sample("subak_runs", &[("state", "queued")], counts.runs.1);
        let about =
            "Task instances that are ready, run or wait on a timer; queued: the queue's length.";
        self.family("subak_task_instances", "gauge", about);
        for (state, queue, count) in &counts.live {
            self.sample("subak_task_instances", &[("state", state), ("queue", queue)], *count);
        }
    }

    fn requests(&mut self, routes: &[RouteCount]) {
        let name = "subak_http_requests_total";
        self.family(name, "counter", "Requests answered by this server.");
        for it in routes {
            for (class, count) in &it.classes {
                let labels = [("method", &*it.method), ("route", it.route), ("status", *class)];
                self.sample(name, &labels, count);
            }
        }
        let name = "subak_http_request_duration_seconds";
        self.family(name, "histogram", "How soon this server's answers began.");
        for it in routes {
            let labels = [("method", &*it.method), ("route", it.route)];
            self.histogram(name, &labels, &it.durations);
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], it: &Durations) {
        let bucket = format!("{name}_bucket");
        let ends = it.within.iter().map(|(bound, count)| (bound.to_string(), *count));
        for (bound, count) in ends.chain([("+Inf".to_owned(), it.count)]) {
            let labels = [labels, &[("le", &*bound)]].concat();
            self.sample(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, it.seconds);
        self.sample(&format!("{name}_count"), labels, it.count);
    }

    fn connections(&mut self, pools: [PoolUse; 2]) {
        let name = "subak_database_connections";
        self.family(name, "gauge", "This server's connections to PostgreSQL, by pool.");
        for it in pools {
            self.sample(name, &[("pool", it.name), ("state", "used")], it.used);
            self.sample(name, &[("pool", it.name), ("state", "idle")], it.idle);
        }
        let name = "subak_database_connections_most";
        self.family(name, "gauge", "As many connections as a pool may have.");
        for it in pools {
            self.sample(name, &[("pool", it.name)], it.most);
        }
        let name = "subak_database_waits_total";
        let about = "How often all connections of a pool were in use when one was asked for.";
        self.family(name, "counter", about);
        for it in pools {
            self.sample(name, &[("pool", it.name)], it.waits);
        }
    }

    fn engine(&mut self, tally: &Tally) {
        let name = "subak_tries_ended_total";
        self.family(name, "counter", "Tries whose end this server recorded, by state.");
        for (state, count) in tally.ends() {
            self.sample(name, &[("state", state)], count);
        }
        let name = "subak_hand_over_wait_seconds";
        let about = "How long ready tasks waited until this server handed them over.";
        self.family(name, "histogram", about);
        self.histogram(name, &[], &tally.hand_overs());
        let name = "subak_leases_lost_total";
        let about = "Workers that this server found dead: their lease was over.";
        self.family(name, "counter", about);
        self.sample(name, &[], tally.leases_lost());
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

    #[test]
    fn the_buckets_of_a_histogram_hold_those_below_them_and_have_its_labels() {
        let within = vec![(0.005, 1), (10.0, 3)];
        let mut text = Text::default();
        text.histogram("a", &[("x", "y")], &Durations { within, seconds: 20.5, count: 4 });
        let lines: Vec<&str> = text.0.lines().collect();
        let expected = [
            "a_bucket{x=\"y\",le=\"0.005\"} 1",
            "a_bucket{x=\"y\",le=\"10\"} 3",
            "a_bucket{x=\"y\",le=\"+Inf\"} 4",
            "a_sum{x=\"y\"} 20.5",
            "a_count{x=\"y\"} 4",
        ];
        assert_eq!(lines, expected);
    }
}
