//! librdkafka's mock cluster, for a demo on a machine without a broker.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use subak_task::TaskError;

/// What such a cluster's id begins with.
const ID: &str = "mockCluster";

/// What it is, wherever people see it.
pub const WHAT: &str =
    "mock cluster of librdkafka: in memory, 5 MB a partition, no real transactions";

/// A cluster of this process. It ends with it, and all of its records with it.
pub struct MockKafka(MockCluster<'static, DefaultProducerContext>);

impl MockKafka {
    /// Starts it on a free port of loopback.
    pub fn start() -> Result<Self, TaskError> {
        let started = MockCluster::new(1);
        started.map(Self).map_err(|error| TaskError::permanent(format!("the {WHAT}: {error}")))
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap_servers()
    }
}

/// A cluster's id as people see it.
pub(crate) fn shown(cluster: String) -> String {
    if is_mock(&cluster) { format!("{cluster} ({WHAT})") } else { cluster }
}

/// Whether a cluster is one of these.
pub(crate) fn is_mock(cluster: &str) -> bool {
    cluster.starts_with(ID)
}
