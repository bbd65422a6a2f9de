//! Who asks, and may they: the gate before every route, sign-in, sign-out and API tokens.

mod caller;
mod cookie;
mod cross_site;
mod gate;
mod limits;
mod oidc;
mod scrapers;
mod sign_in;
mod standing;
mod token;

use axum::http::Method;
use secrecy::SecretString;
use serde::{Deserialize as _, Deserializer};
use subak_store::access::Role;

pub(crate) use caller::{Caller, Rights};
pub(crate) use cookie::SessionCookie;
pub(crate) use gate::{Gate, gate};
pub(crate) use limits::LoginLimits;
pub(crate) use oidc::Oidc;
pub use oidc::OidcConfig;

use crate::router::{Access, Routes};

/// Where the sign-in link of standalone and of `users link` leads, below the server's address.
#[must_use]
pub fn sign_in_path(secret: &str) -> String {
    format!("/sign-in/link?token={secret}")
}

pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .public(Method::GET, "/sign-in", sign_in::form)
        .public(Method::POST, "/sign-in", sign_in::submit)
        .public(Method::GET, "/sign-in/link", sign_in::link)
        .public(Method::GET, "/sign-in/oidc", oidc::start)
        .public(Method::GET, oidc::CALLBACK, oidc::callback)
        .role(Role::None, Method::POST, "/sign-out", sign_in::sign_out)
        .operation(Access::Public, Method::POST, "/auth/token", None, token::create)
        .operation(Access::Public, Method::POST, "/auth/token/cli", None, token::create)
        .operation(Access::Role(Role::None), Method::DELETE, "/auth/token", None, token::revoke)
}

/// Reads a password into what does not print it.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}
