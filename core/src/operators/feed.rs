//! Operators that feed topics.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Rules;
use super::kafka::Wait;
use super::produce::partitions;

/// `http.poll`: asks an API again and again, and sends what it answers to a topic.
///
/// It runs until it is stopped, alone in a `@continuous` DAG, on a slot of the queue `feeds`. Answers
/// are sent at least once: of a poll whose worker died before the brokers had all of it nothing is
/// remembered, and one whose end could not be noted is not asked for again before its interval is over,
/// but may have been sent. A status 429, 5xx or no answer is tried again, later each time, as late as
/// `Retry-After` says; any other status fails the run, and the next one begins after a rest.
///
/// Nothing is dropped: an answer that is not JSON goes to the topic as it came, and a record that the
/// topic does not take (too large) is a dead letter.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpPoll {
    /// The address, with its query; with `api`, what follows the connection's own address.
    pub url: String,
    /// Name of an `http` connection: where the API is, and what it wants to know of who asks.
    #[serde(default)]
    pub api: Option<String>,
    /// From the beginning of a poll to that of the next one: `10s`.
    #[serde(default = "ten_seconds")]
    pub interval: Wait,
    /// Requests a minute at most, those that failed and are made again included, also across tries and
    /// runs. Left out: as often as `interval`, the growing rest after failures and `Retry-After` say.
    #[serde(default)]
    pub rate_limit: Option<f64>,
    /// How long an answer may take.
    #[serde(default = "thirty_seconds")]
    pub timeout: Wait,
    /// Polls that may fail in a row before the try does.
    #[serde(default = "retries")]
    pub retries: u32,
    /// Headers of the request. Secrets belong into the connection.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Path of the list of records in the answer: `results`. Left out: a list is its items, anything
    /// else one record.
    #[serde(default)]
    pub records: Option<String>,
    /// Paths of what is kept of a record, in the order in which it is sent: `[name, location.city]`.
    /// Left out: all of it.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Name of a Kafka connection.
    pub connection: String,
    /// Where the records go.
    pub topic: String,
    /// The topic is made with so many partitions if there is none. Left out: it must exist.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// Path of the record's key: `login.uuid`. Left out: no key.
    #[serde(default)]
    pub key: Option<String>,
}

/// `generate`: makes records of a known shape, the same for the same seed.
///
/// With a `topic` it sends them there as JSON: `count` of them, or, alone in a `@continuous` DAG,
/// without an end and at a `rate`. It goes on behind its last checkpoint, so that a try whose worker
/// died sends some of them twice, equal to the byte. Without a `topic` it hands on a dataset of `count`
/// rows, which `csv.write`, `parquet.write`, `postgres.load` and `kafka.produce` put where they are
/// wanted; a further run makes the rows that follow, and a retry or a clear the same ones again.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// What the records are.
    pub profile: Profile,
    /// Another seed makes other records.
    #[serde(default)]
    pub seed: u64,
    /// How many a run makes.
    #[serde(default)]
    pub count: Option<u64>,
    /// Records a second, at most. Left out: as many as the brokers take.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Name of a Kafka connection.
    #[serde(default)]
    pub connection: Option<String>,
    /// Where the records go. Left out: into a dataset.
    #[serde(default)]
    pub topic: Option<String>,
    /// The topic is made with so many partitions if there is none. Left out: it must exist.
    #[serde(default)]
    pub partitions: Option<u32>,
}

/// Shapes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// People as `randomuser.me` has them, nested: name, location, email, login, dob, phone, picture.
    RandomUsers,
    /// Customers of a bank: id, name, account type, city, balance in rupiah, when it was opened.
    BankCustomers,
    /// Orders of furniture: order and customer, what, colour, price, when (seconds since 1970).
    Purchases,
    /// Lines of invoices of an online shop, as the UCI data set "Online Retail" has them.
    OnlineRetail,
}

impl Rules for HttpPoll {
    fn broken_rules(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let mut broken = partitions(self.partitions);
        let has_scheme = self.url.starts_with("http://") || self.url.starts_with("https://");
        if self.api.is_none() && !has_scheme {
            broken.push((
                "url",
                "\"url\" begins with http:// or https://, or \"api\" names a connection".into(),
            ));
        }
        if self.api.is_some() && has_scheme {
            broken.push((
                "url",
                "with \"api\", \"url\" is what follows the connection's address: /users?page=1"
                    .into(),
            ));
        }
        if self.topic.trim().is_empty() {
            broken.push(("topic", "\"topic\" is empty".into()));
        }
        if self.interval.0 < Duration::from_millis(100) {
            broken.push(("interval", "\"interval\" is 100ms or more".into()));
        }
        if self.rate_limit.is_some_and(|most| !(0.001..=6_000.0).contains(&most)) {
            broken.push((
                "rate_limit",
                "\"rate_limit\" is between 0.001 and 6,000 requests a minute".into(),
            ));
        }
        if self.timeout.0.is_zero() {
            broken.push(("timeout", "\"timeout\" is 0".into()));
        }
        broken
    }
}

impl Rules for Generate {
    fn broken_rules(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let mut broken = partitions(self.partitions);
        match (&self.topic, &self.connection) {
            (Some(_), None) => broken.push(("topic", "\"topic\" needs \"connection\"".into())),
            (None, Some(_)) => {
                broken.push(("connection", "\"connection\" belongs to \"topic\"".into()));
            }
            (None, None) if self.rate.is_some() => {
                broken.push((
                    "rate",
                    "\"rate\" belongs to \"topic\": a dataset is made at once".into(),
                ));
            }
            _ => {}
        }
        if self.count == Some(0) {
            broken.push(("count", "\"count\" is 0".into()));
        }
        if self.rate.is_some_and(|rate| !(0.001..=10_000_000.0).contains(&rate)) {
            broken
                .push(("rate", "\"rate\" is between 0.001 and 10,000,000 records a second".into()));
        }
        broken
    }
}

const fn ten_seconds() -> Wait {
    Wait(Duration::from_secs(10))
}

const fn thirty_seconds() -> Wait {
    Wait(Duration::from_secs(30))
}

const fn retries() -> u32 {
    10
}
