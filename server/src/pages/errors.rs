//! Errors as pages.

use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::Value;
use subak_web::error::ErrorPage;
use subak_web::text::Text;

use crate::extract::Path;
use crate::problem::ApiError;

/// Returns an error as a page, with the way `back` to the page that led to it.
pub(crate) fn page(error: &ApiError, t: &'static Text, back: Option<&str>) -> Response {
    let shape = error.shape();
    let (status, kind, title) = (shape.status.as_u16(), shape.kind, shape.title);
    let detail = &error.said();
    let html = ErrorPage { t, status, kind, title, detail, back }.page();
    (shape.status, Html(html)).into_response()
}

#[derive(RustEmbed)]
#[folder = "../docs/errors"]
struct Docs;

/// What a problem's `type` leads to.
pub(super) async fn explain(Path(kind): Path<String>) -> Result<Response, ApiError> {
    let page = Docs::get(&format!("{kind}.md"))
        .ok_or_else(|| ApiError::NotFound(format!("/docs/errors/{kind}")))?;
    let headers = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((headers, page.data.into_owned()).into_response())
}

/// A problem is a few hundred bytes.
const PROBLEM_BYTES_MOST: usize = 64 << 10;

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: Value,
}

/// Turns a handler's problem into a page, and leaves every other answer as it is.
pub(crate) async fn dress(response: Response, t: &'static Text, back: Option<&str>) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if kind != Some(b"application/problem+json") {
        return response;
    }
    let status = response.status();
    let body = to_bytes(response.into_body(), PROBLEM_BYTES_MOST).await.unwrap_or_default();
    dressed(status, serde_json::from_slice(&body).ok(), t, back)
}

fn dressed(
    status: StatusCode,
    problem: Option<Problem>,
    t: &'static Text,
    back: Option<&str>,
) -> Response {
    let (kind, title, detail) = match problem {
        Some(problem) => {
            let told = told(&problem.detail);
            (problem.kind, problem.title, told)
        }
        None => (String::new(), status.to_string(), String::new()),
    };
    let kind = kind.rsplit('/').next().unwrap_or_default();
    let (title, detail) = (&*title, &*detail);
    let page = ErrorPage { t, status: status.as_u16(), kind, title, detail, back };
    (status, Html(page.page())).into_response()
}

/// A problem's detail as people read it: the fields that are not valid in one line.
fn told(detail: &Value) -> String {
    match detail {
        Value::String(text) => text.clone(),
        Value::Array(fields) => fields.iter().map(field).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

fn field(problem: &Value) -> String {
    let msg = problem["msg"].as_str().unwrap_or_default();
    let place = problem["loc"].as_array().and_then(|loc| loc.last()).and_then(Value::as_str);
    match place {
        Some(name) if !matches!(name, "body" | "query") => format!("`{name}` {msg}"),
        _ => msg.to_owned(),
    }
}
