//! Who did what is on record, without secrets, and stays so.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_store::access::Role;
use subak_testkit::peek;

use super::manage::post;
use super::site::{Sender, Site, request};

/// The event logs that a query finds, each with its `extra` read.
pub(super) async fn events(
    site: &Site,
    query: &str,
) -> anyhow::Result<Vec<(String, Value, Value)>> {
    let op = site.program(Role::Op).await?;
    let answer = site.get(&op, &format!("/api/v2/eventLogs{query}")).await?.json();
    let all = answer["event_logs"].as_array().expect("a list").iter();
    let each = |it: &Value| {
        let extra = serde_json::from_str(it["extra"].as_str().unwrap()).unwrap();
        (it["event"].as_str().unwrap().to_owned(), it.clone(), extra)
    };
    Ok(all.map(each).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_is_on_record() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let op = site.program(Role::Op).await?;
    let pool = json!({"name": "narrow", "slots": 2});
    site.json(&op, Method::POST, "/api/v2/pools", &pool).await?;
    let wider = json!({"pool": "narrow", "slots": 5});
    site.json(&op, Method::PATCH, "/api/v2/pools/narrow", &wider).await?;
    site.json(&op, Method::PATCH, "/api/v2/dags/shop", &json!({"is_paused": true})).await?;
    let note = json!({"note": "looked at"});
    site.json(&op, Method::PATCH, "/api/v2/dags/shop/dagRuns/good", &note).await?;
    // Refused: nothing has changed.
    site.json(&op, Method::PATCH, "/api/v2/pools/none", &wider).await?;
    // Looked at only.
    site.get(&op, "/api/v2/pools/narrow").await?;

    let found = events(&site, "").await?;
    let names: Vec<&str> = found.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["post_pool", "patch_pool", "patch_dag", "patch_dag_run"]);
    let (_, record, extra) = &found[1];
    assert_eq!(record["owner"], "op");
    assert_eq!(extra["via"], "api");
    assert_eq!(
        (&extra["subject"], &found[0].2["subject"]),
        (&json!("pool narrow"), &extra["subject"])
    );
    assert_eq!(extra["before"]["slots"], 2);
    assert_eq!(extra["after"]["slots"], 5);
    assert_eq!(extra["request"], wider);
    assert_eq!(found[2].2["before"], json!({"is_paused": false}));
    assert_eq!(found[2].2["after"], json!({"is_paused": true}));
    assert_eq!(found[3].1["dag_id"], "shop");
    assert_eq!(found[3].1["run_id"], "good");
    assert_eq!(found[3].2["after"]["note"], "looked at");

    let of = async |query: &str| -> anyhow::Result<Vec<String>> {
        Ok(events(&site, query).await?.into_iter().map(|it| it.0).collect())
    };
    assert_eq!(of("?dag_id=shop&order_by=-when").await?, ["patch_dag_run", "patch_dag"]);
    assert_eq!(of("?included_events=post_pool&included_events=patch_dag").await?.len(), 2);
    assert_eq!(of("?excluded_events=post_pool&limit=1").await?, ["patch_pool"]);
    assert_eq!(of("?event_prefix_pattern=patch_&offset=2").await?, ["patch_dag_run"]);
    assert_eq!(of("?owner=nobody").await?, [""; 0]);
    assert_eq!(of("?before=2020-01-01T00:00:00Z").await?, [""; 0]);
    // As `airflowctl` and the client write instants; patterns in any case, and several of them.
    assert_eq!(of("?after=2020-01-01T00:00:00&before=2020-01-02T00:00:00%2B0000").await?, [""; 0]);
    let named = of("?after=2020-01-01&event_pattern=POST_P%7Cdag_run&order_by=-event").await?;
    assert_eq!(named, ["post_pool", "patch_dag_run"]);

    let id = found[0].1["event_log_id"].as_i64().unwrap();
    let one = site.get(&op, &format!("/api/v2/eventLogs/{id}")).await?;
    assert_eq!(one.json(), found[0].1);
    assert_eq!(site.get(&op, "/api/v2/eventLogs/999").await?.status, StatusCode::NOT_FOUND);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_things_were_is_on_record_wherever_they_were_changed() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let (op, browser) = (site.program(Role::Op).await?, site.browser(Role::Op).await?);
    let newest = async |event: &str| newest(&site, event).await;

    // Several at once, each by its name; what was refused is not among them.
    let bulk = |actions: Value| json!({ "actions": actions });
    let first = bulk(json!([{"action": "create", "entities": [
        {"name": "narrow", "slots": 2}, {"name": "wide", "slots": 7}]}]));
    site.json(&op, Method::PATCH, "/api/v2/pools", &first).await?;
    let (before, after) = newest("bulk_pools").await?;
    assert_eq!((before, &after["wide"]["slots"]), (json!({}), &json!(7)));
    let second = bulk(json!([
        {"action": "update", "entities": [{"name": "narrow", "slots": 3}, {"name": "none", "slots": 1}]},
        {"action": "delete", "entities": ["wide"]},
    ]));
    site.json(&op, Method::PATCH, "/api/v2/pools", &second).await?;
    let (before, after) = newest("bulk_pools").await?;
    let slots = |of: &Value| -> Vec<(String, i64)> {
        let each = |(name, it): (&String, &Value)| (name.clone(), it["slots"].as_i64().unwrap());
        of.as_object().unwrap().iter().map(each).collect()
    };
    assert_eq!(slots(&before), [("narrow".to_owned(), 2), ("wide".to_owned(), 7)]);
    assert_eq!(slots(&after), [("narrow".to_owned(), 3)]);
    for (kind, name, field) in
        [("variables", "key", "value"), ("connections", "connection_id", "password")]
    {
        let entity =
            json!({name: "api_token", "conn_type": "postgres", "host": "db", field: "hunter2"});
        let mut entity = entity.as_object().unwrap().clone();
        if kind == "variables" {
            entity.retain(|key, _| key == name || key == field);
        }
        let body = bulk(json!([{"action": "create", "entities": [entity]}]));
        let done = site.json(&op, Method::PATCH, &format!("/api/v2/{kind}"), &body).await?;
        assert_eq!(done.json()["create"]["success"], json!(["api_token"]), "{}", done.text());
        let (_, after) = newest(&format!("bulk_{kind}")).await?;
        assert_eq!(after["api_token"][field], "***", "{after}");
    }

    let runs = "/api/v2/dags/shop/dagRuns";
    let mark = json!({"new_state": "skipped"});
    let tell = format!("{runs}/bad/taskInstances/tell");
    site.json(&op, Method::PATCH, &tell, &mark).await?;
    let (before, after) = newest("patch_task_instance").await?;
    assert_eq!(before[0]["task_id"], "tell");
    assert_eq!(
        (&before[0]["state"], &after[0]["state"]),
        (&json!("upstream_failed"), &json!("skipped"))
    );
    post(&site, &browser, "/dags/shop/runs/bad/tasks/load/mark", "state=success").await?;
    let states = newest("patch_task_instance").await?;
    assert_eq!(states, (json!({"state": "failed"}), json!({"state": "success"})));
    let key = site.world.store.run_get("shop", "bad").await?.unwrap().run_key;
    site.world.ended(key).await?;
    post(&site, &browser, "/dags/shop/runs/bad/mark", "state=failed").await?;
    let (_, after) = newest("patch_dag_run").await?;
    assert_eq!(after, json!({"state": "failed"}));
    post(&site, &browser, "/dags/shop/runs/bad/delete", "").await?;
    let gone = newest("delete_dag_run").await?;
    assert_eq!(gone, (json!({"state": "failed"}), Value::Null));

    let clear =
        json!({"dag_run_id": "good", "task_ids": ["tell"], "only_failed": false, "dry_run": false});
    site.json(&op, Method::POST, "/api/v2/dags/shop/clearTaskInstances", &clear).await?;
    let (before, after) = newest("clear_task_instances").await?;
    let was =
        json!([{"dag_run_id": "good", "task_id": "tell", "map_index": -1, "state": "success"}]);
    assert_eq!((before, after), (was, json!({"cleared": 1})));
    let key = site.world.store.run_get("shop", "good").await?.unwrap().run_key;
    site.world.ended(key).await?;
    post(&site, &browser, "/dags/shop/runs/good/tasks/tell/clear", "").await?;
    assert_eq!(newest("clear_task_instances").await?.0, json!({"state": "success"}));
    site.world.ended(key).await?;
    let whole = json!({"dry_run": false});
    site.json(&op, Method::POST, &format!("{runs}/good/clear"), &whole).await?;
    assert_eq!(newest("clear_dag_run").await?.0["state"], "success");

    post(&site, &browser, "/dags/idle/pause", "is_paused=true").await?;
    let paused = newest("patch_dag").await?;
    assert_eq!(paused, (json!({"is_paused": false}), json!({"is_paused": true})));
    peek::meddle(&site.world.store, "UPDATE dag SET is_stale = true WHERE dag_id = 'idle'").await?;
    // Its page offers what the API does; whose file is there stays.
    for (dag, is_gone) in [("idle", true), ("shop", false)] {
        let page = site.get(&browser, &format!("/dags/{dag}")).await?.text();
        assert_eq!(page.contains(&format!("action=\"/dags/{dag}/delete\"")), is_gone, "{page}");
    }
    let kept = post(&site, &browser, "/dags/shop/delete", "").await?;
    assert_eq!(kept.status, StatusCode::CONFLICT, "{}", kept.text());
    let gone = site.json(&op, Method::DELETE, "/api/v2/dags/idle", &json!(null)).await?;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());
    assert_eq!(newest("delete_dag").await?.0["is_paused"], true);
    runs_and_notes(&site).await?;
    variables_and_people(&site).await?;
    site.world.close().await
}

