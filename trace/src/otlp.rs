//! Spans to a collector, by OTLP over gRPC; `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` say where and how.

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};

use crate::{Attribute, Ids, Kind, Span};

/// What is left at the end is sent within this time.
const LAST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    /// Connects when the first spans are sent, not before.
    pub(crate) fn new(service: &str, version: &str) -> Result<Self, String> {
        let exporter = SpanExporter::builder().with_tonic().build();
        let exporter = exporter.map_err(|error| {
            format!("traces cannot be sent as OTEL_EXPORTER_OTLP_… says: {error}")
        })?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let mut resource = Resource::builder();
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service.to_owned());
        }
        let version = KeyValue::new("service.version", version.to_owned());
        processor.set_resource(&resource.with_attribute(version).build());
        Ok(Self { processor, scope: InstrumentationScope::builder("subak").build() })
    }

    pub(crate) fn emit(&self, span: Span) {
        let Ids { trace, span: id, parent } = span.ids;
        let context = SpanContext::new(
            TraceId::from_bytes(trace.to_be_bytes()),
            SpanId::from_bytes(id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        let attributes = span.attributes.into_iter();
        self.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: SpanId::from_bytes(parent.to_be_bytes()),
            parent_span_is_remote: parent != 0,
            span_kind: match span.kind {
                Kind::Internal => SpanKind::Internal,
                Kind::Server => SpanKind::Server,
            },
            name: span.name,
            start_time: span.began,
            end_time: span.ended,
            attributes: attributes.map(|(name, value)| KeyValue::new(name, known(value))).collect(),
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links: opentelemetry_sdk::trace::SpanLinks::default(),
            status: match span.error {
                Some(why) => Status::error(why),
                None => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        });
    }

    pub(crate) fn end(&self) {
        // A collector that is away has had its time.
        let _ = self.processor.shutdown_with_timeout(LAST);
    }
}

fn known(value: Attribute) -> Value {
    match value {
        Attribute::Text(text) => Value::from(text),
        Attribute::Number(number) => Value::from(number),
    }
}
