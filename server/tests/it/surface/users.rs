//! Users: how administrators make, change and disable them, by pages and by the API.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_store::access::Role;

use super::audit::events;
use super::site::{Answer, Sender, Site, request};

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
    let no_role = post("/users/mia/role", "role=owner").await?.text();
    assert!(no_role.contains("<title>") && no_role.contains("`role` "), "{no_role}");
    assert!(!no_role.contains("&#34;loc"), "{no_role}");
    assert_eq!(post("/users/mia/role", "role=op").await?.status, StatusCode::SEE_OTHER);
    let mia = site.world.store.user_named("mia").await?.unwrap();
    assert_eq!((mia.role, mia.has_grants), (Role::Op, true));
    assert_eq!(post("/users/admin/role", "role=viewer").await?.status, StatusCode::CONFLICT);
    assert_eq!(post("/users/admin/disable", "").await?.status, StatusCode::CONFLICT);
    assert_eq!(post("/users/mia/disable", "").await?.status, StatusCode::SEE_OTHER);
    assert_eq!(site.world.store.user_named("mia").await?, None);
    // Behind the others the page has those who are disabled, and lets them again.
    let page = site.get(&admin, "/users").await?.text();
    let (others, disabled) = page.split_once("mia <span class=\"tag\">disabled</span>").unwrap();
    assert!(others.contains("/users/admin/role") && !page.contains("/users/mia/role"), "{page}");
    assert!(disabled.contains("action=\"/users/mia/enable\""), "{page}");
    assert_eq!(post("/users/mia/enable", "").await?.status, StatusCode::SEE_OTHER);
    assert_eq!(site.world.store.user_named("mia").await?, Some(mia));
    assert_eq!(post("/users/mia/enable", "").await?.status, StatusCode::CONFLICT);
    let (was, is) =
        (json!({"role": "op", "is_disabled": true}), json!({"role": "op", "is_disabled": false}));
    let found = events(&site, "?event=enable_user&order_by=when&limit=1").await?;
    assert_eq!((&found[0].2["before"], &found[0].2["after"]), (&was, &is));
    assert!(site.get(&admin, "/users").await?.text().contains("user · tag retail"));

    // The same by the API.
    let program = site.program(Role::Admin).await?;
    let users = "/api/v2/users";
    let send = async |method: Method, path: &str, body: Value| {
        site.json(&program, method, &format!("{users}{path}"), &body).await
    };
    let wayan = json!({"username": "wayan", "role": "none", "password": "water on terraces"});
    let made = send(Method::POST, "", wayan).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.json(), json!({"username": "wayan", "role": "none", "grants": []}));
    let again = json!({"username": "wayan", "role": "admin"});
    assert_eq!(send(Method::POST, "", again).await?.status, StatusCode::CONFLICT);
    for (wrong, field) in [
        (json!({"username": "a b", "role": "none"}), "username"),
        (json!({"username": "ab", "role": "king"}), "role"),
        (json!({"username": "ab", "role": "none", "password": "short"}), "password"),
    ] {
        let refused = send(Method::POST, "", wrong).await?;
        assert_eq!(refused.json()["detail"][0]["loc"][1], field, "{}", refused.text());
    }
    let retail = json!({"role": "user", "tag": "retail"});
    let granted = send(Method::POST, "/wayan/grants", retail).await?.json();
    assert_eq!(granted["grants"], json!([{"role": "user", "dag_id": null, "tag": "retail"}]));
    let both = json!({"role": "user", "tag": "retail", "dag_id": "shop"});
    for wrong in [both, json!({"role": "admin", "dag_id": "shop"}), json!({"role": "user"})] {
        let refused = send(Method::POST, "/wayan/grants", wrong).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    }
    let listed = site.get(&program, &format!("{users}?username_pattern=way")).await?.json();
    assert_eq!((&listed["users"], &listed["total_entries"]), (&json!([granted]), &json!(1)));
    let patch = json!({"role": "viewer", "password": "rice in the barn"});
    assert_eq!(send(Method::PATCH, "/wayan", patch).await?.json()["role"], "viewer");
    let given = json!({"username": "wayan", "password": "rice in the barn"});
    let token = site.json(&Sender::Stranger, Method::POST, "/auth/token", &given).await?.json();
    let wayan = Sender::Token(token["access_token"].as_str().unwrap().to_owned());
    assert_eq!(site.get(&wayan, users).await?.status, StatusCode::FORBIDDEN);
    let link = send(Method::POST, "/wayan/link", json!(null)).await?.json();
    let link = site.get(&Sender::Stranger, link["path"].as_str().unwrap()).await?;
    assert_eq!((link.status, link.header("location")), (StatusCode::SEE_OTHER, "/"));

    let revoke = async |query: &str| {
        send(Method::DELETE, &format!("/wayan/grants{query}"), json!(null)).await
    };
    assert_eq!(revoke("").await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(revoke("?tag=retail").await?.status, StatusCode::NO_CONTENT);
    assert_eq!(revoke("?tag=retail").await?.status, StatusCode::NOT_FOUND);
    let own = json!({"role": "op", "password": "not to be set"});
    assert_eq!(send(Method::PATCH, "/admin", own).await?.status, StatusCode::CONFLICT);
    let act = async |path: &str| send(Method::POST, path, json!(null)).await;
    assert_eq!(act("/admin/disable").await?.status, StatusCode::CONFLICT);
    assert_eq!(act("/wayan/enable").await?.status, StatusCode::CONFLICT);
    assert_eq!(act("/wayan/disable").await?.status, StatusCode::NO_CONTENT);
    assert_eq!(site.get(&wayan, "/api/v2/dags").await?.status, StatusCode::UNAUTHORIZED);
    for gone in ["/wayan/disable", "/nobody/enable", "/wayan/link"] {
        assert_eq!(act(gone).await?.status, StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(act("/wayan/enable").await?.json()["role"], "viewer");

    // On record with before and after, and without the password.
    let log = site.get(&program, "/api/v2/eventLogs?owner=admin&limit=100").await?.text();
    assert!(!log.contains("barn") && !log.contains("terraces"), "{log}");
    let newest = async |event: &str| -> anyhow::Result<(Value, Value)> {
        let found = events(&site, &format!("?event={event}&order_by=-when&limit=1")).await?;
        Ok((found[0].2["before"].clone(), found[0].2["after"].clone()))
    };
    let (before, after) = newest("patch_user").await?;
    assert_eq!(before, json!({"role": "none", "password": "***"}));
    assert_eq!(after, json!({"role": "viewer", "password": "*** (changed)"}));
    let revoked = json!({"role": "user", "dag": null, "tag": "retail"});
    assert_eq!(newest("delete_grant").await?, (revoked, Value::Null));
    assert_eq!(newest("enable_user").await?.1, json!({"role": "viewer", "is_disabled": false}));
    site.world.close().await
}