/// The newest record of an event: before and after.
async fn newest(site: &Site, event: &str) -> anyhow::Result<(Value, Value)> {
    let found = events(site, &format!("?event={event}&order_by=-when&limit=1")).await?;
    let (_, _, extra) = found.into_iter().next().unwrap();
    Ok((extra["before"].clone(), extra["after"].clone()))
}

/// Sends a form, and returns what is on record of it: before and after.
async fn formed(
    site: &Site,
    sender: &Sender,
    path: &str,
    form: &str,
    event: &str,
) -> anyhow::Result<(Value, Value)> {
    let done = post(site, sender, path, form).await?;
    let is_done = done.status.is_success() || done.status.is_redirection();
    assert!(is_done, "{path}: {} {}", done.status, done.text());
    newest(site, event).await
}

/// Of a run that is made its id, of notes both, of backfills how they stood; of a dry run nothing.
async fn runs_and_notes(site: &Site) -> anyhow::Result<()> {
    let (op, browser) = (site.program(Role::Op).await?, site.browser(Role::Op).await?);
    let runs = "/api/v2/dags/shop/dagRuns";
    let made = site.json(&op, Method::POST, runs, &json!({})).await?.json();
    let recorded = async || -> anyhow::Result<Value> {
        let found = events(site, "?event=trigger_dag_run&order_by=-when&limit=1").await?;
        assert_eq!(found[0].2["after"], json!({"dag_run_id": found[0].1["run_id"]}));
        Ok(found[0].1["run_id"].clone())
    };
    assert_eq!(recorded().await?, made["dag_run_id"]);
    let sent = post(site, &browser, "/dags/shop/runs", "").await?;
    let id = recorded().await?.as_str().unwrap().to_owned();
    assert_ne!(id, made["dag_run_id"].as_str().unwrap());
    assert_eq!(sent.header("location"), subak_web::url::run("shop", &id));

    let tell = "/dags/shop/runs/good/tasks/tell/note";
    let noted = formed(site, &browser, tell, "note=seen", "patch_task_instance").await?;
    assert_eq!(noted, (json!({"note": null}), json!({"note": "seen"})));
    let tell = format!("{runs}/good/taskInstances/tell");
    site.json(&op, Method::PATCH, &tell, &json!({"note": "again"})).await?;
    let (before, after) = newest(site, "patch_task_instance").await?;
    assert_eq!((&before[0]["note"], &after[0]["note"]), (&json!("seen"), &json!("again")));

    let daily = "{dag_id: daily, schedule: '0 0 * * *', tasks: {rest: {operator: noop}}}";
    site.world.dags(daily).await?;
    let backfill = json!({"dag_id": "daily", "from_date": "2020-03-01T00:00:00Z",
                          "to_date": "2020-03-30T00:00:00Z", "max_active_runs": 1});
    let made = site.json(&op, Method::POST, "/api/v2/backfills", &backfill).await?;
    let path = format!("/api/v2/backfills/{}", made.json()["id"]);
    site.json(&op, Method::PUT, &format!("{path}/pause"), &json!(null)).await?;
    site.json(&op, Method::PUT, &format!("{path}/cancel"), &json!(null)).await?;
    let (before, after) = newest(site, "cancel_backfill").await?;
    assert_eq!((&before["is_paused"], &before["completed_at"]), (&json!(true), &Value::Null));
    assert!(after["completed_at"].is_string(), "{after}");

    let count = async || anyhow::Ok(events(site, "?event=clear_dag_run").await?.len());
    let before = count().await?;
    let dry = site.json(&op, Method::POST, &format!("{runs}/good/clear"), &json!({})).await?;
    assert_eq!(dry.status, StatusCode::OK, "{}", dry.text());
    assert_eq!(count().await?, before);
    Ok(())
}

