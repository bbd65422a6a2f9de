//! Traces of runs, for OpenTelemetry: a run is a trace, its tries are the spans below it, whichever
//! worker ran them. Ids follow from what everybody knows, so that nobody has to be told them.
//!
//! Without the feature `otlp` nothing is sent, and nothing of it is linked.

#[cfg(feature = "otlp")]
mod otlp;
mod span;

use std::sync::Arc;

pub use span::{Attribute, Ids, Kind, Span};

/// Says that traces are wanted, and where they go; as OpenTelemetry defines them.
pub const ENDPOINTS: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Where spans go; by default nowhere. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Exporter>>);

#[cfg(feature = "otlp")]
use otlp::Exporter;

/// Without the feature there is none.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
enum Exporter {}

impl Traces {
    /// Traces as the environment wants them: none without one of [`ENDPOINTS`]. Has to be called where
    /// tokio runs. An error says what is wrong with the settings, or that this build cannot.
    pub fn from_env(service: &str, version: &str) -> Result<Self, String> {
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match ENDPOINTS.into_iter().find(is_set) {
            None => Ok(Self::default()),
            Some(name) => start(name, service, version),
        }
    }

    /// Whether spans are wanted at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span over: it is sent soon, with others. Never waits; where the collector does not keep
    /// up, spans are dropped.
    pub fn emit(&self, span: Span) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.0 {
            exporter.emit(span);
        }
        #[cfg(not(feature = "otlp"))]
        drop(span);
    }

    /// Sends what is left, and ends. Blocks for a few seconds at most.
    pub fn end(&self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.0 {
            exporter.end();
        }
    }
}

#[cfg(feature = "otlp")]
fn start(_name: &str, service: &str, version: &str) -> Result<Traces, String> {
    Ok(Traces(Some(Arc::new(Exporter::new(service, version)?))))
}

#[cfg(not(feature = "otlp"))]
fn start(name: &str, _service: &str, _version: &str) -> Result<Traces, String> {
    Err(format!(
        "{name} is set, and this build sends no traces: build it with `--features otel`, or unset it"
    ))
}
