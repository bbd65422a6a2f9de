//! A parameter that an operation does not have is refused: passed over in silence, a filter that is
//! misspelt or not built would make an answer wrong. So is the character NUL, which PostgreSQL has no
//! place for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::operation::Schemas;
use crate::problem::{ApiError, FieldProblem};
use crate::router::Known;

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
    if request.uri().query().is_some_and(|query| query.contains("%00")) {
        let msg = "holds the character NUL, which is in nothing that is kept";
        return ApiError::Invalid(vec![FieldProblem::query("query", msg)]).into_response();
    }
    match unknown(&known, path.as_ref(), &request) {
        Some(name) => {
            let msg = "is not a parameter of this operation";
            ApiError::Invalid(vec![FieldProblem::query(&name, msg)]).into_response()
        }
        None => next.run(request).await,
    }
}

fn unknown(known: &Parameters, path: Option<&MatchedPath>, request: &Request) -> Option<String> {
    let query = request.uri().query()?;
    let path = path?.as_str();
    let has = |(method, route): &&(Method, &str)| method == request.method() && *route == path;
    let (_, names) = known.iter().find(|(key, _)| has(key))?;
    let mut keys = form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key);
    keys.find(|key| !names.iter().any(|name| name == key)).map(std::borrow::Cow::into_owned)
}
