//! Sign-in by an identity provider: OpenID Connect, authorization code flow with PKCE.
//!
//! What a sign-in needs to be told from another one (state, nonce, verifier) lies in a short-lived cookie
//! of the browser that began it, so that any server can end it. People are known by issuer and subject;
//! a user of the same name who was here before is somebody else.

mod provider;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subak_store::NewAudit;
use subak_store::access::Role;
use subak_web::sign_in::SignIn;
use tracing::warn;
use url::Url;

use self::provider::Provider;
use super::sign_in::begin;
use crate::app::App;
use crate::extract::Query;
use crate::pages::language;
use crate::problem::ApiError;

/// Where the provider sends browsers back to.
pub(super) const CALLBACK: &str = "/sign-in/oidc/callback";

/// How long somebody may take at the provider.
const PATIENCE_SECS: i64 = 600;

/// Settings of sign-in by a provider.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// Its issuer, as its discovery document has it.
    pub issuer: Url,
    pub client_id: String,
    pub client_secret: SecretString,
    /// Where browsers reach Subak.
    pub own_url: Url,
    /// Of whom the provider names for the first time.
    pub role: Role,
}

/// Sign-in by a provider.
#[derive(Clone)]
pub(crate) struct Oidc(Arc<Provider>);

/// What a browser remembers of a sign-in that it has begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// What the provider sends with the browser.
#[derive(Deserialize)]
pub(super) struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    error: Option<String>,
    error_description: Option<String>,
}

impl Oidc {
    /// Nothing is asked of the provider yet.
    pub(crate) fn new(config: OidcConfig) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Provider::new(config)?)))
    }
}

/// Sends a browser to the provider.
pub(super) async fn start(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Next { next }): Query<Next>,
) -> Result<Response, ApiError> {
    let Some(Oidc(provider)) = &app.oidc else {
        return Err(ApiError::NotFound("/sign-in/oidc".to_owned()));
    };
    let begun = Begun { state: random(), nonce: random(), verifier: random(), next };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(begun.verifier.as_bytes()));
    let to = match provider.sign_in_url(&begun.state, &begun.nonce, &challenge).await {
        Ok(url) => url,
        Err(error) => return Ok(failed(&error, &headers)),
    };
    let kept = serde_json::to_vec(&begun).map_err(|_| ApiError::Internal)?;
    let cookie = cookie(&app, URL_SAFE_NO_PAD.encode(kept), PATIENCE_SECS);
    let location = HeaderValue::try_from(to.as_str()).map_err(|_| ApiError::Internal)?;
    Ok((StatusCode::SEE_OTHER, [cookie, (header::LOCATION, location)]).into_response())
}

/// Signs in whom the provider has sent back.
pub(super) async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Result<Response, ApiError> {
    let Some(Oidc(provider)) = &app.oidc else {
        return Err(ApiError::NotFound(CALLBACK.to_owned()));
    };
    let jar = CookieJar::from_headers(&headers);
    let kept = jar.get(name(&app)).and_then(|it| URL_SAFE_NO_PAD.decode(it.value()).ok());
    let begun: Option<Begun> = kept.and_then(|it| serde_json::from_slice(&it).ok());
    let Some(begun) = begun.filter(|it| it.state == returned.state) else {
        let why = "the sign-in was not begun by this browser, or too long ago: try again";
        return Ok(failed(&anyhow::anyhow!(why), &headers));
    };
    if let Some(error) = returned.error {
        let why = returned.error_description.unwrap_or(error);
        return Ok(failed(&anyhow::anyhow!("the provider refused: {why}"), &headers));
    }
    let person = match provider.redeem(&returned.code, &begun.verifier, &begun.nonce).await {
        Ok(person) => person,
        Err(error) => return Ok(failed(&error, &headers)),
    };
    let issuer = provider.config.issuer.as_str();
    let role = provider.config.role;
    let user = app.store.user_of_provider(issuer, &person.sub, person.name(), role).await?;
    let Some(user) = user else {
        return Ok(failed(&anyhow::anyhow!("an administrator has disabled this user"), &headers));
    };
    let username = user.username.clone();
    let done =
        NewAudit { username, via: "web", event: "sign_in_by_provider", ..NewAudit::default() };
    app.store.audit_add(&done).await?;
    let mut response = begin(&app, &headers, &user, &begun.next).await?;
    let (name, gone) = cookie(&app, String::new(), 0);
    response.headers_mut().append(name, gone);
    Ok(response)
}

/// The sign-in page with what went wrong; the log has the whole of it.
fn failed(error: &anyhow::Error, headers: &HeaderMap) -> Response {
    warn!(error = format!("{error:#}"), "sign-in by the provider failed");
    let problem = error.to_string();
    let (t, problem) = (language(headers), Some(&*problem));
    let page = SignIn { t, next: "", username: "", problem, by_provider: true };
    (StatusCode::UNAUTHORIZED, Html(page.page())).into_response()
}

fn name(app: &App) -> &'static str {
    if app.cookie.https { "__Host-subak-oidc" } else { "subak-oidc" }
}

fn cookie(app: &App, value: String, secs: i64) -> (header::HeaderName, HeaderValue) {
    let mut cookie = Cookie::new(name(app), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    // The browser comes back from another site.
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(app.cookie.https);
    let text = format!("{cookie}; Max-Age={secs}");
    (header::SET_COOKIE, HeaderValue::try_from(text).expect("base64 and numbers"))
}

/// 256 random bits.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
