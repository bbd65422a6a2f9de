//! Signing in by password or link, and signing out.

use std::net::{IpAddr, SocketAddr};

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use subak_store::NewAudit;
use subak_store::access::User;
use subak_web::sign_in::SignIn;
use subak_web::url::encode;

use crate::app::App;
use crate::extract::{Form, Query};
use crate::pages::language;
use crate::problem::ApiError;

pub(super) type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    username: String,
    #[serde(deserialize_with = "super::secret")]
    password: SecretString,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

/// Where a browser signs in before it goes on to `back`.
pub(super) fn sign_in_location(back: &str) -> String {
    if back == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={}", encode(back)) }
}

pub(super) async fn form(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Next { next }): Query<Next>,
) -> Html<String> {
    let (t, by_provider) = (language(&headers), app.oidc.is_some());
    Html(SignIn { t, next: &next, username: "", problem: None, by_provider }.page())
}

pub(super) async fn submit(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response, ApiError> {
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    match check_password(&app, &given.username, &given.password, address, "web").await {
        Ok(user) => begin(&app, &headers, &user, &given.next).await,
        Err(error @ (ApiError::BadPassword | ApiError::TooManySignIns(_))) => {
            let status = error.shape().status;
            let t = language(&headers);
            let problem = match error {
                ApiError::TooManySignIns(secs) => t.fill(t.too_many_sign_ins, secs),
                _ => t.bad_password.to_owned(),
            };
            let page = SignIn {
                t,
                next: &given.next,
                username: &given.username,
                problem: Some(&problem),
                by_provider: app.oidc.is_some(),
            };
            Ok((status, Html(page.page())).into_response())
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn link(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Link { token }): Query<Link>,
) -> Result<Response, ApiError> {
    match app.store.sign_in_link_redeem(&token).await? {
        Some(user) => {
            let username = user.username.clone();
            let event = "sign_in_by_link";
            let done = NewAudit { username, via: "web", event, ..NewAudit::default() };
            app.store.audit_add(&done).await?;
            begin(&app, &headers, &user, "/").await
        }
        None => {
            let (t, by_provider) = (language(&headers), app.oidc.is_some());
            let problem = Some(t.bad_link);
            let page = SignIn { t, next: "", username: "", problem, by_provider };
            Ok((ApiError::BadLink.shape().status, Html(page.page())).into_response())
        }
    }
}

pub(super) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(session) = app.cookie.read(&headers) {
        app.store.web_session_end(&session).await?;
    }
    Ok(([app.cookie.clear()], Redirect::to("/sign-in")).into_response())
}

/// Checks a password within the limits.
pub(super) async fn check_password(
    app: &App,
    name: &str,
    password: &SecretString,
    address: Option<IpAddr>,
    via: &'static str,
) -> Result<User, ApiError> {
    let attempt = app.logins.admit(name, address).await?;
    let extra = address.map(|address| json!({"address": address}));
    let Some(user) = app.store.user_check(name, password).await? else {
        // What was typed may be a password in the wrong field: only names that there are, are kept.
        let known = app.store.user_named(name).await?.map(|user| user.username);
        let username = known.unwrap_or_else(|| "(unknown)".to_owned());
        let failed =
            NewAudit { username, via, event: "sign_in_failed", extra, ..NewAudit::default() };
        app.store.audit_add(&failed).await?;
        return Err(ApiError::BadPassword);
    };
    attempt.succeeded();
    let username = user.username.clone();
    let done = NewAudit { username, via, event: "sign_in", extra, ..NewAudit::default() };
    app.store.audit_add(&done).await?;
    Ok(user)
}

/// Begins a new session, whatever the browser had before, and goes on.
pub(super) async fn begin(
    app: &App,
    headers: &HeaderMap,
    user: &User,
    next: &str,
) -> Result<Response, ApiError> {
    if let Some(old) = app.cookie.read(headers) {
        app.store.web_session_end(&old).await?;
    }
    let session = app.store.web_session_create(user).await?;
    let location = header::HeaderValue::try_from(local(next))
        .unwrap_or_else(|_| header::HeaderValue::from_static("/"));
    let headers = [app.cookie.set(session.expose()), (header::LOCATION, location)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// A path of this site, never another site: `//evil`, `/\evil` and the like lead home.
fn local(next: &str) -> &str {
    let mut chars = next.chars();
    let is_path = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    if is_path && !next.chars().any(char::is_control) { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_never_leads_to_another_site() {
        for path in ["/", "/dags/a?b=c"] {
            assert_eq!(local(path), path);
        }
        for other in ["", "dags", "//evil", "/\\evil", "https://evil", "/\t/evil"] {
            assert_eq!(local(other), "/");
        }
    }
}
