//! Who may do something with single DAGs: every route of the router, for a DAG of theirs and a foreign one.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_server::router::{Access, route_table};
use subak_store::access::{GrantOn, Role};
use subak_testkit::peek;
use uuid::Uuid;

use super::audit::events;
use super::doors::address;
use super::site::{Answer, LETTERS, Sender, Site, request};

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
            let needed = match access {
                Access::Public | Access::Role(Role::None) => continue,
                Access::Role(needed) => needed,
                // Of one DAG; of all of them there is a test of its own.
                Access::Sighted if path.contains("{dag_id}") => Role::Viewer,
                Access::Sighted => continue,
            };
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

/// Lists over DAGs: `~` is all that one may see.
const LISTS: &[&str] = &[
    "GET /api/v2/assets",
    "GET /api/v2/assets/events",
    "GET /api/v2/dagStats",
    "GET /api/v2/dagTags",
    "GET /api/v2/dags",
    "GET /api/v2/dags/{dag_id}/dagRuns",
    "GET /api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances",
    "GET /api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries",
    "GET /api/v2/dags/{dag_id}/dagVersions",
    "GET /api/v2/deadLetters",
    "GET /api/v2/pipelines",
    "GET /api/v2/ranges",
    "GET /dags",
    "GET /dead-letters",
    "GET /runs",
    "POST /api/v2/dags/{dag_id}/dagRuns/list",
    "POST /api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/list",
];

/// What else each sees their part of. Backfills have a test of their own, dead letters are asked for below,
/// and the first page tells of what failed, runs or is late.
const OTHERS: &[&str] = &[
    "GET /",
    "GET /api/v2/backfills",
    "GET /api/v2/backfills/{backfill_id}",
    "GET /api/v2/deadLetters/export",
    "GET /api/v2/deadLetters/{dead_letter_id}",
    "GET /dead-letters/{dead_letter_id}",
    "GET /home/events",
    "GET /live/dags",
    "GET /live/dead-letters",
    "GET /live/runs",
    "GET /tokens",
    "POST /api/v2/backfills",
    "POST /api/v2/backfills/dry_run",
    "POST /api/v2/backfills/{backfill_id}/cancel",
    "POST /api/v2/backfills/{backfill_id}/pause",
    "POST /api/v2/backfills/{backfill_id}/unpause",
    "PUT /api/v2/backfills/{backfill_id}/cancel",
    "PUT /api/v2/backfills/{backfill_id}/pause",
    "PUT /api/v2/backfills/{backfill_id}/unpause",
];

#[test]
fn what_each_sees_their_part_of_is_known() {
    let sighted = route_table().into_iter().filter(|(_, _, access)| *access == Access::Sighted);
    let mut sighted: Vec<String> =
        sighted.map(|(method, path, _)| format!("{method} {path}")).collect();
    sighted.sort();
    let mut known = [LISTS, OTHERS].concat();
    known.sort_unstable();
    assert_eq!(sighted, known);
}

/// A DAG of this name with a tag of this name, an asset of its own and one that all have, and a task that
/// would read a topic.
fn dag_with_everything(name: &str) -> String {
    format!(
        "
dag_id: {name}
tags: [of_{name}]
tasks:
  extract:
    operator: noop
    retries: 1
    retry_delay: 0.05
    outlets: ['s3://{name}/gold', 's3://common']
  read:
    operator: kafka.consume
    depends_on: [extract]
    trigger_rule: all_failed
    with: {{connection: broker, topic: {name}_orders, columns: {{id: id}}}}
  load:
    operator: postgres.load
    depends_on: [read]
    with: {{connection: shop, input: '{{{{ tasks.read.output }}}}', table: record}}
"
    )
}

