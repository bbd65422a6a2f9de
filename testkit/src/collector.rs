//! A collector of our own, for a test: it keeps what it is sent.

use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    pub service: String,
    pub name: String,
    /// In hexadecimal digits, as `traceparent` has them; no parent: empty.
    pub trace: String,
    pub span: String,
    pub parent: String,
    pub nanos: (u64, u64),
    /// `name=value`.
    pub attributes: Vec<String>,
    pub error: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    spans: watch::Receiver<Vec<Collected>>,
}

struct Keeps(Arc<watch::Sender<Vec<Collected>>>);

impl Collector {
    /// Listens on a free port of loopback for as long as the process lives.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, spans) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Keeps(Arc::new(sender)));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Ok(Self { address, spans })
    }

    /// Waits until what was sent satisfies; returns it.
    pub async fn until(&mut self, is_enough: impl Fn(&[Collected]) -> bool) -> Vec<Collected> {
        let seen = self.spans.wait_for(|spans| is_enough(spans)).await;
        seen.map(|spans| spans.clone()).unwrap_or_default()
    }
}

#[tonic::async_trait]
impl TraceService for Keeps {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let sent = collected(request.into_inner());
        self.0.send_modify(|spans| spans.extend(sent));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn collected(request: ExportTraceServiceRequest) -> Vec<Collected> {
    let mut all = Vec::new();
    for resource in request.resource_spans {
        let of = resource.resource.map(|it| texts(&it.attributes)).unwrap_or_default();
        let service = of.iter().find_map(|it| it.strip_prefix("service.name="));
        let service = service.unwrap_or_default().to_owned();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Collected {
                service: service.clone(),
                trace: hex(&span.trace_id),
                span: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
                attributes: texts(&span.attributes),
                error: span.status.filter(|it| it.code == 2).map(|it| it.message),
                name: span.name,
            });
        }
    }
    all
}

fn texts(attributes: &[KeyValue]) -> Vec<String> {
    let text = |it: &KeyValue| {
        let value = match it.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        format!("{}={value}", it.key)
    };
    attributes.iter().map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    let is_none = bytes.iter().all(|byte| *byte == 0);
    if is_none { String::new() } else { bytes.iter().map(|it| format!("{it:02x}")).collect() }
}
