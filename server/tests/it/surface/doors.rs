//! Nobody passes who may not. The routes come from the router itself: a new one cannot be forgotten.

use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use subak_server::router::{Access, route_table};
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::{Answer, Sender, Site, request};

/// What everybody may do; whoever adds to it has thought about it.
const PUBLIC: &[&str] = &[
    "GET /api/v2/monitor/health",
    "GET /api/v2/version",
    "GET /assets/{hash}/{name}",
    "POST /auth/token",
    "POST /auth/token/cli",
    "GET /docs/errors/{kind}",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/link",
    "GET /sign-in/oidc",
    "GET /sign-in/oidc/callback",
];

/// A route's address, of things that exist.
pub(crate) fn address(path: &str) -> String {
    let asset = subak_web::assets::url("app.css");
    let hash = asset.split('/').nth(2).unwrap();
    let fill = |part: &str| match part {
        "{dag_id}" => "shop".to_owned(),
        "{run_id}" => "bad".to_owned(),
        "{task_id}" => "extract".to_owned(),
        "{try_number}" | "{version_number}" | "{other_version}" | "{task_try_number}" => {
            "1".to_owned()
        }
        "{asset_id}" | "{asset_alias_id}" | "{backfill_id}" | "{event_log_id}" => "1".to_owned(),
        "{section}" | "{option}" | "{group_id}" | "{file_token}" => "some".to_owned(),
        "{pool_name}" => "narrow".to_owned(),
        "{map_index}" => "-1".to_owned(),
        "{dataset}" => "output".to_owned(),
        "{key}" => "return_value".to_owned(),
        "{import_error_id}" | "{dead_letter_id}" | "{range_id}" => "1".to_owned(),
        "{connection_id}" => "warehouse".to_owned(),
        "{username}" => "nobody".to_owned(),
        "{worker}" => "nobody".to_owned(),
        "{token_id}" => "00000000-0000-0000-0000-000000000000".to_owned(),
        "{topic}" => "orders".to_owned(),
        "{kind}" => "not-found".to_owned(),
        "{hash}" => hash.to_owned(),
        "{name}" => "app.css".to_owned(),
        "{variable_key}" => "region".to_owned(),
        unknown if unknown.starts_with('{') => panic!("say what {unknown} of {path} stands for"),
        plain => plain.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

/// Whether a program calls it; people use everything else.
fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/auth/")
}

/// Asserts that somebody unknown is shown nothing but where to sign in.
async fn assert_sign_in(path: &str, method: &Method, response: Response) -> anyhow::Result<()> {
    let answer = Answer::read(response).await?;
    let what = format!("{method} {path}: {}", answer.text());
    if is_api(path) {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        // The answer to HEAD has no body, whatever it says.
        if method != Method::HEAD {
            assert_eq!(answer.json()["type"], "/docs/errors/sign-in-needed", "{what}");
        }
    } else {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{what}");
        let location = answer.header("location");
        assert!(location == "/sign-in" || location.starts_with("/sign-in?next=%2F"), "{what}");
        assert_eq!(answer.body, b"", "{what}");
    }
    assert_eq!(answer.header("set-cookie"), "", "{what}");
    Ok(())
}

#[test]
fn what_everybody_may_do_is_a_short_list() {
    let public: Vec<String> = route_table()
        .into_iter()
        .filter(|(_, _, access)| *access == Access::Public)
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let mut known = PUBLIC.to_vec();
    known.sort_by_key(|route| route.split_once(' ').map(|(method, path)| (path, method)));
    assert_eq!(public, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_signing_in_every_route_is_refused() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let strangers = [
        Sender::Stranger,
        Sender::Session("made-up".to_owned()),
        Sender::Token("made-up".to_owned()),
        Sender::Token(String::new()),
    ];
    let mut seen = 0;
    for (method, path, access) in route_table() {
        if access == Access::Public {
            continue;
        }
        seen += 1;
        for stranger in &strangers {
            let same = [("sec-fetch-site", "same-origin")];
            let response = site.send(request(stranger, &method, &address(path), &same)?).await?;
            assert_sign_in(path, &method, response).await?;
        }
        if method == Method::GET {
            let head = request(&Sender::Stranger, &Method::HEAD, &address(path), &[])?;
            assert_sign_in(path, &Method::HEAD, site.send(head).await?).await?;
        }
    }
    assert!(seen > 30, "{seen} routes");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_route_is_strangers_are_refused_too() -> anyhow::Result<()> {
    let site = Site::new().await?;
    for path in ["/api/v2/nothing", "/api", "/nothing", "/dags", "/assets/x", "/.git/config"] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let response = site.send(request(&Sender::Stranger, &method, path, &[])?).await?;
            let path = if path == "/api" { "/api/" } else { path };
            assert_sign_in(path, &method, response).await?;
        }
    }
    // A method that a route does not have is no way around it.
    let delete = request(&Sender::Stranger, &Method::DELETE, "/api/v2/dags/shop", &[])?;
    assert_sign_in("/api/v2/dags/{dag_id}", &Method::DELETE, site.send(delete).await?).await?;
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_in_comes_back_to_the_page_that_they_were_on() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let list = ("http://subak/dags?name=x", "/sign-in?next=%2Fdags%3Fname%3Dx");
    for (method, path, (referer, location)) in [
        (Method::GET, "/live/dags?name=x", list),
        (Method::POST, "/dags/shop/pause", list),
        // Nothing is told, or another site's page.
        (Method::GET, "/?name=x", ("", "/sign-in")),
        (Method::POST, "/dags/shop/pause", ("https://evil.example/dags", "/sign-in")),
    ] {
        let headers = [("sec-fetch-site", "same-origin"), ("referer", referer)];
        // A part of a page has the whole page go.
        let part = [("hx-request", "true"), headers[0], headers[1]];
        let response = site.send(request(&Sender::Stranger, &method, path, &part)?).await?;
        let answer = Answer::read(response).await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("hx-redirect"), location);
        assert_eq!(answer.body, b"");
        if method == Method::POST {
            let form = request(&Sender::Stranger, &method, path, &headers)?;
            let answer = Answer::read(site.send(form).await?).await?;
            assert_eq!(answer.status, StatusCode::SEE_OTHER);
            assert_eq!(answer.header("location"), location);
        }
    }
    // Whoever is signed in is led back from an error, within the site.
    let admin = site.browser(Role::Admin).await?;
    for (referer, is_led) in [
        ("http://subak/dags?name=x", true),
        ("https://evil.example/dags?name=x", false),
        ("http://subak//dags?name=x", false),
    ] {
        let headers = [("sec-fetch-site", "same-origin"), ("referer", referer)];
        let missing = request(&admin, &Method::GET, "/dags/none", &headers)?;
        let answer = Answer::read(site.send(missing).await?).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let back = "<a class=\"button primary\" href=\"/dags?name=x\">Back</a>";
        assert_eq!(answer.text().contains(back), is_led, "{referer}");
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_its_routes_say_and_no_more() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    for role in Role::ALL {
        let senders = [site.browser(role).await?, site.program(role).await?];
        for (method, path, access) in route_table() {
            // These end the session and the token that the others need.
            let Access::Role(needed) = access else { continue };
            if ["/sign-out", "/auth/token"].contains(&path) {
                continue;
            }
            for sender in &senders {
                let what = format!("{method} {path} as {}", role.as_str());
                let response = site.send(request(sender, &method, &address(path), &[])?).await?;
                let status = response.status();
                if role >= needed {
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
                    assert!(!refused.contains(&status), "{what}: {status}");
                    let is_built = status != StatusCode::NOT_IMPLEMENTED;
                    assert!(!is_built || !status.is_server_error(), "{what}: {status}");
                } else if role == Role::None && path.contains("{dag_id}") {
                    assert_eq!(status, StatusCode::NOT_FOUND, "{what}");
                } else {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
                    let answer = Answer::read(response).await?;
                    let said = format!("role `{}` is needed", needed.as_str());
                    assert!(answer.text().contains(&said), "{what}: {}", answer.text());
                }
            }
        }
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_changes_nothing() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    let before = peek::runs_and_users(&site.world.store).await?;
    let foreign: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://subak")],
        &[("origin", "http://evil")],
        &[("origin", "null")],
        &[("sec-fetch-mode", "no-cors")],
    ];
    let mut seen = 0;
    for (method, path, access) in route_table() {
        if method == Method::GET {
            continue;
        }
        seen += 1;
        for headers in foreign {
            // A session is not read where none is needed: only what a browser says counts there.
            if access == Access::Public && headers[0].0 == "sec-fetch-mode" {
                continue;
            }
            let response = site.send(request(&admin, &method, &address(path), headers)?).await?;
            let answer = Answer::read(response).await?;
            let what = format!("{method} {path} {headers:?}: {}", answer.text());
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
            assert!(answer.headers.get(header::SET_COOKIE).is_none(), "{what}");
            if is_api(path) {
                assert_eq!(answer.json()["type"], "/docs/errors/cross-site", "{what}");
            }
        }
    }
    assert!(seen > 10, "{seen} routes");
    assert_eq!(peek::runs_and_users(&site.world.store).await?, before);
    // The session still is one.
    assert_eq!(site.get(&admin, "/").await?.status, StatusCode::OK);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_and_out_makes_and_ends_a_session() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let store = &site.world.store;
    let password = secrecy::SecretString::from("correct horse battery");
    store.user_create("ana", Some(&password), Role::User).await?;

    let mut wrong = request(&Sender::Stranger, &Method::POST, "/sign-in", &[])?;
    wrong.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse()?);
    *wrong.body_mut() = "username=ana&password=wrong&next=%2F".into();
    let answer = Answer::read(site.send(wrong).await?).await?;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("set-cookie"), "");

    let mut right = request(&Sender::Stranger, &Method::POST, "/sign-in", &[])?;
    right.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse()?);
    *right.body_mut() =
        "username=ana&password=correct+horse+battery&next=%2F%2Fevil.example".into();
    let answer = Answer::read(site.send(right).await?).await?;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
    let secret = cookie.split(['=', ';']).nth(1).unwrap().to_owned();

    let ana = Sender::Session(secret);
    assert_eq!(site.get(&ana, "/").await?.status, StatusCode::OK);
    let out =
        Answer::read(site.send(request(&ana, &Method::POST, "/sign-out", &[])?).await?).await?;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{}", out.header("set-cookie"));
    // The secret is worth nothing any more, also to whoever copied it.
    assert_eq!(site.get(&ana, "/").await?.header("location"), "/sign-in");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_link_is_good_once() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let user = site.world.store.user_create("ana", None, Role::User).await?;
    let life = std::time::Duration::from_secs(60);
    let link = site.world.store.sign_in_link_create(&user, life).await?;
    let path = subak_server::auth::sign_in_path(link.expose());
    let first = site.get(&Sender::Stranger, &path).await?;
    assert_eq!((first.status, first.header("location")), (StatusCode::SEE_OTHER, "/"));
    let second = site.get(&Sender::Stranger, &path).await?;
    assert_eq!(second.status, StatusCode::UNAUTHORIZED);
    assert_eq!(second.header("set-cookie"), "");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_cannot_be_tried_for_ever() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let wrong = serde_json::json!({"username": "ana", "password": "guess"});
    let mut last = Value::Null;
    for _ in 0..11 {
        let sent = site.json(&Sender::Stranger, Method::POST, "/auth/token", &wrong).await?;
        last = sent.json();
    }
    assert_eq!(last["type"], "/docs/errors/too-many-sign-ins");
    site.world.close().await
}
