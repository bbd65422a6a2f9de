//! What every answer tells browsers, and what no page has in it.

use std::collections::HashMap;

use axum::http::{Method, header};
use subak_server::router::{Access, route_table};
use subak_store::access::Role;

use super::doors::address;
use super::markup::{assert_harmless, tags};
use super::site::{Answer, Sender, Site, request};

/// Nothing inline, nothing from elsewhere, no frame around it.
const POLICY: &[&str] = &[
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "manifest-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
];

fn assert_guarded(what: &str, headers: &axum::http::HeaderMap) {
    let get = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or("");
    let policy: Vec<&str> = get("content-security-policy").split(';').map(str::trim).collect();
    assert_eq!(policy, POLICY, "{what}");
    assert_eq!(get("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(get("x-frame-options"), "DENY", "{what}");
    assert_eq!(get("referrer-policy"), "same-origin", "{what}");
    assert_eq!(get("cross-origin-opener-policy"), "same-origin", "{what}");
    assert_eq!(get("cross-origin-resource-policy"), "same-origin", "{what}");
    assert!(!get("x-request-id").is_empty(), "{what}");
    let is_asset = what.starts_with("GET /assets/");
    let caching = if is_asset { "public, max-age=31536000, immutable" } else { "no-store" };
    let is_stream = get("content-type").starts_with("text/event-stream");
    assert!(get("cache-control") == caching || is_stream, "{what}: {}", get("cache-control"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_guarded_and_no_page_has_anything_inline() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    let mut pages = 0;
    for (method, path, access) in route_table() {
        if path == "/sign-out" {
            continue;
        }
        let sender = if access == Access::Public { &Sender::Stranger } else { &admin };
        let what = format!("{method} {}", address(path));
        let response = site.send(request(sender, &method, &address(path), &[])?).await?;
        assert_guarded(&what, response.headers());
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
            pages += 1;
            assert_harmless(&what, &Answer::read(response).await?.text());
        }
    }
    assert!(pages > 5, "{pages} pages");
    for (sender, path) in [(&Sender::Stranger, "/nothing"), (&admin, "/nothing")] {
        let response = site.send(request(sender, &Method::GET, path, &[])?).await?;
        assert_guarded(path, response.headers());
    }
    site.world.close().await
}

/// Bytes that travel before a page is whole that is somebody's first one: it, its styles, its scripts,
/// its pictures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_load_of_every_page_is_small() -> anyhow::Result<()> {
    const BYTES_MOST: usize = 60 << 10;
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    let (mut sizes, mut parts) = (Vec::new(), HashMap::new());
    for (method, path, access) in route_table() {
        if method != Method::GET || path.starts_with("/api/") {
            continue;
        }
        let sender = if access == Access::Public { &Sender::Stranger } else { &admin };
        let path = address(path);
        // Of a stream no end is waited for.
        let response = site.send(request(sender, &Method::GET, &path, &[])?).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
            continue;
        }
        let html = Answer::read(response).await?;
        let mut size = compressed(&site, sender, &path).await?;
        let mut loaded = 0;
        for source in loads(&html.text()) {
            let bytes = match parts.get(&source) {
                Some(bytes) => *bytes,
                None => compressed(&site, sender, &source).await?,
            };
            parts.insert(source, bytes);
            size += bytes;
            loaded += 1;
        }
        assert!(loaded >= 3, "{path}: {loaded} parts");
        assert!(size <= BYTES_MOST, "{path}: {size} bytes");
        sizes.push((size, path));
    }
    sizes.sort();
    eprintln!("{} pages; the largest: {:?}", sizes.len(), sizes.last());
    assert!(sizes.len() > 20, "{sizes:?}");
    site.world.close().await
}

/// Bytes of an answer as it travels.
async fn compressed(site: &Site, sender: &Sender, path: &str) -> anyhow::Result<usize> {
    let gzip = [("accept-encoding", "gzip"), ("sec-fetch-site", "same-origin")];
    let response = site.send(request(sender, &Method::GET, path, &gzip)?).await?;
    let answer = Answer::read(response).await?;
    let is_small = answer.body.len() < 1 << 10;
    assert!(is_small || answer.header("content-encoding") == "gzip", "{path}");
    Ok(answer.body.len())
}

/// What a page has a browser load before it is whole.
fn loads(html: &str) -> Vec<String> {
    let source = |name: &str| match name {
        "script" => Some("src"),
        "link" => Some("href"),
        _ => None,
    };
    let tags = tags(html);
    let all = tags.iter().filter_map(|tag| tag.attribute(source(&tag.name)?));
    all.map(str::to_owned).collect()
}

/// People's language is their pages'; programs are told in English, and alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_api_are_the_same_whatever_language_is_asked_for() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let (viewer, stranger) = (site.program(Role::Viewer).await?, Sender::Stranger);
    let browser = site.browser(Role::Viewer).await?;
    let run = "/api/v2/dags/shop/dagRuns/good";
    let explain = "/api/v2/dags/shop/dagRuns/bad/taskInstances/tell/explain";
    for (sender, method, path, word) in [
        (&viewer, Method::GET, "/api/v2/dags/none", "DAG not found"),
        (&browser, Method::GET, "/api/v2/dags/none", "DAG not found"),
        (&viewer, Method::GET, "/api/v2/nothing", "there is nothing at"),
        (&viewer, Method::PUT, "/api/v2/dags", "is not offered here"),
        (&viewer, Method::GET, "/api/v2/dags?order_by=none", "is not one of"),
        (&viewer, Method::GET, "/api/v2/dags?colour=red", "is not a parameter"),
        (&viewer, Method::GET, "/api/v2/jobs", "does not have yet"),
        (&viewer, Method::DELETE, "/api/v2/dags/idle", "is needed, yours is"),
        (&stranger, Method::GET, "/api/v2/dags", "sign in, or send an API token"),
        (&stranger, Method::POST, "/auth/token", "detail"),
        (&viewer, Method::GET, "/api/v2/dags", "external triggers only"),
        (&viewer, Method::GET, run, "a good day"),
        (&viewer, Method::GET, explain, "load failed"),
    ] {
        let asked = async |headers: &[(&str, &str)]| -> anyhow::Result<String> {
            let request = request(sender, &method, path, headers)?;
            Ok(Answer::read(site.send(request).await?).await?.text())
        };
        let same_site = ("sec-fetch-site", "same-origin");
        let plain = asked(&[same_site][..]).await?;
        assert!(plain.contains(word), "{path}: {plain}");
        for accept in ["application/json", "text/html,*/*"] {
            let indonesian = [same_site, ("accept-language", "id-ID,id;q=0.9"), ("accept", accept)];
            assert_eq!(asked(&indonesian[..]).await?, plain, "{method} {path}");
        }
    }
    site.world.close().await
}
