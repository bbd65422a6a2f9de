//! The gate: nothing passes that is neither public nor signed in with the role it needs.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subak_store::access::Role;

use super::caller::{Caller, Via};
use super::cross_site::is_same_site;
use super::scrapers::{Scrapers, is_scrape};
use super::sign_in::sign_in_location;
use super::standing::{Proof, Standings};
use crate::app::App;
use crate::problem::ApiError;
use crate::router::{Access, access_of};
use crate::{audit, pages};

/// What the gate knows.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) table: Arc<HashMap<(Method, &'static str), Access>>,
    /// Of those who have streams open.
    pub(crate) standings: Arc<Standings>,
    pub(crate) scrapers: Arc<Scrapers>,
}

/// Lets a request through, or answers it.
pub(crate) async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match gate.admit(&mut parts).await {
        Ok(()) => {}
        Err(ApiError::SignInNeeded) => return sign_in_needed(&parts),
        Err(error) => return refusal(error, &parts),
    }
    let (for_people, t) = (is_page(&parts), pages::language(&parts.headers));
    let back = back(&parts);
    let caller = parts.extensions.get::<Caller>().cloned();
    let proof = Proof::of(&gate.app, &parts.headers);
    let (request, record) = match audit::begin(parts, body, caller.as_ref()).await {
        Ok(begun) => begun,
        Err(error) if for_people => return pages::errors::page(&error, t, back.as_deref()),
        Err(error) => return error.into_response(),
    };
    let response = next.run(request).await;
    if let Some(record) = record {
        record.end(&gate.app.store, response.status()).await;
    }
    let response = match proof.zip(caller) {
        Some((proof, caller)) => gate.standings.bind(gate.app, proof, caller, response),
        None => response,
    };
    if for_people { pages::errors::dress(response, t, back.as_deref()).await } else { response }
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
        let mut caller = caller.ok_or(ApiError::SignInNeeded)?;
        if access.is_some()
            && let Some(dag_id) = dag_of(request).await
        {
            caller.turn_to(&dag_id);
            // Whoever may not see a DAG does not learn that there is one.
            if !caller.may(Role::Viewer) {
                return Err(ApiError::DagNotFound(dag_id));
            }
        }
        if let Some(Access::Role(needed)) = access
            && !caller.may(needed)
        {
            let has = caller.role().as_str();
            return Err(ApiError::NotAllowed { needed: needed.as_str(), has });
        }
        // Where no route is, a signed-in caller learns so.
        request.extensions.insert(caller);
        Ok(())
    }

    async fn caller(&self, request: &Parts) -> Result<Option<Caller>, ApiError> {
        let route = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        match Proof::of(&self.app, &request.headers) {
            Some(proof) if is_scrape(route) => self.scrapers.caller(&self.app, &proof).await,
            Some(proof) => proof.caller(&self.app).await,
            None => Ok(None),
        }
    }
}

/// The DAG that the request's path names. `~` is none of them: a list of those that one may see, or, where
/// the route wants a role, of all.
async fn dag_of(request: &mut Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(request, &()).await.ok()?;
    let dag_id = params.iter().find(|(name, _)| *name == "dag_id")?.1;
    (dag_id != "~").then(|| dag_id.to_owned())
}

/// The token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
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
    if is_page(request) {
        let (t, back) = (pages::language(&request.headers), back(request));
        pages::errors::page(&error, t, back.as_deref())
    } else {
        error.into_response()
    }
}

/// A browser is led to the sign-in page and back; everybody else is told.
fn sign_in_needed(request: &Parts) -> Response {
    if !is_page(request) {
        return ApiError::SignInNeeded.into_response();
    }
    let is_get = matches!(request.method, Method::GET | Method::HEAD);
    let is_part = request.headers.contains_key("hx-request");
    // Behind a form, or a part of a page, is the page that has it.
    let back = match is_get && !is_part {
        true => request.uri.path_and_query().map(|it| it.as_str().to_owned()),
        false => page_of(&request.headers),
    };
    let location = sign_in_location(back.as_deref().unwrap_or("/"));
    // A part of a page: the whole page has to go.
    if is_part {
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", location)]).into_response();
    }
    let location =
        HeaderValue::try_from(location).unwrap_or_else(|_| HeaderValue::from_static("/sign-in"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Where somebody goes back to from an error: the page from which they came, if it is another one.
fn back(request: &Parts) -> Option<String> {
    let page = page_of(&request.headers)?;
    let here = request.uri.path_and_query()?.as_str();
    // With two slashes in front it would be another site's.
    let is_other = request.method != Method::GET || page != here;
    (is_other && !page.starts_with("//")).then_some(page)
}

/// The page of this site from which a request was made, as browsers tell.
fn page_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let page: Uri = text(header::REFERER)?.parse().ok()?;
    let (host, path) = (page.authority()?.as_str(), page.path_and_query()?.as_str());
    text(header::HOST)?.eq_ignore_ascii_case(host).then(|| path.to_owned())
}
