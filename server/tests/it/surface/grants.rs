//! Who may do something with single DAGs: every route of the router, for a DAG of theirs and a foreign one.

use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_server::router::{Access, route_table};
use subak_store::access::{GrantOn, Role};
use uuid::Uuid;

use super::doors::address;
use super::site::{Answer, Sender, Site, request};

/// A program of somebody who may do nothing but what is granted to them for `shop`.
async fn limited(site: &Site, role: Role, on: &GrantOn) -> anyhow::Result<Sender> {
    let store = &site.world.store;
    let name = format!("limited-{}", role.as_str());
    let user = store.user_create(&name, None, Role::None).await?;
    store.grant_put(&user, on, role).await?;
    let token = store.api_token_create(&user, "test", None, None).await?;
    Ok(Sender::Token(token.expose().to_owned()))
}

async fn answer(
    site: &Site,
    sender: &Sender,
    method: &Method,
    path: &str,
) -> anyhow::Result<Answer> {
    Answer::read(site.send(request(sender, method, path, &[])?).await?).await
}

/// The same, of what is answered well the status alone: it may be a stream.
async fn refusal(
    site: &Site,
    sender: &Sender,
    method: &Method,
    path: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let response = site.send(request(sender, method, path, &[])?).await?;
    let status = response.status();
    if status.is_success() {
        return Ok((status, String::new()));
    }
    Ok((status, Answer::read(response).await?.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_counts_for_its_dag_and_no_other_is_seen() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let grants = [
        (Role::Viewer, GrantOn::Dag("shop".to_owned())),
        (Role::User, GrantOn::Tag("retail".to_owned())),
        (Role::Op, GrantOn::Dag("shop".to_owned())),
    ];
    let mut seen = 0;
    for (role, on) in grants {
        let sender = limited(&site, role, &on).await?;
        for (method, path, access) in route_table() {
            let what = format!("{method} {path} as {} of shop", role.as_str());
            let Access::Role(needed) = access else { continue };
            if needed == Role::None {
                continue;
            }
            seen += 1;
            let (status, said) = refusal(&site, &sender, &method, &address(path)).await?;
            if !path.contains("{dag_id}") {
                // What belongs to no DAG is for those who may everywhere.
                assert_eq!(status, StatusCode::FORBIDDEN, "{what}: {said}");
                continue;
            }
            match role >= needed {
                true => assert_ne!(status, StatusCode::FORBIDDEN, "{what}: {said}"),
                false => assert_eq!(status, StatusCode::FORBIDDEN, "{what}: {said}"),
            }
            let foreign = address(&path.replace("{dag_id}", "idle"));
            let (status, foreign) = refusal(&site, &sender, &method, &foreign).await?;
            assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {foreign}");
            let absent = address(&path.replace("{dag_id}", "absent"));
            let (status, absent) = refusal(&site, &sender, &method, &absent).await?;
            assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {absent}");
            // A DAG that one may not see looks as one that is not there.
            assert_eq!(foreign.replace("idle", "absent"), absent, "{what}");
        }
        let list = answer(&site, &sender, &Method::GET, "/api/v2/dags").await?.json();
        assert_eq!(list["total_entries"], 1, "{list}");
        assert_eq!(list["dags"][0]["dag_id"], "shop");
        let home = answer(&site, &sender, &Method::GET, "/dags").await?;
        assert_eq!(home.status, StatusCode::OK);
        assert!(home.text().contains("/dags/shop") && !home.text().contains("/dags/idle"));
    }
    assert!(seen > 100, "{seen} routes");
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_is_gone_at_once() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let on = GrantOn::Dag("shop".to_owned());
    let sender = limited(&site, Role::User, &on).await?;
    let store = &site.world.store;
    let user = store.user_named("limited-user").await?.unwrap();
    let shop = "/api/v2/dags/shop";
    assert_eq!(site.get(&sender, shop).await?.status, StatusCode::OK);
    assert!(store.grant_remove(&user, &on).await?);
    assert!(!store.grant_remove(&user, &on).await?);
    assert_eq!(site.get(&sender, shop).await?.status, StatusCode::NOT_FOUND);
    store.user_role_set(&user, Role::Viewer).await?;
    assert_eq!(site.get(&sender, shop).await?.status, StatusCode::OK);
    store.user_disable(&user).await?;
    assert_eq!(site.get(&sender, shop).await?.status, StatusCode::UNAUTHORIZED);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_no_more_than_its_scope_and_ends_when_revoked() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let store = &site.world.store;
    let admin = site.browser(Role::Admin).await?;
    let mut make = request(&admin, &Method::POST, "/tokens", &[])?;
    make.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
    *make.body_mut() = "name=dashboard&scope=viewer&days=30".into();
    let page = Answer::read(site.send(make).await?).await?.text();
    let secret = page.split("<code id=\"secret\">").nth(1).and_then(|it| it.split('<').next());
    let token = Sender::Token(secret.expect("it is shown this once").to_owned());
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::OK);
    let pause = json!({"is_paused": true});
    let refused = site.json(&token, Method::PATCH, "/api/v2/dags/shop", &pause).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());

    let rows = store.api_token_list(None).await?;
    let row = rows.iter().find(|row| row.name == "dashboard").unwrap();
    assert_eq!((row.username.as_str(), row.scope.as_deref()), ("admin", Some("viewer")));
    assert!(row.expires_at.is_some() && row.last_used_at.is_some());
    assert!(!site.get(&admin, "/tokens").await?.text().contains("<code id=\"secret\">"));

    // Somebody else's cannot be ended, nor is it seen.
    let viewer = site.browser(Role::Viewer).await?;
    let revoke = format!("/tokens/{}/revoke", row.token_id);
    let other = answer(&site, &viewer, &Method::POST, &revoke).await?;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert!(!site.get(&viewer, "/tokens").await?.text().contains("dashboard"));
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::OK);
    let own = answer(&site, &admin, &Method::POST, &revoke).await?;
    assert_eq!(own.status, StatusCode::SEE_OTHER, "{}", own.text());
    assert_eq!(site.get(&token, "/api/v2/dags/shop").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(store.api_token_revoke(Uuid::nil(), None).await?, None);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_manage_users_but_not_themselves_away() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let admin = site.browser(Role::Admin).await?;
    let post = async |path: &str, form: &'static str| -> anyhow::Result<Answer> {
        let mut made = request(&admin, &Method::POST, path, &[])?;
        made.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
        *made.body_mut() = form.into();
        Answer::read(site.send(made).await?).await
    };
    let added = post("/users", "username=mia&role=none").await?.text();
    assert!(added.contains("/sign-in/link?token=subak_link_"), "{added}");
    assert_eq!(post("/users", "username=mia&role=none").await?.status.as_u16(), 422);
    let granted = post("/users/mia/grant", "role=user&kind=tag&name=retail").await?;
    assert_eq!(granted.status, StatusCode::SEE_OTHER, "{}", granted.text());
    assert!(site.get(&admin, "/users").await?.text().contains("user · tag retail"));
    assert_eq!(
        post("/users/mia/grant", "role=admin&kind=dag&name=shop").await?.status.as_u16(),
        422
    );
    assert_eq!(post("/users/mia/role", "role=op").await?.status, StatusCode::SEE_OTHER);
    let mia = site.world.store.user_named("mia").await?.unwrap();
    assert_eq!((mia.role, mia.has_grants), (Role::Op, true));
    assert_eq!(post("/users/admin/role", "role=viewer").await?.status, StatusCode::CONFLICT);
    assert_eq!(post("/users/admin/disable", "").await?.status, StatusCode::CONFLICT);
    assert_eq!(post("/users/mia/disable", "").await?.status, StatusCode::SEE_OTHER);
    assert_eq!(site.world.store.user_named("mia").await?, None);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_is_for_those_who_may_trigger_its_dag() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let daily =
        "{dag_id: daily, schedule: '@daily', tags: [retail], tasks: {rest: {operator: noop}}}";
    site.world.dags(daily).await?;
    let shop = GrantOn::Dag("shop".to_owned());
    let retail = GrantOn::Tag("retail".to_owned());
    let (user, viewer) =
        (limited(&site, Role::User, &retail).await?, limited(&site, Role::Viewer, &retail).await?);
    let foreign = limited(&site, Role::Op, &shop).await?;
    let list = "/api/v2/backfills";
    let span = |dag: &str| {
        let (from, to) = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
        json!({"dag_id": dag, "from_date": from, "to_date": to})
    };
    for path in [list, "/api/v2/backfills/dry_run"] {
        let refused = site.json(&viewer, Method::POST, path, &span("daily")).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        // A DAG that one may not see looks as one that is not there.
        let hidden = site.json(&foreign, Method::POST, path, &span("daily")).await?;
        let absent = site.json(&foreign, Method::POST, path, &span("absent")).await?;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND);
        assert_eq!(hidden.text().replace("daily", "absent"), absent.text());
    }
    let made = site.json(&user, Method::POST, list, &span("daily")).await?;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let one = format!("{list}/{}", made.json()["id"]);
    for (sender, seen, status) in [
        (&user, 1, StatusCode::OK),
        (&viewer, 1, StatusCode::OK),
        (&foreign, 0, StatusCode::NOT_FOUND),
    ] {
        let listed = site.get(sender, list).await?.json();
        assert_eq!(listed["total_entries"], seen, "{listed}");
        assert_eq!(site.get(sender, &one).await?.status, status);
        let of_dag = site.get(sender, &format!("{list}?dag_id=daily")).await?;
        assert_eq!(of_dag.status, status, "{}", of_dag.text());
    }
    for act in ["pause", "unpause", "cancel"] {
        let path = format!("{one}/{act}");
        for method in [Method::PUT, Method::POST] {
            let refused = answer(&site, &viewer, &method, &path).await?;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text());
            let hidden = answer(&site, &foreign, &method, &path).await?;
            assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{path}: {}", hidden.text());
        }
    }
    site.world.close().await
}