/// Of a variable whether its value has changed, never which; of people what they may, and might before.
async fn variables_and_people(site: &Site) -> anyhow::Result<()> {
    let (op, admin) = (site.browser(Role::Op).await?, site.browser(Role::Admin).await?);
    site.browser(Role::Viewer).await?;
    let variable = async |path: &str, form: &str, event: &str| {
        let (before, after) = formed(site, &op, path, form, event).await?;
        anyhow::Ok((before["value"].clone(), after["value"].clone()))
    };
    let (hidden, changed) = (json!("***"), json!("*** (changed)"));
    let made = variable("/variables", "key=region&value=eu", "post_variable").await?;
    assert_eq!(made, (Value::Null, hidden.clone()));
    for (path, form, after) in [
        ("/variables/region", "value=us&description=where", &changed),
        ("/variables/region", "value=us&description=there", &hidden),
        // Its name tells that it is secret.
        ("/variables/api_token", "value=another", &changed),
        ("/variables/api_token", "value=&description=of+the+shop", &hidden),
    ] {
        let told = variable(path, form, "patch_variable").await?;
        assert_eq!(told, (hidden.clone(), after.clone()), "{path} {form}");
    }
    let gone = formed(site, &op, "/variables/region/delete", "", "delete_variable").await?;
    assert_eq!((&gone.0["description"], gone.1), (&json!("there"), Value::Null));

    let on = |role: &str| json!({"role": role, "dag": "shop", "tag": null});
    let (user, of) = ("/users/viewer", "kind=dag&name=shop");
    for (action, role, event, expected) in [
        ("grant", "&role=user", "post_grant", (Value::Null, on("user"))),
        ("grant", "&role=op", "post_grant", (on("user"), on("op"))),
        ("revoke", "", "delete_grant", (on("op"), Value::Null)),
    ] {
        let (path, form) = (format!("{user}/{action}"), format!("{of}{role}"));
        assert_eq!(formed(site, &admin, &path, &form, event).await?, expected, "{action}");
    }
    let disabled = formed(site, &admin, &format!("{user}/disable"), "", "disable_user").await?;
    let before = json!({"role": "viewer", "is_disabled": false});
    assert_eq!(disabled, (before, json!({"role": "viewer", "is_disabled": true})));
    let token = formed(site, &op, "/tokens", "name=ci&days=3", "post_token").await?;
    let ci = json!({"username": "op", "name": "ci", "scope": null, "days": 3});
    assert_eq!(token, (Value::Null, ci));
    let user = formed(site, &admin, "/users", "username=ola&role=viewer", "post_user").await?;
    assert_eq!(user, (Value::Null, json!({"username": "ola", "role": "viewer"})));
    for (event, subject) in
        [("post_variable", "variable region"), ("post_token", "user op"), ("post_user", "user ola")]
    {
        let found = events(site, &format!("?event={event}&order_by=-when&limit=1")).await?;
        assert_eq!(found[0].2["subject"], subject, "{event}");
    }
    let drained = formed(site, &op, "/workers/worker/drain", "", "drain_worker").await?;
    assert_eq!(drained, (json!({"draining": false}), json!({"draining": true})));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_on_record_with_their_user_and_no_secret_is() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let op = site.browser(Role::Op).await?;
    let mut trigger = request(&op, &Method::POST, "/dags/shop/runs", &[])?;
    let form = "conf=%7B%22most%22%3A3%2C%22api_token%22%3A%22hunter2%22%7D&note=by+hand";
    trigger.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
    *trigger.body_mut() = form.into();
    let done = site.send(trigger).await?;
    assert!(done.status().is_redirection() || done.status().is_client_error());
    let connection = json!({"connection_id": "db", "conn_type": "postgres", "host": "db",
                            "password": "hunter2", "extra": "{\"sslkey\": \"hunter2\"}"});
    let program = site.program(Role::Op).await?;
    site.json(&program, Method::POST, "/api/v2/connections", &connection).await?;
    let variable = json!({"key": "api_token", "value": "hunter2"});
    site.json(&program, Method::POST, "/api/v2/variables", &variable).await?;
    site.json(&program, Method::DELETE, "/api/v2/variables/api_token", &json!(null)).await?;

    let rows = peek::audit(&site.world.store).await?;
    assert!(rows.iter().any(|(event, _)| event == "post_connection"), "{rows:?}");
    assert!(rows.iter().any(|(event, _)| event == "delete_variable"), "{rows:?}");
    for (event, text) in &rows {
        assert!(!text.contains("hunter2"), "{event}: {text}");
    }
    let page = site.get(&op, "/audit?event=connection").await?;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("post_connection") && !page.text().contains("delete_variable"));
    let viewer = site.browser(Role::Viewer).await?;
    assert_eq!(site.get(&viewer, "/audit").await?.status, StatusCode::FORBIDDEN);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_are_on_record_whoever_failed_too() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let password = secrecy::SecretString::from("correct horse battery");
    site.world.store.user_create("ana", Some(&password), Role::User).await?;
    let stranger = Sender::Stranger;
    for (name, secret) in [("ana", "guess"), ("hunter2", "x"), ("ana", "correct horse battery")] {
        let given = json!({"username": name, "password": secret});
        site.json(&stranger, Method::POST, "/auth/token", &given).await?;
    }
    let found = events(&site, "").await?;
    let told: Vec<(&str, &str)> =
        found.iter().map(|it| (it.0.as_str(), it.1["owner"].as_str().unwrap())).collect();
    // Who does not exist may have typed a password into the wrong field.
    assert_eq!(
        told,
        [("sign_in_failed", "ana"), ("sign_in_failed", "(unknown)"), ("sign_in", "ana")]
    );
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_keeps_its_records() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let op = site.program(Role::Op).await?;
    let pool = json!({"name": "narrow", "slots": 2});
    site.json(&op, Method::POST, "/api/v2/pools", &pool).await?;
    let store = &site.world.store;
    for sql in ["UPDATE audit SET username = 'eve'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = peek::meddle(store, sql).await.expect_err(sql);
        assert!(format!("{refused:#}").contains("audit log"), "{refused:#}");
    }
    // What is over a year old may go.
    let old = "INSERT INTO audit (at, username, via, event)
               VALUES (now() - interval '401 days', 'eve', 'cli', 'patch_pool')";
    peek::meddle(store, old).await?;
    assert_eq!(store.audit_drop_old().await?, 1);
    assert_eq!(events(&site, "").await?.len(), 1);
    site.world.close().await
}
