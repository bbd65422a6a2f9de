//! Errors as problem details (RFC 9457); every `type` has a page in `docs/errors/`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use subak_core::ids::MapIndex;
use subak_core::problem::Problem;
use subak_store::{ConnectionError, Sealed, StoreError};
use tracing::{error, warn};

use crate::dismiss::DismissError;
use crate::selection::SelectError;

/// What went wrong, as the caller is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("DAG `{0}` does not exist")]
    DagNotFound(String),
    #[error("DAG `{dag_id}` has no run `{run_id}`")]
    RunNotFound { dag_id: String, run_id: String },
    #[error("the run has no task instance `{0}`")]
    TaskNotFound(String),
    #[error("task `{task_id}` has no try {try_number}")]
    NoTry { task_id: String, try_number: i32 },
    #[error("there is nothing at `{0}`")]
    NotFound(String),
    #[error("`{0}` is not offered here")]
    MethodNotAllowed(String),
    #[error("{0}")]
    Conflict(String),
    /// The same of what people may read in their language.
    #[error("{0}")]
    Refused(Problem),
    #[error("the request is not valid")]
    Invalid(Vec<FieldProblem>),
    #[error("{0}")]
    BadRequest(String),
    #[error("sign in, or send an API token as `Authorization: Bearer …`")]
    SignInNeeded,
    #[error("user name and password do not fit")]
    BadPassword,
    #[error("this link was used before, or it is too old: ask for a new one")]
    BadLink,
    #[error("role `{needed}` is needed, yours is `{has}`")]
    NotAllowed { needed: &'static str, has: &'static str },
    #[error("the request came from another site")]
    CrossSite,
    #[error("too many failed sign-ins: try again in {0} s")]
    TooManySignIns(u64),
    #[error("`{0}` is an operation of Airflow's API that Subak does not have yet")]
    NotBuilt(String),
    #[error("the request's body is larger than 4 MiB")]
    TooLarge,
    #[error("the answer took too long")]
    TimedOut,
    #[error("{0}")]
    Unavailable(String),
    /// A row that this server's key does not open.
    #[error(transparent)]
    Sealed(Sealed),
    #[error("something went wrong on the server: its log has the cause under this request's id")]
    Internal,
}

/// A part of a request that is not valid, as `FastAPI` reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldProblem {
    pub(crate) loc: Vec<String>,
    pub(crate) msg: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The same as `msg`, for a page that tells it in another language.
    #[serde(skip)]
    pub(crate) problem: Option<Problem>,
}

impl FieldProblem {
    /// A value in the body that is not as it must be.
    pub(crate) fn body(field: &str, msg: impl Into<String>) -> Self {
        Self::new("value_error", vec!["body".into(), field.into()], msg)
    }

    /// The same of what people may read in their language.
    pub(crate) fn of(field: &str, problem: Problem) -> Self {
        Self { problem: Some(problem.clone()), ..Self::body(field, problem.to_string()) }
    }

    /// A value in the query that is not as it must be.
    pub(crate) fn query(field: &str, msg: impl Into<String>) -> Self {
        Self::new("value_error", vec!["query".into(), field.into()], msg)
    }

    /// A part of a request that is not as it must be.
    pub(crate) fn new(kind: &'static str, loc: Vec<String>, msg: impl Into<String>) -> Self {
        Self { loc, msg: msg.into(), kind, problem: None }
    }
}

/// Status, `type` and title of an error.
pub(crate) struct Shape {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
}

impl ApiError {
    /// That a run has no such task instance: of a mapped task, none of this index.
    pub(crate) fn no_instance(task_id: &str, index: MapIndex) -> Self {
        Self::TaskNotFound(match index.is_none() {
            true => task_id.to_owned(),
            false => format!("{task_id}[{}]", index.0),
        })
    }

    /// Returns how the error is shown.
    pub(crate) fn shape(&self) -> Shape {
        use StatusCode as S;
        let (status, kind, title) = match self {
            Self::DagNotFound(_) => (S::NOT_FOUND, "dag-not-found", "DAG not found"),
            Self::RunNotFound { .. } => (S::NOT_FOUND, "run-not-found", "Run not found"),
            Self::TaskNotFound(_) => (S::NOT_FOUND, "task-not-found", "Task instance not found"),
            Self::NoTry { .. } | Self::NotFound(_) => (S::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed(_) => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::Conflict(_) | Self::Refused(_) => (S::CONFLICT, "conflict", "Conflict"),
            Self::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "invalid-request", "Invalid request"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "bad-request", "Bad request"),
            Self::SignInNeeded => (S::UNAUTHORIZED, "sign-in-needed", "Sign-in needed"),
            Self::BadPassword => (S::UNAUTHORIZED, "bad-password", "Sign-in failed"),
            Self::BadLink => (S::UNAUTHORIZED, "bad-link", "Sign-in failed"),
            Self::NotAllowed { .. } => (S::FORBIDDEN, "not-allowed", "Not allowed"),
            Self::CrossSite => (S::FORBIDDEN, "cross-site", "Request from another site"),
            Self::TooManySignIns(_) => {
                (S::TOO_MANY_REQUESTS, "too-many-sign-ins", "Too many sign-ins")
            }
            Self::NotBuilt(_) => (S::NOT_IMPLEMENTED, "not-built", "Not built yet"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "Request too large"),
            Self::TimedOut => (S::SERVICE_UNAVAILABLE, "timed-out", "Timed out"),
            Self::Unavailable(_) | Self::Sealed(_) => {
                (S::SERVICE_UNAVAILABLE, "unavailable", "Unavailable")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        };
        Shape { status, kind, title }
    }

    /// In one line, the fields that are not valid too.
    pub(crate) fn said(&self) -> String {
        let Self::Invalid(fields) = self else { return self.to_string() };
        let each =
            |it: &FieldProblem| format!("`{}` {}", it.loc.last().map_or("", |it| it), it.msg);
        fields.iter().map(each).collect::<Vec<_>>().join("; ")
    }

    /// `detail`: a text, or for an invalid request the list that `FastAPI`'s clients expect.
    fn detail(&self) -> Value {
        match self {
            Self::Invalid(fields) => json!(fields),
            other => json!(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Shape { status, kind, title } = self.shape();
        let body = json!({
            "type": format!("/docs/errors/{kind}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::TooManySignIns(seconds) = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NoTask(task) => Self::TaskNotFound(task),
            SelectError::NoDate | SelectError::TooMany => Self::Conflict(error.to_string()),
            SelectError::Store(error) => error.into(),
        }
    }
}

impl From<DismissError> for ApiError {
    fn from(error: DismissError) -> Self {
        match error {
            DismissError::All => {
                Self::Invalid(vec![FieldProblem::body("dead_letter_ids", error.to_string())])
            }
            DismissError::Nothing(why) => Self::Conflict(why),
            DismissError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let chain = format!("{:#}", anyhow::Error::from(error_ref(&error)));
        if error.is_transient() {
            warn!(error = chain, "the metadata database did not answer");
            return Self::Unavailable("the metadata database does not answer: try again".into());
        }
        error!(error = chain, "request failed");
        Self::Internal
    }
}

impl From<ConnectionError> for ApiError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Store(error) => error.into(),
            ConnectionError::Sealed(sealed) => Self::Sealed(sealed),
        }
    }
}

/// The error's whole chain as one that `anyhow` can print.
fn error_ref(error: &StoreError) -> std::io::Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    std::io::Error::other(text)
}