/// An open range of every task that reads a topic.
const RANGES: &str = "
INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks, run_key)
SELECT dag.dag, t.task, 1, 'c-1', dag.dag_id || '_orders', '[]', false, '{load}', run.run_key
FROM dag_task t JOIN dag ON dag.dag = t.dag JOIN run ON run.dag = t.dag
WHERE t.task_id = 'read'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_over_all_dags_has_what_its_reader_may_see() -> anyhow::Result<()> {
    let site = Site::new().await?;
    for name in ["orchard", "vault"] {
        site.world.dags(&dag_with_everything(name)).await?;
    }
    site.work().await?;
    for name in ["orchard", "vault"] {
        site.run(name, "good").await?;
    }
    peek::meddle(&site.world.store, LETTERS).await?;
    peek::meddle(&site.world.store, RANGES).await?;
    let admin = site.program(Role::Admin).await?;
    let assets = site.get(&admin, "/api/v2/assets?name_pattern=vault").await?.json();
    let by_hand = json!({"asset_id": assets["assets"][0]["id"], "extra": {"from": "vault"}});
    let made = site.json(&admin, Method::POST, "/api/v2/assets/events", &by_hand).await?;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());

    let own = &limited(&site, Role::Viewer, &GrantOn::Dag("orchard".to_owned())).await?;
    let by_tag = &limited(&site, Role::User, &GrantOn::Tag("of_orchard".to_owned())).await?;
    // A grant that no DAG has: an empty list of DAGs is none of them, not all.
    let nothing = &limited(&site, Role::Op, &GrantOn::Dag("absent".to_owned())).await?;
    for (sender, sees_own, sees_foreign) in
        [(&admin, true, true), (own, true, false), (by_tag, true, false), (nothing, false, false)]
    {
        for list in LISTS {
            let (method, path) = list.split_once(' ').unwrap();
            let path = ["{dag_id}", "{run_id}", "{task_id}"]
                .into_iter()
                .fold(path.to_owned(), |path, name| path.replace(name, "~"));
            let method = Method::from_bytes(method.as_bytes())?;
            let told = match method {
                Method::POST => site.json(sender, method, &path, &json!({})).await?,
                _ => site.get(sender, &path).await?,
            };
            let text = told.text();
            assert_eq!(told.status, StatusCode::OK, "{list}: {text}");
            assert_eq!(text.contains("orchard"), sees_own, "{list}: {text}");
            assert_eq!(text.contains("vault"), sees_foreign, "{list}: {text}");
            if !sees_own && path.starts_with("/api/") {
                assert_eq!(told.json()["total_entries"], 0, "{list}: {text}");
            }
        }
        let home = site.get(sender, "/").await?;
        assert_eq!(home.status, StatusCode::OK);
        assert!(sees_foreign || !home.text().contains("vault"), "{}", home.text());
        let by_cursor = site.get(sender, "/api/v2/dags/~/dagRuns?cursor=&limit=1&order_by=-id");
        let by_cursor = by_cursor.await?.json();
        assert_eq!(by_cursor["next_cursor"].is_string(), sees_foreign, "{by_cursor}");
        // The description is everybody's.
        assert_eq!(site.get(sender, "/api/v2/openapi.json").await?.status, StatusCode::OK);
        assert_eq!(site.get(sender, "/docs/api").await?.status, StatusCode::OK);
    }

    // Whoever names the other DAG is told no more of it.
    for path in [
        "/api/v2/dagStats?dag_ids=vault",
        "/api/v2/assets?dag_ids=vault",
        "/api/v2/assets/events?source_dag_id=vault",
        "/api/v2/dags/~/dagRuns?dag_id_pattern=vault",
    ] {
        let told = site.get(own, path).await?.json();
        assert_eq!(told["total_entries"], 0, "{path}: {told}");
    }
    for path in ["/api/v2/dags/~/dagRuns/list", "/api/v2/dags/~/dagRuns/~/taskInstances/list"] {
        let told = site.json(own, Method::POST, path, &json!({"dag_ids": ["vault"]})).await?.json();
        assert_eq!(told["total_entries"], 0, "{path}: {told}");
    }
    for path in [
        "/api/v2/ranges?dag_id=",
        "/api/v2/deadLetters?dag_id=",
        "/api/v2/deadLetters/export?dag_id=",
    ] {
        let foreign = site.get(own, &format!("{path}vault")).await?;
        let absent = site.get(own, &format!("{path}absent")).await?;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(foreign.text().replace("vault", "absent"), absent.text());
    }
    let exported = site.get(own, "/api/v2/deadLetters/export").await?.text();
    assert!(exported.contains("orchard") && !exported.contains("vault"), "{exported}");
    let letters = site.get(&admin, "/api/v2/deadLetters").await?.json();
    for letter in letters["dead_letters"].as_array().unwrap() {
        let seen = letter["dag_id"] == "orchard";
        let status = if seen { StatusCode::OK } else { StatusCode::NOT_FOUND };
        for path in ["/api/v2/deadLetters", "/dead-letters"] {
            let path = format!("{path}/{}", letter["dead_letter_id"]);
            assert_eq!(site.get(own, &path).await?.status, status, "{path}");
        }
    }
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
    assert!(store.grant_remove(&user, &on).await?.is_some());
    assert!(store.grant_remove(&user, &on).await?.is_none());
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

    // By the API, too: one's own, and none that may more than the token which asks for it.
    let tokens = "/api/v2/tokens";
    let post =
        async |sender: &Sender, body: Value| site.json(sender, Method::POST, tokens, &body).await;
    let again = post(&token, json!({"name": "again"})).await?;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
    let again = again.json();
    assert_eq!((&again["username"], &again["scope"]), (&json!("admin"), &json!("viewer")));
    let wider = post(&token, json!({"name": "wider", "scope": "op"})).await?;
    assert_eq!(wider.status, StatusCode::FORBIDDEN, "{}", wider.text());
    for (field, value) in [("days", json!(0)), ("name", json!(" ")), ("scope", json!("king"))] {
        let mut odd = json!({"name": "odd"});
        odd[field] = value;
        assert_eq!(post(&token, odd).await?.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
    }
    let (low, high) = (site.program(Role::Viewer).await?, site.program(Role::Admin).await?);
    let of_low =
        post(&high, json!({"name": "load", "username": "viewer", "days": 2})).await?.json();
    let secret = of_low["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        site.get(&Sender::Token(secret.clone()), "/api/v2/dags").await?.status,
        StatusCode::OK
    );
    let seen = site.get(&low, tokens).await?;
    assert!(!seen.text().contains("dashboard") && !seen.text().contains(&secret));
    let names = |of: &Value| -> Vec<String> {
        of["tokens"].as_array().unwrap().iter().map(|it| it["name"].to_string()).collect()
    };
    assert_eq!(names(&seen.json()), ["\"load\"", "\"test\""]);
    let asked = site.get(&high, &format!("{tokens}?username=viewer")).await?.json();
    assert_eq!(names(&asked), ["\"load\"", "\"test\""]);
    assert!(names(&site.get(&high, tokens).await?.json()).len() > 3);
    for (sender, whose, status) in [
        (&low, "admin", StatusCode::FORBIDDEN),
        (&low, "nobody", StatusCode::FORBIDDEN),
        (&high, "nobody", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let asked = site.get(sender, &format!("{tokens}?username={whose}")).await?;
        assert_eq!(asked.status, status, "{whose}: {}", asked.text());
        let made = post(sender, json!({"name": "x", "username": whose})).await?;
        assert_eq!(made.status, status, "{whose}: {}", made.text());
    }
    let one = format!("{tokens}/{}", row.token_id);
    assert_eq!(answer(&site, &low, &Method::DELETE, &one).await?.status, StatusCode::NOT_FOUND);
    let load = format!("{tokens}/{}", of_low["token_id"].as_str().unwrap());
    assert_eq!(answer(&site, &high, &Method::DELETE, &load).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(answer(&site, &high, &Method::DELETE, &load).await?.status, StatusCode::NOT_FOUND);

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

    // A program ends its own token, and no other; a browser has none.
    let (first, second) = (site.program(Role::Viewer).await?, site.program(Role::Viewer).await?);
    let end = async |sender: &Sender| answer(&site, sender, &Method::DELETE, "/auth/token").await;
    assert_eq!(end(&first).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(end(&first).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get(&first, "/api/v2/dags").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get(&second, "/api/v2/dags").await?.status, StatusCode::OK);
    assert_eq!(end(&viewer).await?.status, StatusCode::CONFLICT);
    let log = site.get(&admin, "/api/v2/eventLogs?event=delete_token&owner=viewer").await?.json();
    assert_eq!(log["total_entries"], 1, "{log}");
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
