//! The session's cookie.

use axum::http::{HeaderMap, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

/// How the session's cookie is named and marked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionCookie {
    /// Browsers reach the server by TLS: the cookie never travels without.
    pub(crate) https: bool,
}

impl SessionCookie {
    fn name(self) -> &'static str {
        if self.https { "__Host-subak" } else { "subak" }
    }

    /// Returns the session's secret that a request carries.
    pub(crate) fn read(self, headers: &HeaderMap) -> Option<String> {
        CookieJar::from_headers(headers).get(self.name()).map(|cookie| cookie.value().to_owned())
    }

    /// The header that keeps a session until the browser closes or the server ends it.
    pub(crate) fn set(self, secret: &str) -> (header::HeaderName, HeaderValue) {
        self.header(Cookie::new(self.name(), secret.to_owned()))
    }

    /// The header that drops the cookie.
    pub(crate) fn clear(self) -> (header::HeaderName, HeaderValue) {
        let mut cookie = Cookie::new(self.name(), "");
        cookie.make_removal();
        self.header(cookie)
    }

    fn header(self, mut cookie: Cookie<'static>) -> (header::HeaderName, HeaderValue) {
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_same_site(SameSite::Lax);
        cookie.set_secure(self.https);
        let value = HeaderValue::try_from(cookie.to_string()).expect("a secret is base64");
        (header::SET_COOKIE, value)
    }
}
