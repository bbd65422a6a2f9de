//! A parameter that an operation does not have is refused: passed over in silence, a filter that is
//! misspelt or not built would make an answer wrong. So is the character NUL, which PostgreSQL has no
//! place for, in paths, queries and forms; in JSON the extractor finds it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::operation::Schemas;
use crate::problem::{ApiError, FieldProblem};
use crate::router::{BODY_BYTES_MOST, Known};

/// What the query of each operation may hold.
pub(crate) type Parameters = Arc<HashMap<(Method, &'static str), Vec<String>>>;

/// Reads it from the operations. One that is not built has parameters that are not known: it says so
/// whatever it is asked.
pub(crate) fn parameters(known: &[Known]) -> Parameters {
    let mut schemas = Schemas::default();
    let names = known.iter().filter_map(|it| {
        let operation = (it.describe)(&mut schemas);
        let names = operation.query.into_iter().map(|it| it.name).collect();
        (!operation.is_not_built).then(|| ((it.method.clone(), it.path), names))
    });
    Arc::new(names.collect())
}

/// Refuses what is not among them.
pub(crate) async fn strict(
    State(known): State<Parameters>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path().contains("%00") {
        return ApiError::NotFound(request.uri().path().to_owned()).into_response();
    }
    if request.uri().query().is_some_and(|query| has_nul(query.as_bytes())) {
        let msg = "holds the character NUL, which is in nothing that is kept";
        return ApiError::Invalid(vec![FieldProblem::query("query", msg)]).into_response();
    }
    match unknown(&known, path.as_ref(), &request) {
        Some(name) => {
            let msg = "is not a parameter of this operation";
            ApiError::Invalid(vec![FieldProblem::query(&name, msg)]).into_response()
        }
        None => match with_form(request).await {
            Ok(request) => next.run(request).await,
            Err(error) => error.into_response(),
        },
    }
}

/// The same request, if what it has as a form can be kept.
async fn with_form(request: Request) -> Result<Request, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded")) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MOST).await.map_err(|_| ApiError::TooLarge)?;
    if has_nul(&body) {
        let why = "a text of the form holds the character NUL, which cannot be kept";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Whether a query or a form holds NUL.
fn has_nul(encoded: &[u8]) -> bool {
    encoded.contains(&0) || encoded.windows(3).any(|part| part == b"%00")
}

fn unknown(known: &Parameters, path: Option<&MatchedPath>, request: &Request) -> Option<String> {
    let query = request.uri().query()?;
    let path = path?.as_str();
    let has = |(method, route): &&(Method, &str)| method == request.method() && *route == path;
    let (_, names) = known.iter().find(|(key, _)| has(key))?;
    let mut keys = form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key);
    keys.find(|key| !names.iter().any(|name| name == key)).map(std::borrow::Cow::into_owned)
}
