//! The span of a request, for OpenTelemetry.

use std::time::SystemTime;

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use subak_trace::{Ids, Kind, Span};

/// A request that has come.
pub(crate) struct Traced {
    ids: Ids,
    began: SystemTime,
    method: String,
    /// As the router has it: an address may name anything.
    route: Option<String>,
}

impl Traced {
    /// Below the caller's span, if it names one.
    pub(crate) fn new(request: &Request) -> Self {
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let route = request.extensions().get::<MatchedPath>();
        Self {
            ids: Ids::of_request(header("traceparent")),
            began: SystemTime::now(),
            method: request.method().as_str().to_owned(),
            route: route.map(|route| route.as_str().to_owned()),
        }
    }

    /// Of the whole request, once its answer begins.
    pub(crate) fn span(self, status: StatusCode) -> Span {
        let mut attributes = vec![
            ("http.request.method", self.method.as_str().into()),
            ("http.response.status_code", i64::from(status.as_u16()).into()),
        ];
        let name = match self.route {
            Some(route) => {
                attributes.push(("http.route", route.as_str().into()));
                format!("{} {route}", self.method)
            }
            None => self.method,
        };
        Span {
            ids: self.ids,
            kind: Kind::Server,
            name: name.into(),
            began: self.began,
            ended: SystemTime::now(),
            attributes,
            error: status.is_server_error().then(|| status.to_string()),
        }
    }
}
