//! What handlers answer.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, json_schema};
use serde::Serialize;

use super::operation::{Answer, Operation, Schemas};
use crate::extract::Json;
use crate::problem::ApiError;

/// An answer that says what it may be.
pub(crate) trait Answers {
    /// Adds it.
    fn answer(operation: &mut Operation, schemas: &mut Schemas);
}

/// 201, and what was made.
pub(crate) struct Created<T>(pub(crate) T);

/// 204.
pub(crate) struct NoContent;

/// One of two answers, as it was asked for.
pub(crate) enum Either<A, B> {
    One(A),
    Other(B),
}

/// JSON, or plain text for whom that is acceptable first.
pub(crate) enum TextOr<T> {
    Json(T),
    Text(String),
}

/// A body that is written as it is read: JSON of this shape, lines of JSON, or plain text.
pub(crate) struct Streamed<T> {
    pub(crate) response: Response,
    pub(crate) shape: std::marker::PhantomData<T>,
}

impl<T> From<Response> for Streamed<T> {
    fn from(response: Response) -> Self {
        Self { response, shape: std::marker::PhantomData }
    }
}

impl<T: IntoResponse> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, self.0).into_response()
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl<A: IntoResponse, B: IntoResponse> IntoResponse for Either<A, B> {
    fn into_response(self) -> Response {
        match self {
            Self::One(it) => it.into_response(),
            Self::Other(it) => it.into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for TextOr<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Json(it) => Json(it).into_response(),
            Self::Text(text) => text.into_response(),
        }
    }
}

impl<T> IntoResponse for Streamed<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

impl<T: Answers> Answers for Result<T, ApiError> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        operation.refuses = true;
        T::answer(operation, schemas);
    }
}

impl Answers for ApiError {
    fn answer(operation: &mut Operation, _: &mut Schemas) {
        operation.is_not_built = true;
    }
}

impl<T: JsonSchema> Answers for Json<T> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.answers.subschema_for::<T>();
        operation.answers.push(Answer { status: 200, content: vec![(JSON, schema)] });
    }
}

impl<T: Answers> Answers for Created<T> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        let before = operation.answers.len();
        T::answer(operation, schemas);
        for answer in &mut operation.answers[before..] {
            answer.status = 201;
        }
    }
}

impl Answers for NoContent {
    fn answer(operation: &mut Operation, _: &mut Schemas) {
        operation.answers.push(Answer { status: 204, content: Vec::new() });
    }
}

impl<A: Answers, B: Answers> Answers for Either<A, B> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        A::answer(operation, schemas);
        B::answer(operation, schemas);
    }
}

impl<T: JsonSchema> Answers for TextOr<T> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        let json = schemas.answers.subschema_for::<T>();
        let text = json_schema!({ "type": "string" });
        operation.answers.push(Answer { status: 200, content: vec![(JSON, json), (TEXT, text)] });
    }
}

impl<T: JsonSchema> Answers for Streamed<T> {
    fn answer(operation: &mut Operation, schemas: &mut Schemas) {
        let json = schemas.answers.subschema_for::<T>();
        let (lines, text) = (json_schema!({}), json_schema!({ "type": "string" }));
        let content = vec![(JSON, json), (LINES, lines), (TEXT, text)];
        operation.answers.push(Answer { status: 200, content });
    }
}
