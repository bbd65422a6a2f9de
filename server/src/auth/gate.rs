//! The gate: nothing passes that is neither public nor signed in with the role it needs.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::caller::{Caller, Via};
use super::cross_site::is_same_site;
use super::sign_in::sign_in_location;
use crate::app::App;
use crate::pages;
use crate::problem::ApiError;
use crate::router::{Access, access_of};

/// What the gate knows.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) table: Arc<HashMap<(Method, &'static str), Access>>,
}

/// Lets a request through, or answers it.
pub(crate) async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match gate.admit(&mut parts).await {
        Ok(()) => {}
        Err(ApiError::SignInNeeded) => return sign_in_needed(&parts),
        Err(error) => return refusal(error, &parts),
    }
    let for_people = is_page(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    if for_people { pages::errors::dress(response).await } else { response }
}

impl Gate {
    async fn admit(&self, request: &mut Parts) -> Result<(), ApiError> {
        let access = access_of(&self.table, request);
        let caller =
            if access == Some(Access::Public) { None } else { self.caller(request).await? };
        let with_cookie = caller.as_ref().is_some_and(|caller| caller.via == Via::Cookie);
        let with_token = caller.as_ref().is_some_and(|caller| caller.via == Via::Token);
        if !with_token && !is_same_site(request, with_cookie) {
            return Err(ApiError::CrossSite);
        }
        if access == Some(Access::Public) {
            return Ok(());
        }
        let caller = caller.ok_or(ApiError::SignInNeeded)?;
        if let Some(Access::Role(needed)) = access
            && !caller.may(needed)
        {
            let has = caller.user.role.as_str();
            return Err(ApiError::NotAllowed { needed: needed.as_str(), has });
        }
        // Where no route is, a signed-in caller learns so.
        request.extensions.insert(caller);
        Ok(())
    }

    async fn caller(&self, request: &Parts) -> Result<Option<Caller>, ApiError> {
        let headers = &request.headers;
        let (user, via) = if headers.contains_key(header::AUTHORIZATION) {
            let Some(token) = bearer(headers) else { return Ok(None) };
            (self.app.store.api_token_user(token).await?, Via::Token)
        } else {
            let Some(session) = self.app.cookie.read(headers) else { return Ok(None) };
            (self.app.store.web_session_user(&session).await?, Via::Cookie)
        };
        Ok(user.map(|user| Caller { user, via }))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a person's browser asks for a page.
fn is_page(request: &Parts) -> bool {
    let path = request.uri.path();
    !path.starts_with("/api/") && !path.starts_with("/auth/") && path != "/api" && path != "/auth"
}

fn refusal(error: ApiError, request: &Parts) -> Response {
    if is_page(request) { pages::errors::page(&error) } else { error.into_response() }
}

/// A browser is led to the sign-in page and back; everybody else is told.
fn sign_in_needed(request: &Parts) -> Response {
    if !is_page(request) {
        return ApiError::SignInNeeded.into_response();
    }
    let is_get = matches!(request.method, Method::GET | Method::HEAD);
    // A part of a page: the whole page has to go.
    if request.headers.contains_key("hx-request") {
        let back = if is_get { "/" } else { request.uri.path() };
        let location = sign_in_location(back);
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", location)]).into_response();
    }
    let back =
        if is_get { request.uri.path_and_query().map_or("/", |it| it.as_str()) } else { "/" };
    let location = sign_in_location(back);
    let location =
        HeaderValue::try_from(location).unwrap_or_else(|_| HeaderValue::from_static("/sign-in"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
