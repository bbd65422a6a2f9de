//! The REST API's answers, in Airflow's shapes; the snapshots are the contract.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use serde_json::{Value, json};
use subak_server::{App, Requests, router};
use subak_store::access::Role;
use subak_testkit::{peek, poke};

use super::site::{Answer, Sender, Site, request};
use super::steady;

/// Status and body, as a snapshot shows them.
pub(super) fn shown(answer: &Answer) -> Value {
    json!({ "status": answer.status.as_u16(), "body": steady::json(answer.json()) })
}

macro_rules! check {
    ($name:literal, $answer:expr) => {
        insta::assert_json_snapshot!($name, $crate::surface::answers::shown(&$answer));
    };
}
pub(super) use check;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_ask_for_version_and_health_and_a_token() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let stranger = Sender::Stranger;
    check!("version", site.get(&stranger, "/api/v2/version").await?);
    // The loops go round once they have begun.
    site.world.beating().await?;
    check!("health", site.get(&stranger, "/api/v2/monitor/health").await?);

    let password = secrecy::SecretString::from("correct horse battery");
    site.world.store.user_create("ana", Some(&password), Role::User).await?;
    let given = json!({"username": "ana", "password": "correct horse battery"});
    let made = site.json(&stranger, Method::POST, "/auth/token", &given).await?;
    assert_eq!(made.status, StatusCode::CREATED);
    let keys: Vec<String> = made.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["access_token"]);
    let token = Sender::Token(made.json()["access_token"].as_str().unwrap().to_owned());
    assert_eq!(site.get(&token, "/api/v2/dags").await?.status, StatusCode::OK);

    let named = json!({
        "username": "ana", "password": "correct horse battery", "name": "laptop", "days": 30,
    });
    let made = site.json(&stranger, Method::POST, "/auth/token", &named).await?;
    assert_eq!(made.status, StatusCode::CREATED);
    let tokens = site.world.store.api_token_list(None).await?;
    let lives = tokens.iter().map(|it| {
        let life = it.expires_at.map(|at| (at - it.created_at).num_days());
        (it.name.as_str(), life)
    });
    assert_eq!(lives.collect::<Vec<_>>(), [("laptop", Some(30)), ("auth/token", Some(1))]);
    for (field, value) in [("days", json!(0)), ("days", json!(9_999)), ("name", json!(" "))] {
        let mut odd = given.clone();
        odd[field] = value;
        let refused = site.json(&stranger, Method::POST, "/auth/token", &odd).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
        assert_eq!(refused.json()["detail"][0]["loc"][1], field);
    }

    // Nobody is to believe that the token can do less.
    let mut scoped = given.clone();
    scoped["scope"] = json!("viewer");
    let refused = site.json(&stranger, Method::POST, "/auth/token", &scoped).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("unknown field `scope`"), "{}", refused.text());

    let wrong = json!({"username": "ana", "password": "guess"});
    check!("token-wrong", site.json(&stranger, Method::POST, "/auth/token", &wrong).await?);
    let half = json!({"username": "ana"});
    check!("token-half", site.json(&stranger, Method::POST, "/auth/token", &half).await?);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_read_has_no_beat_and_a_silent_database_is_unhealthy()
