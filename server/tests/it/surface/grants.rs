//! Who may do something with single DAGs: every route of the router, for a DAG of theirs and a foreign one.

use axum::http::{Method, StatusCode};
use serde_json::json;
use subak_server::router::{Access, route_table};
use subak_store::access::{GrantOn, Role};
use subak_testkit::peek;

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

/// What a request is answered: of what is answered well the status alone, for it may be a stream.
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
        let list = site.get(&sender, "/api/v2/dags").await?.json();
        assert_eq!(list["total_entries"], 1, "{list}");
        assert_eq!(list["dags"][0]["dag_id"], "shop");
        let home = site.get(&sender, "/dags").await?;
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
            let refused = site.ask(&viewer, &method, &path).await?;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text());
            let hidden = site.ask(&foreign, &method, &path).await?;
            assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{path}: {}", hidden.text());
        }
    }
    site.world.close().await
}
