//! What surrounds every request: an id and a span, a limit in time, security headers, and an answer
//! even when a handler panics.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use subak_trace::Traces;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug, error, info_span};
use uuid::Uuid;

use crate::counts::Answered;
use crate::problem::ApiError;
use crate::traced::Traced;

/// An answer begins within this time; streams may go on.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is called in logs, in its answer and in the audit log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives the request an id and a span, and turns a panic into an answer.
pub(crate) async fn observe(
    State((answered, traces)): State<(Answered, Traces)>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::now_v7().to_string();
    let traced = traces.is_on().then(|| Traced::new(&request));
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    // The path alone: a query may hold a sign-in link's secret.
    let span = info_span!("request", request.id = id, method = %request.method(),
        path = request.uri().path());
    async move {
        let began = Instant::now();
        let caught = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = caught.unwrap_or_else(|_| {
            error!("a handler panicked");
            ApiError::Internal.into_response()
        });
        let route = route.as_ref().map(MatchedPath::as_str);
        answered.add(&method, route, response.status().as_u16(), began.elapsed());
        if let Some(traced) = traced {
            traces.emit(traced.span(response.status()));
        }
        debug!(
            status = response.status().as_u16(),
            duration_ms = began.elapsed().as_millis(),
            "answered"
        );
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}

/// Ends what takes too long.
pub(crate) async fn time_limit(request: Request, next: Next) -> Response {
    timeout(ANSWER_WITHIN, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::TimedOut.into_response())
}

/// Nothing inline, nothing from elsewhere, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; manifest-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

/// Adds the headers that keep a browser from helping an attacker.
pub(crate) async fn security_headers(
    State(https): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    set(headers, header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    // Only this site hears from which page somebody comes: the sign-in leads back there.
    set(headers, header::REFERRER_POLICY, "same-origin");
    set(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if https {
        set(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        set(headers, header::CACHE_CONTROL, "no-store");
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
