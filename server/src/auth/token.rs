//! `POST /auth/token`: a name and a password for an API token, in Airflow's shape. `DELETE` ends the one
//! that asks for it.

use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::gate::bearer;
use super::sign_in::{Peer, check_password};
use crate::app::App;
use crate::audit::Trail;
use crate::extract::Json;
use crate::openapi::{Created, NoContent, Operation, Schemas, Taken};
use crate::problem::{ApiError, FieldProblem};

/// A token is good for a day, as Airflow's are, unless it is asked for longer.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// As of the tokens that people make on their page.
const DAYS_MOST: u32 = 3_650;
const NAME_CHARS_MOST: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    username: String,
    #[serde(deserialize_with = "super::secret")]
    #[schemars(with = "String")]
    password: SecretString,
    /// Ours: what the token is called in lists.
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    /// Ours: how long it is good for; left out: a day.
    #[schemars(range(min = 1, max = 3650))]
    days: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Token {
    access_token: String,
}

pub(super) async fn create(
    State(app): State<App>,
    peer: Peer,
    Given(Credentials { username, password, name, days }): Given,
) -> Result<Created<Json<Token>>, ApiError> {
    let days = days.unwrap_or(1);
    if !(1..=DAYS_MOST).contains(&days) {
        let msg = format!("is not from 1 to {DAYS_MOST}");
        return Err(ApiError::Invalid(vec![FieldProblem::body("days", msg)]));
    }
    let name = name.as_deref().unwrap_or("auth/token");
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MOST {
        let msg = format!("has 1 to {NAME_CHARS_MOST} characters");
        return Err(ApiError::Invalid(vec![FieldProblem::body("name", msg)]));
    }
    let address = peer.map(|axum::Extension(ConnectInfo(peer))| peer.ip());
    let user = check_password(&app, &username, &password, address, "api").await?;
    let secret = app.store.api_token_create(&user, name, None, Some(DAY * days)).await?;
    Ok(Created(Json(Token { access_token: secret.expose().to_owned() })))
}

/// Ends the token of the request, at once and for everybody who has it. Airflow has no such thing.
pub(super) async fn revoke(
    State(app): State<App>,
    trail: Trail,
    headers: HeaderMap,
) -> Result<NoContent, ApiError> {
    let Some(token) = bearer(&headers) else {
        let why = "there is no token to end: a browser's session ends by signing out";
        return Err(ApiError::Conflict(why.to_owned()));
    };
    // It was good a moment ago: somebody else has ended it.
    let name = app.store.api_token_end(token).await?.ok_or(ApiError::SignInNeeded)?;
    trail.before(json!({"name": name}));
    Ok(NoContent)
}

/// A name and a password, as JSON or as a form, as Airflow has it.
pub(super) struct Given(Credentials);

impl<S: Send + Sync> FromRequest<S> for Given {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            let form = axum::Form::<Credentials>::from_request(request, &()).await;
            return form.map(|axum::Form(it)| Self(it)).map_err(|_| {
                let why = "the form needs the fields `username` and `password`, and has no other \
                           but `name` and `days`";
                ApiError::BadRequest(why.to_owned())
            });
        }
        Ok(Self(Json::<Credentials>::from_request(request, &()).await?.0))
    }
}

impl Taken for Given {
    fn take(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.requests.subschema_for::<Credentials>();
        operation.body.push(("application/json", schema.clone()));
        operation.body.push(("application/x-www-form-urlencoded", schema));
    }
}
