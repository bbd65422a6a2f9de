//! The router: every route says who may use it, or it is not one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use chrono::{DateTime, Utc};
use subak_store::access::Role;
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::openapi::{self, Described, Operation, Schemas};
use crate::problem::ApiError;
use crate::{api, auth, observe, pages};

/// The largest body of a request.
pub(crate) const BODY_BYTES_MOST: usize = 4 << 20;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Who is signed in with this role or a higher one; where the route names a DAG, for that DAG.
    Role(Role),
    /// Who is signed in: each sees what they may see. Where the route names a DAG, who may see that; by `~`
    /// all those that one may see.
    Sighted,
}

/// An operation of the API.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// Where its handler has none.
    pub(crate) name: Option<&'static str>,
    pub(crate) describe: fn(&mut Schemas) -> Operation,
}

/// Routes, each with who may use it.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<App>,
    table: HashMap<(Method, &'static str), Access>,
    known: Vec<Known>,
    /// What the handlers take.
    #[cfg(test)]
    handlers: Vec<(Method, &'static str, &'static str)>,
}

impl Routes {
    /// Adds a route for everybody. The list of these is short; a test knows it.
    pub(crate) fn public<H, T>(self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(Access::Public, method, path, handler)
    }

    /// Adds a route that looks.
    pub(crate) fn viewer<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(Access::Role(Role::Viewer), Method::GET, path, handler)
    }

    /// Adds a route that looks at many DAGs: its handler shows those that the caller may see.
    pub(crate) fn sighted<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(Access::Sighted, Method::GET, path, handler)
    }

    /// Adds a route for one role and those above it.
    pub(crate) fn role<H, T>(
        self,
        role: Role,
        method: Method,
        path: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(Access::Role(role), method, path, handler)
    }

    /// Adds an operation of the API: it is in the document, and its query holds nothing else.
    pub(crate) fn operation<H, T>(
        mut self,
        access: Access,
        method: Method,
        path: &'static str,
        name: Option<&'static str>,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        let describe = <H as Described<T>>::describe;
        self.known.push(Known { method: method.clone(), path, access, name, describe });
        self.add(access, method, path, handler)
    }

    fn add<H, T>(mut self, access: Access, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that HTTP knows");
        self.router = self.router.route(path, on(filter, handler));
        #[cfg(test)]
        self.handlers.push((method.clone(), path, std::any::type_name::<T>()));
        self.table.insert((method, path), access);
        self
    }
}

fn routes() -> Routes {
    let routes = auth::routes(Routes::default());
    let routes = api::routes(routes);
    pages::routes(routes)
}

/// Returns the router of REST API and pages.
pub fn router(app: App) -> Router {
    let Routes { router, table, known, .. } = routes();
    app.answered.know(table.keys());
    let gate = auth::Gate {
        app: app.clone(),
        table: Arc::new(table),
        standings: Arc::default(),
        scrapers: Arc::default(),
    };
    let https = app.cookie.https;
    let observed = (app.answered.clone(), app.traces.clone());
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MOST))
        .layer(from_fn_with_state(openapi::parameters(&known), openapi::strict))
        .layer(from_fn_with_state(gate, auth::gate))
        .layer(CompressionLayer::new())
        .layer(from_fn(observe::time_limit))
        .layer(from_fn_with_state(https, observe::security_headers))
        .layer(from_fn_with_state(observed, observe::observe))
        .with_state(app)
}

/// Returns every route with who may use it, sorted: for tests and documents.
#[must_use]
pub fn route_table() -> Vec<(Method, &'static str, Access)> {
    let mut all: Vec<_> =
        routes().table.into_iter().map(|((method, path), access)| (method, path, access)).collect();
    all.sort_by_key(|(method, path, _)| (*path, method.to_string()));
    all
}

/// Returns every route with the types that its handler takes.
#[cfg(test)]
pub(crate) fn handlers() -> Vec<(Method, &'static str, &'static str)> {
    routes().handlers
}

/// Returns what of Airflow's API is not built: method, route and Airflow's name. For tests.
#[must_use]
pub fn not_built() -> Vec<(Method, &'static str, &'static str)> {
    api::not_built().cloned().collect()
}

/// Returns what a server says of its health at `now`. For tests: the route asks the clock.
pub async fn health_at(app: &App, now: DateTime<Utc>) -> serde_json::Value {
    api::health_at(app, now).await
}

/// Returns the description of the API: OpenAPI 3.1.
#[must_use]
pub fn openapi() -> &'static serde_json::Value {
    static DOCUMENT: LazyLock<serde_json::Value> = LazyLock::new(|| {
        let mut known = routes().known;
        known.sort_by_key(|it| (it.path, it.method.to_string()));
        openapi::document(&known)
    });
    &DOCUMENT
}

/// Who may do what the request asks; `None` where no route is.
pub(crate) fn access_of(
    table: &HashMap<(Method, &'static str), Access>,
    request: &Parts,
) -> Option<Access> {
    let path = request.extensions.get::<MatchedPath>()?;
    // axum answers HEAD by the route of GET.
    let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
    table
        .iter()
        .find(|((known, route), _)| known == method && *route == path.as_str())
        .map(|(_, access)| *access)
}

async fn not_found(request: Request) -> ApiError {
    ApiError::NotFound(request.uri().path().to_owned())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::MethodNotAllowed(format!("{} {}", request.method(), request.uri().path()))
}
