//! Extractors that refuse with problems, in the shapes that Airflow's clients know.

use axum::body::{Body, Bytes};
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{ApiError, FieldProblem};

/// A JSON body, read or written. What is read is an object: all bodies are.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|_| ApiError::TooLarge)?;
        if has_nul(&bytes) {
            let msg = "a text holds the character NUL, which cannot be kept".to_owned();
            let loc = vec!["body".to_owned()];
            return Err(ApiError::Invalid(vec![FieldProblem::new("value_error", loc, msg)]));
        }
        if is_no_object(&bytes) {
            let msg = "must be an object: fields by name, in `{}`";
            let loc = vec!["body".to_owned()];
            return Err(ApiError::Invalid(vec![FieldProblem::new(NO_OBJECT, loc, msg)]));
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_problem(&rejection)),
        }
    }
}

/// What `FastAPI` calls a body that is no object.
const NO_OBJECT: &str = "model_attributes_type";

/// Whether it is JSON, but no object: a list's items would be taken for the fields, one after the other.
fn is_no_object(json: &[u8]) -> bool {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    first != Some(&b'{') && serde_json::from_slice::<IgnoredAny>(json).is_ok()
}

/// Whether JSON has an escaped NUL in a text: `\u0000` behind an even number of backslashes. As it is it
/// may not stand there.
fn has_nul(json: &[u8]) -> bool {
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate() {
        if escaped && json[at..].starts_with(b"u0000") {
            return true;
        }
        escaped = !escaped && *byte == b'\\';
    }
    false
}

fn json_problem(rejection: &JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::BytesRejection(_) => ApiError::TooLarge,
        JsonRejection::MissingJsonContentType(_) => {
            ApiError::BadRequest("send JSON, with `Content-Type: application/json`".into())
        }
        other => ApiError::Invalid(vec![FieldProblem::new(
            "json_invalid",
            vec!["body".into()],
            deepest(other),
        )]),
    }
}

/// The innermost cause: where and what, without the frames around it.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A form, as a browser sends it.
pub(crate) struct Form<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Form::<T>::from_request(request, state).await {
            Ok(axum::Form(value)) => Ok(Self(value)),
            Err(rejection) => Err(form_problem(&rejection)),
        }
    }
}

fn form_problem(rejection: &FormRejection) -> ApiError {
    match rejection {
        FormRejection::BytesRejection(_) => ApiError::TooLarge,
        FormRejection::InvalidFormContentType(_) => ApiError::BadRequest(
            "send a form, with `Content-Type: application/x-www-form-urlencoded`".into(),
        ),
        other => {
            let (field, msg) = field_of(&deepest(other));
            let loc = std::iter::once("body".to_owned()).chain(field).collect();
            ApiError::Invalid(vec![FieldProblem::new("form_invalid", loc, msg)])
        }
    }
}

/// The field that a text names in front of what is wrong with it, if it names one.
fn field_of(said: &str) -> (Option<String>, String) {
    match said.split_once(": ") {
        Some((field, msg)) if !field.contains(' ') => (Some(field.to_owned()), msg.to_owned()),
        _ => (None, said.to_owned()),
    }
}

/// The path's parameters.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|_: PathRejection| ApiError::NotFound(parts.uri.path().to_owned()))
    }
}

/// The query's parameters; a repeated one is a list.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum_extra::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|axum_extra::extract::Query(value)| Self(value))
            .map_err(|error| {
                ApiError::Invalid(vec![FieldProblem::new(
                    "query_invalid",
                    vec!["query".into()],
                    deepest(&error),
                )])
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_nul_is_found_and_what_looks_like_one_is_not() {
        assert!(has_nul(br#"{"a": "x\u0000"}"#));
        assert!(has_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!has_nul(br#"{"a": "\\u0000", "u0000": "\u0001"}"#));
    }

    #[test]
    fn the_field_of_a_form_is_told_where_there_is_one() {
        let check = |said: &str, field: Option<&str>, msg: &str| {
            assert_eq!(field_of(said), (field.map(str::to_owned), msg.to_owned()));
        };
        check("slots: number too large", Some("slots"), "number too large");
        check("missing field `role`", None, "missing field `role`");
        check("invalid type: a map", None, "invalid type: a map");
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        for json in [r#"["seq", null]"#, " \n[]", "null", "7", r#""{}""#] {
            assert!(is_no_object(json.as_bytes()), "{json}");
        }
        for json in [r#"{"a": [1]}"#, "\r\n {}", "", "nope", "[1", "{"] {
            assert!(!is_no_object(json.as_bytes()), "{json}");
        }
    }
}
