//! `POST /auth/token`: a name and a password for an API token, in Airflow's shape.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::sign_in::check_password;
use crate::app::App;
use crate::extract::Json;
use crate::problem::ApiError;

/// A token is good for a day, as Airflow's are.
const LIFE: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
pub(super) struct Credentials {
    username: String,
    #[serde(deserialize_with = "super::secret")]
    password: SecretString,
}

#[derive(Serialize)]
pub(super) struct Token {
    access_token: String,
}

pub(super) async fn create(
    State(app): State<App>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    request: Request,
) -> Result<(StatusCode, Json<Token>), ApiError> {
    let Credentials { username, password } = credentials(request).await?;
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    let user = check_password(&app, &username, &password, address).await?;
    let secret = app.store.api_token_create(&user, "auth/token", Some(LIFE)).await?;
    Ok((StatusCode::CREATED, Json(Token { access_token: secret.expose().to_owned() })))
}

/// Reads JSON or a form, as Airflow does.
async fn credentials(request: Request) -> Result<Credentials, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        let form = axum::Form::<Credentials>::from_request(request, &()).await;
        return form.map(|axum::Form(it)| it).map_err(|_| {
            ApiError::BadRequest("the form needs the fields `username` and `password`".into())
        });
    }
    Ok(Json::<Credentials>::from_request(request, &()).await?.0)
}