-> anyhow::Result<()> {
    let site = Site::new().await?;
    site.world.beating().await?;
    let health = async || -> anyhow::Result<Value> {
        Ok(site.get(&Sender::Stranger, "/api/v2/monitor/health").await?.json())
    };
    let place = tempfile::tempdir()?;
    let files = place.path().join("dags");
    std::fs::create_dir(&files)?;
    let mut folder = subak_server::Folder::new(site.world.engine.clone(), files.clone());
    folder.look().await?;
    let first = health().await?["dag_processor"].clone();
    assert_eq!(first["status"], "healthy");
    folder.look().await?;
    let second = health().await?["dag_processor"].clone();
    let beat = |it: &Value| -> chrono::DateTime<chrono::Utc> {
        it["latest_dag_processor_heartbeat"].as_str().unwrap().parse().unwrap()
    };
    assert!(beat(&second) > beat(&first), "{first} {second}");
    // People see it on the first page.
    let viewer = site.browser(Role::Viewer).await?;
    let home = site.get(&viewer, "/").await?.text();
    assert!(home.contains("all parse · the folder is watched, read <time "), "{home}");
    std::fs::remove_dir(&files)?;
    folder.look().await.unwrap_err();
    assert_eq!(health().await?["dag_processor"], second);

    // The timers are stuck, and the database answers: health is progress, not a connection.
    let world = &site.world;
    let (store, engine) = (world.store.clone(), world.engine.clone());
    let app = App::new(store, engine, Requests::default(), false, world.stop.child_token());
    let blocked = poke::block_timers(&world.store).await?;
    world.engine.timers_wake();
    let stuck = async || anyhow::Ok(peek::waiting_for_locks(&world.store).await? > 0);
    world.until("the timers to be stuck", stuck).await?;
    let last = world.engine.last_beat();
    let at = async |secs: i64| {
        let told = router::health_at(&app, last.unwrap() + TimeDelta::seconds(secs)).await;
        ["metadatabase", "scheduler", "triggerer"].map(|part| told[part]["status"].clone())
    };
    assert_eq!(at(29).await, ["healthy", "healthy", "healthy"]);
    assert_eq!(at(30).await, ["healthy", "unhealthy", "unhealthy"]);
    blocked.rollback().await?;
    world.until("the timers to go round", async || Ok(world.engine.last_beat() > last)).await?;
    assert_eq!(at(30).await, ["healthy", "healthy", "healthy"]);

    // Nobody is given a connection any more; that all come back is not waited for.
    drop(site.world.store.pool().close());
    let silent = health().await?;
    for part in ["metadatabase", "scheduler", "triggerer", "dag_processor"] {
        assert_eq!(silent[part]["status"], "unhealthy", "{silent}");
    }
    site.world.kill().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dags() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let op = site.program(Role::Op).await?;
    check!("dags", site.get(&op, "/api/v2/dags").await?);
    check!("dags-one", site.get(&op, "/api/v2/dags?limit=1&offset=1&order_by=-dag_id").await?);
    check!("dags-of-tag", site.get(&op, "/api/v2/dags?tags=retail&limit=1").await?);
    check!("dag", site.get(&op, "/api/v2/dags/shop").await?);
    let details = site.get(&op, "/api/v2/dags/shop/details").await?;
    let written = details.text();
    let at = |param: &str| written.find(&format!("\"{param}\":{{")).unwrap();
    assert!(at("input") < at("level") && at("most") < at("dry"), "as in the file: {written}");
    check!("dag-details", details);
    check!("dag-source", site.get(&op, "/api/v2/dagSources/idle").await?);
    check!("dag-not-found", site.get(&op, "/api/v2/dags/none").await?);
    check!("dags-bad-order", site.get(&op, "/api/v2/dags?order_by=owner").await?);
    check!("dags-bad-limit", site.get(&op, "/api/v2/dags?limit=many").await?);
    check!("versions", site.get(&op, "/api/v2/dags/shop/dagVersions").await?);
    check!("version-not-found", site.get(&op, "/api/v2/dags/shop/dagVersions/2").await?);
    site.world.dags("{dag_id: idle, tasks: {rest: {operator: noop, retries: 2}}}").await?;
    check!("version-diff", site.get(&op, "/api/v2/dags/idle/dagVersions/1/diff/2").await?);
    check!("import-errors", site.get(&op, "/api/v2/importErrors").await?);
    let paused = json!({"is_paused": true});
    let patched = site.json(&op, Method::PATCH, "/api/v2/dags/idle", &paused).await?;
    assert_eq!(patched.json()["is_paused"], true);
    let wrong = json!({"paused": true});
    check!("dag-bad-patch", site.json(&op, Method::PATCH, "/api/v2/dags/idle", &wrong).await?);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let user = site.program(Role::User).await?;
    let runs = "/api/v2/dags/shop/dagRuns";
    check!("runs", site.get(&user, runs).await?);
    check!("run", site.get(&user, &format!("{runs}/good")).await?);
    check!("run-not-found", site.get(&user, &format!("{runs}/none")).await?);
    check!("runs-bad-state", site.get(&user, &format!("{runs}?state=done")).await?);

    let post = async |body: &Value| site.json(&user, Method::POST, runs, body).await;
    let given = json!({
        "dag_run_id": "asked", "logical_date": "2026-11-01T00:00:00Z", "conf": {"most": 3},
        "note": "by hand",
    });
    check!("run-triggered", post(&given).await?);
    check!("run-exists", post(&given).await?);
    check!("run-bad-conf", post(&json!({"logical_date": null, "conf": {"most": 0}})).await?);
    check!("run-unknown-field", post(&json!({"logical_date": null, "when": "now"})).await?);
    let long = post(&json!({"logical_date": null, "note": "x".repeat(1_001)})).await?;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", long.text());
    assert_eq!(long.json()["detail"][0]["loc"], json!(["body", "note"]));
    let bad_date = json!({"logical_date": "yesterday"});
    check!("run-bad-date", post(&bad_date).await?);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_mark_note_and_delete() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let user = site.program(Role::User).await?;
    let run = "/api/v2/dags/shop/dagRuns/bad";
    let load = format!("{run}/taskInstances/load");
    let patch = async |path: &str, body: Value| site.json(&user, Method::PATCH, path, &body).await;

    let body = json!({"new_state": "success", "include_downstream": true});
    let would = patch(&format!("{load}/dry_run"), body).await?.json();
    let states: Vec<&Value> =
        would["task_instances"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["failed", "upstream_failed"]);
    // What is refused for its note has marked, failed and cleared nothing.
    let long = "x".repeat(1_001);
    let (mark, fail) =
        (json!({"new_state": "success", "note": long}), json!({"state": "success", "note": long}));
    let clear = json!({"dry_run": false, "note": long});
    for refused in [
        patch(&load, mark).await?,
        patch(run, fail).await?,
        site.json(&user, Method::POST, &format!("{run}/clear"), &clear).await?,
    ] {
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
        assert_eq!(refused.json()["detail"][0]["loc"], json!(["body", "note"]));
        assert_eq!(site.get(&user, run).await?.json()["state"], "failed");
        assert_eq!(site.get(&user, &load).await?.json()["state"], "failed");
    }

    let body = json!({"new_state": "success", "note": "the disk was full"});
    check!("instance-marked", patch(&load, body).await?);
    // What had failed for want of it runs.
    let key = site.world.store.run_get("shop", "bad").await?.unwrap().run_key;
    assert_eq!(site.world.ended(key).await?, "success");
    assert_eq!(site.get(&user, &load).await?.json()["note"], "the disk was full");
    let masked = json!({"new_state": "failed", "note": "twice"});
    let path = format!("{load}?update_mask=note");
    assert_eq!(patch(&path, masked).await?.json()["task_instances"][0]["state"], "success");
    check!("instance-bad-mark", patch(&load, json!({"new_state": "running"})).await?);
    let other_runs = json!({"new_state": "failed", "include_past": true});
    check!("instance-no-date", patch(&load, other_runs).await?);

    let failed = patch(run, json!({"state": "failed"})).await?;
    assert_eq!((failed.status, &failed.json()["state"]), (StatusCode::OK, &json!("failed")));
    let marked = patch(run, json!({"state": "success", "note": "in the end"})).await?;
    assert_eq!(marked.json()["state"], "success");
    let cleared = json!({"dag_run_id": "bad", "task_ids": ["load"], "include_downstream": true,
        "only_failed": false, "dry_run": true});
    let cleared = site.json(&user, Method::POST, "/api/v2/dags/shop/clearTaskInstances", &cleared);
    assert_eq!(cleared.await?.json()["total_entries"], 2);
    let gone = site.json(&user, Method::DELETE, run, &json!({})).await?;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(site.get(&user, run).await?.status, StatusCode::NOT_FOUND);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_clears_and_what_is_left_out_stays() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let op = site.program(Role::Op).await?;
    let runs = "/api/v2/dags/shop/dagRuns/good";
    let pool = json!({"name": "narrow", "slots": 2, "description": "a door"});
    site.json(&op, Method::POST, "/api/v2/pools", &pool).await?;
    let variable = json!({"key": "region", "value": "eu", "description": "where"});
    site.json(&op, Method::POST, "/api/v2/variables", &variable).await?;
    let instance = format!("{runs}/taskInstances/load");
    site.json(&op, Method::PATCH, &instance, &json!({"note": "seen to"})).await?;
    // Path, field, the rest of a body, what stands there, and what null makes of it.
    for (path, field, rest, known, cleared) in [
        (runs, "note", json!({}), "a good day", Value::Null),
        (instance.as_str(), "note", json!({}), "seen to", Value::Null),
        ("/api/v2/pools/narrow", "description", json!({"slots": 3}), "a door", json!("")),
        (
            "/api/v2/variables/region",
            "description",
            json!({"key": "region", "value": "us"}),
            "where",
            Value::Null,
        ),
    ] {
        let mut null = rest.clone();
        null[field] = Value::Null;
        // Left out, and not named: it stays.
        for (query, body, expected) in [
            (format!("?update_mask={field}"), &rest, json!(known)),
            (String::new(), &rest, json!(known)),
            (format!("?update_mask={field}"), &null, cleared),
        ] {
            let path = format!("{path}{query}");
            let answer = site.json(&op, Method::PATCH, &path, body).await?;
            assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.text());
            let shown = site.get(&op, path.split('?').next().unwrap()).await?.json();
            assert_eq!(shown[field], expected, "{path} {body}");
        }
    }
    let limited = "{dag_id: limited, tasks: {a: {operator: noop, max_active_tis_per_dag: 1}}}";
    site.world.dags(limited).await?;
    for (dag, has) in [("limited", true), ("shop", false)] {
        let dag = site.get(&op, &format!("/api/v2/dags/{dag}")).await?.json();
        assert_eq!(dag["has_task_concurrency_limits"], has, "{dag}");
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let op = site.program(Role::Op).await?;
    let all = "/api/v2/variables";
    let post = async |body: Value| site.json(&op, Method::POST, all, &body).await;
    check!("variable-made", post(json!({"key": "region", "value": "eu"})).await?);
    check!("variable-exists", post(json!({"key": "region", "value": "us"})).await?);
    let secret = json!({"key": "shop_api_key", "value": "hunter2", "description": "of the shop"});
    assert_eq!(post(secret).await?.json()["value"], "***");
    let of_json = json!({"key": "limits", "value": {"rows": 3}});
    assert_eq!(post(of_json).await?.json()["value"], "{\"rows\":3}");
    let listed = site.get(&op, &format!("{all}?order_by=-key&limit=2")).await?;
    assert!(!listed.text().contains("hunter2"));
    check!("variables", listed);
    let one = format!("{all}/region");
    let body = json!({"key": "region", "value": "us", "description": "where"});
    assert_eq!(site.json(&op, Method::PATCH, &one, &body).await?.json()["value"], "us");
    check!("variable", site.get(&op, &one).await?);
    let gone = site.json(&op, Method::DELETE, &one, &json!({})).await?;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    check!("variable-not-found", site.get(&op, &one).await?);
    let large = json!({"key": "a", "value": "x".repeat(300_000)});
    check!("variable-too-large", post(large).await?);
    let loc = |refused: &Answer| refused.json()["detail"][0]["loc"].clone();
    let unnamed = post(json!({"key": "a\tb", "value": "x"})).await?;
    assert_eq!(loc(&unnamed), json!(["body", "key"]), "{}", unnamed.text());
    let misspelt = json!({"connection_id": "db", "conn_type": "postgres", "host": "db",
        "extra": "{\"ssl_mode\": \"require\"}"});
    let refused = site.json(&op, Method::POST, "/api/v2/connections", &misspelt).await?;
    assert_eq!(loc(&refused), json!(["body", "extra"]), "{}", refused.text());
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_paged_without_a_gap() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.program(Role::Viewer).await?;
    for number in 0..5 {
        site.run("idle", &format!("run-{number}")).await?;
    }
    let mut seen = Vec::new();
    for offset in [0, 2, 4, 6] {
        let path =
            format!("/api/v2/dags/idle/dagRuns?limit=2&offset={offset}&order_by=-dag_run_id");
        let page = site.get(&viewer, &path).await?.json();
        assert_eq!(page["total_entries"], 5);
        let ids = page["dag_runs"].as_array().unwrap().iter().map(|run| run["dag_run_id"].clone());
        seen.extend(ids);
    }
    assert_eq!(seen, ["run-4", "run-3", "run-2", "run-1", "run-0"]);
    let all = site.get(&viewer, "/api/v2/dags/~/dagRuns?state=failed&state=success").await?.json();
    assert_eq!(all["total_entries"], 7);
    let of_type =
        async |of: &str| site.get(&viewer, &format!("/api/v2/dags/~/dagRuns?run_type={of}")).await;
    assert_eq!(of_type("manual").await?.json()["total_entries"], 7);
    assert_eq!(of_type("asset_triggered").await?.json()["total_entries"], 0);
    assert_eq!(of_type("x").await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    // What is wrong in a body is told of its fields.
    for (field, value) in
        [("page_limit", json!(-1)), ("page_offset", json!(-1)), ("order_by", json!("nothing"))]
    {
        let mut body = json!({});
        body[field] = value;
        let path = "/api/v2/dags/~/dagRuns/list";
        let refused = site.json(&viewer, Method::POST, path, &body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.json()["detail"][0]["loc"], json!(["body", field]));
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_of_a_mapped_task_is_explained_by_its_index() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let many = "dag_id: many
tasks: {each: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}]}}}";
    site.world.dags(many).await?;
    let run = site.world.trigger("many").await?;
    site.world.live(run, &["each queued", "each queued"]).await?;
    let viewer = site.program(Role::Viewer).await?;
    let run_id = peek::text(&site.world.store, "SELECT run_id FROM run").await?.unwrap();
    let known = run_id.clone();
    let run_id = run_id.replace('+', "%2B").replace(':', "%3A");
    let path = format!("/api/v2/dags/many/dagRuns/{run_id}/taskInstances/each/explain?map_index=1");
    let told = site.get(&viewer, &path).await?;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!((&told["map_index"], &told["state"]), (&json!(1), &json!("queued")), "{told}");
    let summary = told["summary"].as_str().unwrap();
    assert!(summary.contains("no worker serves queue `default`"), "{summary}");
    assert!(summary.contains("; 1 waits before it"), "{summary}");
    // The page of the whole task says why, too; there it is noted and marked.
    let user = site.browser(Role::User).await?;
    let page = format!("/dags/many/runs/{run_id}/tasks/each");
    super::manage::post(&site, &user, &format!("{page}/note"), "note=of+all").await?;
    let shown = site.get(&user, &page).await?.text();
    for part in
        ["/tasks/each/mark\"", "id=\"map-why\"><h2>Why</h2>", "<p>of all</p>", "<h2>Settings</h2>"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Of an index that it has not the index is told.
    let by_api = format!("/api/v2/dags/many/dagRuns/{run_id}/taskInstances/each");
    for path in [format!("{page}?map_index=7"), format!("{by_api}/7")] {
        let none = site.get(&user, &path).await?;
        assert_eq!(none.status, 404, "{path}");
        assert!(none.text().contains("the run has no task instance `each[7]`"), "{path}");
    }
    // A note on the whole task is one on each of its instances, too.
    let program = site.program(Role::User).await?;
    for (note, expected) in [(json!("seen"), json!("seen")), (Value::Null, Value::Null)] {
        let whole = format!("{by_api}?update_mask=note");
        let noted = site.json(&program, Method::PATCH, &whole, &json!({"note": note})).await?;
        let noted = noted.json()["task_instances"].clone();
        assert_eq!((&noted[0]["note"], &noted[1]["note"]), (&expected, &expected), "{noted}");
        let shown = site.get(&user, &page).await?.text();
        assert!(!shown.contains("<p>of all</p>"), "{shown}");
        assert_eq!(shown.contains("<p>seen</p>"), expected.is_string(), "{shown}");
    }
    let absent = format!("{by_api}/7");
    let none = site.json(&program, Method::PATCH, &absent, &json!({"note": "lost"})).await?;
    assert_eq!(none.status, 404, "{}", none.text());
    // What a clear would pass over in silence is refused.
    let of_run = |more: Value| {
        let mut body = json!({"dag_run_id": known});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
    for (body, status, why) in [
        (of_run(json!({"task_ids": [["each", 7]]})), 404, "each[7]"),
        (of_run(json!({"task_ids": [["each"]]})), 422, "name each task as"),
        (of_run(json!({"task_ids": []})), 422, "names no task"),
        (of_run(json!({"start_date": late})), 422, "leave one of them out"),
        (json!({"start_date": late, "end_date": early}), 422, "is before `start_date`"),
    ] {
        let path = "/api/v2/dags/many/clearTaskInstances";
        let refused = site.json(&program, Method::POST, path, &body).await?;
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
        assert!(refused.text().contains(why), "{body}: {}", refused.text());
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_instances_logs_and_xcoms() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.program(Role::Viewer).await?;
    let tasks = "/api/v2/dags/shop/dagRuns/bad/taskInstances";
    check!("instances", site.get(&viewer, tasks).await?);
    check!("instances-failed", site.get(&viewer, &format!("{tasks}?state=failed&limit=1")).await?);
    check!("instance", site.get(&viewer, &format!("{tasks}/extract")).await?);
    check!("instance-not-found", site.get(&viewer, &format!("{tasks}/none")).await?);
    check!("instances-bad-state", site.get(&viewer, &format!("{tasks}?state=done")).await?);
    check!("explain", site.get(&viewer, &format!("{tasks}/tell/explain")).await?);
    check!("explain-not-found", site.get(&viewer, &format!("{tasks}/none/explain")).await?);
    check!("log-1", site.get(&viewer, &format!("{tasks}/extract/logs/1")).await?);
    check!("log-2", site.get(&viewer, &format!("{tasks}/extract/logs/2")).await?);
    check!("log-bad-token", site.get(&viewer, &format!("{tasks}/extract/logs/1?token=x")).await?);
    check!("xcoms", site.get(&viewer, &format!("{tasks}/extract/xcomEntries")).await?);
    check!("xcom", site.get(&viewer, &format!("{tasks}/extract/xcomEntries/return_value")).await?);

    let log = format!("{tasks}/extract/logs/2");
    // It is searched in whichever case, answer by answer.
    let search = async |query: &str| site.get(&viewer, &format!("{log}/search?{query}")).await;
    let first = search("text=S&limit=1").await?.json();
    assert_eq!(first["hits"], json!([{"line": 1, "event": "opening sales.csv"}]));
    let token = first["continuation_token"].as_str().unwrap();
    let rest = search(&format!("text=S&token={token}")).await?.json();
    assert_eq!(rest, json!({"hits": [{"line": 2, "event": "3 rows"}], "continuation_token": null}));
    for wrong in ["text=%20", "text=s&token=x", "limit=3"] {
        assert_eq!(search(wrong).await?.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    // Whoever follows it learns where it goes on.
    // A try that there never was has none.
    for none in ["/9", "/0", "/-1", "/2?map_index=3", "/9/search?text=s"] {
        let missing = site.get(&viewer, &format!("{tasks}/extract/logs{none}")).await?;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{none}");
    }
    let live = site.get(&viewer, &format!("{log}?live=true")).await?.json();
    assert_eq!(live["content"].as_array().map(Vec::len), Some(2));
    let token = live["continuation_token"].as_str().unwrap();
    let rest = site.get(&viewer, &format!("{log}?live=true&token={token}")).await?.json();
    assert_eq!((&rest["content"], &rest["continuation_token"]), (&json!([]), &json!(token)));
    for (kind, text) in [
        ("text/plain", "opening sales.csv\n3 rows\n"),
        ("application/x-ndjson", "{\"event\":\"opening sales.csv\"}\n{\"event\":\"3 rows\"}\n"),
    ] {
        let asked = request(&viewer, &Method::GET, &log, &[("accept", kind)])?;
        let answer = Answer::read(site.send(asked).await?).await?;
        assert!(answer.header("content-type").starts_with(kind));
        assert_eq!(answer.text(), text);
        let live = format!("{log}?live=true");
        let live = request(&viewer, &Method::GET, &live, &[("accept", kind)])?;
        let live = Answer::read(site.send(live).await?).await?;
        assert_eq!(live.header("airflow-continuation-token"), token);
        // All of it at once says the same.
        let asked = request(
            &viewer,
            &Method::GET,
            &format!("{log}?full_content=true"),
            &[("accept", kind)],
        )?;
        let whole = Answer::read(site.send(asked).await?).await?;
        assert_eq!(whole.header("content-type"), answer.header("content-type"));
        assert_eq!(whole.text(), text);
    }
    let whole = site.get(&viewer, &format!("{log}?full_content=true")).await?;
    assert_eq!(whole.header("content-type"), "application/json");
    assert_eq!(whole.json(), site.get(&viewer, &log).await?.json());
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_that_are_served_are_those_that_are_documented() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    site.world.beating().await?;
    let viewer = site.program(Role::Viewer).await?;
    for path in ["/api/v2/dags/shop", "/api/v2/dags/absent", "/nowhere"] {
        site.get(&viewer, path).await?;
    }
    let text = site.get(&viewer, "/metrics").await?.text();
    // Two runs: in each the first task is tried twice, in one of them the third one fails.
    let dag = "method=\"GET\",route=\"/api/v2/dags/{dag_id}\"";
    for line in [
        "subak_tries_ended_total{state=\"success\"} 6".to_owned(),
        "subak_tries_ended_total{state=\"failed\"} 1".to_owned(),
        "subak_tries_ended_total{state=\"up_for_retry\"} 2".to_owned(),
        "subak_hand_over_wait_seconds_count 9".to_owned(),
        "subak_leases_lost_total 0".to_owned(),
        "subak_database_connections_most{pool=\"engine\"} 6".to_owned(),
        "subak_database_connections_most{pool=\"pages\"} 8".to_owned(),
        format!("subak_http_requests_total{{{dag},status=\"2xx\"}} 1"),
        format!("subak_http_requests_total{{{dag},status=\"4xx\"}} 1"),
        format!("subak_http_request_duration_seconds_count{{{dag}}} 2"),
        "subak_http_requests_total{method=\"\",route=\"\",status=\"4xx\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }
    let served: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let document = include_str!("../../../../docs/metrics.md");
    let first_column = |line: &'static str| line.strip_prefix("| `")?.split('|').next();
    let documented: BTreeSet<&str> = document
        .lines()
        .filter_map(first_column)
        .flat_map(|names| names.split([',', ' ', '`']).filter(|name| !name.is_empty()))
        .collect();
    assert!(documented.len() > 10, "{documented:?}");
    assert_eq!(served, documented);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_built_says_so_by_its_name() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let viewer = site.program(Role::Viewer).await?;
    let all = router::not_built();
    assert!(all.iter().any(|(_, _, name)| *name == "get_plugins"), "{all:?}");
    for (method, path, name) in all {
        // Its parameters, whatever they are, are not what is wrong.
        let address = format!("{}?limit=50&before=x", super::doors::address(path));
        let asked = request(&viewer, &method, &address, &[])?;
        let answer = Answer::read(site.send(asked).await?).await?;
        let what = format!("{method} {path}: {}", answer.text());
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{what}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        let problem = answer.json();
        assert_eq!(problem["type"], "/docs/errors/not-built", "{what}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{what}");
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_and_where() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let viewer = site.program(Role::Viewer).await?;
    let runs = "/api/v2/dags/shop/dagRuns";
    check!("error-sign-in", site.get(&Sender::Stranger, runs).await?);
    check!("error-role", site.json(&viewer, Method::POST, runs, &json!({})).await?);
    check!("error-no-route", site.get(&viewer, "/api/v2/nothing").await?);
    let put = site.json(&viewer, Method::PUT, runs, &json!({})).await?;
    check!("error-method", put);
    let user = site.program(Role::User).await?;
    let no_json = request(&user, &Method::POST, runs, &[("content-type", "text/plain")])?;
    check!("error-no-json", Answer::read(site.send(no_json).await?).await?);
    let mut broken = request(&user, &Method::POST, runs, &[("content-type", "application/json")])?;
    *broken.body_mut() = "{\"conf\": [}".into();
    check!("error-broken-json", Answer::read(site.send(broken).await?).await?);
    // A list would be the fields, one after the other.
    let listed = site.json(&user, Method::POST, runs, &json!(["seq", null])).await?;
    assert_eq!(listed.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", listed.text());
    let told = listed.json()["detail"][0].take();
    assert_eq!(told["loc"], json!(["body"]), "{told}");
    assert_eq!(told["type"], "model_attributes_type", "{told}");
    let mut large = request(&user, &Method::POST, runs, &[("content-type", "application/json")])?;
    *large.body_mut() = vec![b' '; (4 << 20) + 1].into();
    check!("error-too-large", Answer::read(site.send(large).await?).await?);
    site.world.close().await
}
