//! Requests that another site made a browser send.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

/// Whether a request may change something although a browser sent the cookie by itself.
///
/// Browsers say where a request comes from: `Sec-Fetch-Site` to trustworthy addresses, and `Origin`
/// with every POST. A script cannot forge either.
pub(super) fn is_same_site(request: &Parts, with_cookie: bool) -> bool {
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let headers = &request.headers;
    match (text(headers, "sec-fetch-site"), text(headers, "origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin_is_host(origin, text(headers, header::HOST.as_str())),
        // Not a browser of this decade: without a cookie there is nothing to borrow.
        (None, None) => !with_cookie,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn origin_is_host(origin: &str, host: Option<&str>) -> bool {
    let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(method: &str, headers: &[(&str, &str)], with_cookie: bool, allowed: bool) {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(is_same_site(&request, with_cookie), allowed, "{method} {headers:?}");
    }

    #[test]
    fn only_this_site_changes_things() {
        check("GET", &[("sec-fetch-site", "cross-site")], true, true);
        check("POST", &[("sec-fetch-site", "same-origin")], true, true);
        check("POST", &[("sec-fetch-site", "same-site")], true, false);
        check("DELETE", &[("sec-fetch-site", "cross-site")], true, false);
        check("POST", &[("origin", "http://subak:8080"), ("host", "subak:8080")], true, true);
        check("POST", &[("origin", "http://evil"), ("host", "subak:8080")], true, false);
        check("POST", &[("origin", "null"), ("host", "subak:8080")], true, false);
        check("POST", &[], true, false);
        check("POST", &[], false, true);
    }
}
