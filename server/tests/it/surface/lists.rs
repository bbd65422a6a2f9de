//! Lists of the API: what they are ordered and filtered by, and where they go on.

use std::cmp::Ordering;

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::{Sender, Site};

/// More instances than a list is counted to: 10,100 besides the one that has run.
const MANY: &str = "
INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, ended_at)
SELECT h.run_key, h.task, n, h.token, h.state, 1, 0, h.ended_at
FROM run JOIN try_history h USING (run_key) CROSS JOIN generate_series(0, 10099) AS n
WHERE run.run_id = 'wide'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_read_by_cursor_goes_on_beyond_what_is_counted() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    site.run("idle", "wide").await?;
    peek::meddle(&site.world.store, MANY).await?;
    let viewer = site.program(Role::Viewer).await?;
    let list = "/api/v2/dags/idle/dagRuns/~/taskInstances?limit=100";
    let counted = site.get(&viewer, list).await?.json();
    assert_eq!(counted["total_entries"], 10_000);
    assert_eq!(counted["total_entries_limit"], 10_000);
    // From 9,950 on.
    let mut cursor = "OTk1MA".to_owned();
    let mut pages: Vec<(usize, Option<i64>)> = Vec::new();
    loop {
        let page = site.get(&viewer, &format!("{list}&cursor={cursor}")).await?;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        let shown = page["task_instances"].as_array().unwrap();
        pages.push((shown.len(), shown[0]["map_index"].as_i64()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(pages, [(100, Some(9_949)), (51, Some(10_049))]);
    let last = site.get(&viewer, &format!("{list}&cursor={cursor}")).await?.json();
    let back = last["previous_cursor"].as_str().unwrap();
    let back = site.get(&viewer, &format!("{list}&cursor={back}")).await?.json();
    assert_eq!(back["task_instances"][0]["map_index"], 9_949);
    site.world.close().await
}

/// Seven ended runs, `r0` to `r6`, that are alike in some of what lists are ordered by. Some never
/// started.
const ALIKE: &str = "
UPDATE run
SET state = (CASE WHEN n % 2 = 0 THEN 'success' ELSE 'failed' END)::run_state,
    started_at = CASE WHEN n % 3 > 0 THEN timestamptz '2026-01-01 00:00:00Z' + n % 3 * interval '1 hour' END,
    run_after = timestamptz '2026-01-01 00:00:00Z' + n / 4 * interval '1 hour'
FROM (SELECT run_key, right(run_id, 1)::integer AS n FROM run WHERE run_id LIKE 'r_') AS numbered
WHERE numbered.run_key = run.run_key";

/// What a cursor says that is behind a run which started at `noon`.
const FORGED: &str = r#"{"orders":[["Started",false]],"values":["noon"],"key":1,"back":false}"#;

/// How two runs stand by an order, worked out from what is answered. What is not there comes last.
fn naive(order: &[&str], a: &(usize, Value), b: &(usize, Value)) -> Ordering {
    let directed = |found: Ordering, key: &str| match key.starts_with('-') {
        true => found.reverse(),
        false => found,
    };
    for key in order {
        // States come as Airflow's enum has them: success before failed.
        let of = |it: &Value| match key.trim_start_matches('-') {
            "state" => it["state"].as_str().map(|it| (it == "failed").to_string()),
            name => it[name].as_str().map(str::to_owned),
        };
        let found = match (of(&a.1), of(&b.1)) {
            _ if key.ends_with("id") => directed(a.0.cmp(&b.0), key),
            (Some(a), Some(b)) => directed(a.cmp(&b), key),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        if found.is_ne() {
            return found;
        }
    }
    directed(a.0.cmp(&b.0), order[0])
}

/// The runs' ids, by cursor: forwards to the end, and back from there to the beginning.
async fn by_cursor(site: &Site, who: &Sender, list: &str) -> anyhow::Result<[Vec<Value>; 2]> {
    let read = async |cursor: &str| -> anyhow::Result<Value> {
        let page = site.get(who, &format!("{list}&limit=2&cursor={cursor}")).await?;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        Ok(page.json())
    };
    let ids = |page: &Value| -> Vec<Value> {
        page["dag_runs"].as_array().unwrap().iter().map(|it| it["dag_run_id"].clone()).collect()
    };
    let mut page = read("").await?;
    let mut forwards = ids(&page);
    while let Some(next) = page["next_cursor"].as_str().map(str::to_owned) {
        page = read(&next).await?;
        forwards.extend(ids(&page));
    }
    let mut back = ids(&page);
    while let Some(previous) = page["previous_cursor"].as_str().map(str::to_owned) {
        page = read(&previous).await?;
        drop(back.splice(0..0, ids(&page)));
    }
    Ok([forwards, back])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_orders_count_one_after_the_other_by_page_and_by_cursor() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    for number in 0..7 {
        site.run("idle", &format!("r{number}")).await?;
    }
    peek::meddle(&site.world.store, ALIKE).await?;
    let viewer = site.program(Role::Viewer).await?;
    let runs = "/api/v2/dags/idle/dagRuns";
    let all = site.get(&viewer, &format!("{runs}?order_by=id")).await?.json();
    let all: Vec<(usize, Value)> =
        all["dag_runs"].as_array().unwrap().iter().cloned().enumerate().collect();
    assert_eq!(all.len(), 7);
    let orders: [&[&str]; 8] = [
        &["state", "-start_date"],
        &["-start_date", "state"],
        &["start_date", "-run_after", "state"],
        &["-state", "run_after", "-start_date"],
        &["-run_after", "start_date"],
        &["start_date", "-id", "state"],
        &["partition_date", "-state"],
        &["-id", "state"],
    ];
    for order in orders {
        let mut expected = all.clone();
        expected.sort_by(|a, b| naive(order, a, b));
        let expected: Vec<Value> =
            expected.into_iter().map(|it| it.1["dag_run_id"].clone()).collect();
        let list = format!("{runs}?order_by={}", order.join("&order_by="));
        let by_page = site.get(&viewer, &list).await?.json();
        let by_page = by_page["dag_runs"].as_array().unwrap().iter();
        let by_page: Vec<Value> = by_page.map(|it| it["dag_run_id"].clone()).collect();
        assert_eq!(by_page, expected, "{order:?}");
        let [forwards, back] = by_cursor(&site, &viewer, &list).await?;
        assert_eq!(forwards, expected, "{order:?}");
        assert_eq!(back, expected, "{order:?}, read back");
    }
    // A cursor belongs to its order, all keys of it.
    let first = site.get(&viewer, &format!("{runs}?order_by=state&limit=2&cursor=")).await?.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let many = ["order_by=state"; 11].join("&");
    let forged = URL_SAFE_NO_PAD.encode(FORGED);
    for (refused, why) in [
        (format!("order_by=state&order_by=run_after&cursor={cursor}"), "of another order"),
        (format!("order_by=start_date&cursor={forged}"), "is not a cursor of this server"),
        ("order_by=conf&cursor=".to_owned(), "read that with `offset`"),
        (many, "leave all but 10 out"),
    ] {
        let refused = site.get(&viewer, &format!("{runs}?{refused}")).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{why}");
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_takes_several_orders() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let op = site.program(Role::Op).await?;
    let found = async |list: &str, plural: &str, field: &str| -> anyhow::Result<Vec<String>> {
        let answer = site.get(&op, &format!("/api/v2/{list}")).await?;
        assert_eq!(answer.status, StatusCode::OK, "{list}: {}", answer.text());
        let shown = answer.json()[plural].as_array().unwrap().clone();
        Ok(shown.iter().map(|it| it[field].as_str().unwrap_or("").to_owned()).collect())
    };
    for (name, slots) in [("a", 2), ("b", 1), ("c", 2)] {
        let pool = json!({"name": name, "slots": slots});
        site.json(&op, Method::POST, "/api/v2/pools", &pool).await?;
    }
    let pools = found("pools?order_by=-slots&order_by=name", "pools", "name").await?;
    assert_eq!(pools, ["a", "c", "b", "default_pool"]);
    for (id, host, port) in [("a", "south", 1), ("b", "north", 1), ("c", "north", 2)] {
        let connection =
            json!({"connection_id": id, "conn_type": "postgres", "host": host, "port": port});
        site.json(&op, Method::POST, "/api/v2/connections", &connection).await?;
    }
    let list = "connections?order_by=host&order_by=-port";
    assert_eq!(found(list, "connections", "connection_id").await?, ["c", "b", "a"]);
    let list = "connections?order_by=team_name&order_by=description&limit=2";
    assert_eq!(found(list, "connections", "connection_id").await?, ["a", "b"]);
    for (key, description) in [("x", "two"), ("y", "one"), ("z", "two")] {
        let variable = json!({"key": key, "value": "v", "description": description});
        site.json(&op, Method::POST, "/api/v2/variables", &variable).await?;
    }
    let list = "variables?order_by=description&order_by=-key";
    assert_eq!(found(list, "variables", "key").await?, ["y", "z", "x"]);
    let list = "eventLogs?order_by=event&order_by=-id&excluded_events=post_connection";
    let events = found(list, "event_logs", "event").await?;
    assert_eq!(events, [["post_pool"; 3], ["post_variable"; 3]].concat());
    let list = "dags?order_by=-last_run_state&order_by=dag_id";
    assert_eq!(found(list, "dags", "dag_id").await?, ["shop", "idle"]);
    let list = "dags/shop/tasks?order_by=operator_name&order_by=-task_id";
    assert_eq!(found(list, "tasks", "task_id").await?, ["check", "tell", "load", "extract"]);
    let instances =
        "dags/shop/dagRuns/bad/taskInstances?order_by=-state&order_by=operator&order_by=-id";
    let of_one = found(instances, "task_instances", "task_id").await?;
    // Upstream failed, success, failed.
    assert_eq!(of_one, ["tell", "check", "extract", "load"]);
    let everywhere = instances.replace("bad", "~").replace("&order_by=-id", "&run_id_pattern=bad");
    assert_eq!(found(&everywhere, "task_instances", "task_id").await?, of_one);
    let list = "dags/~/dagRuns/~/taskInstances/~/xcomEntries?order_by=task_id&order_by=-run_id";
    assert_eq!(found(list, "xcom_entries", "run_id").await?, ["good", "bad"]);
    for list in ["assets", "assets/events", "backfills", "importErrors", "dagTags"] {
        let orders = match list {
            "assets" => "order_by=-updated_at&order_by=name",
            "assets/events" => "order_by=source_dag_id&order_by=-timestamp",
            "backfills" => "order_by=-id&order_by=id",
            "importErrors" => "order_by=stacktrace&order_by=bundle_name&order_by=-id",
            _ => "order_by=name&order_by=-name",
        };
        let answer = site.get(&op, &format!("/api/v2/{list}?{orders}")).await?;
        assert_eq!(answer.status, StatusCode::OK, "{list}: {}", answer.text());
    }
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_a_look_is_found() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    let runs = [site.run("idle", "a").await?, site.run("idle", "b").await?];
    let user = site.program(Role::User).await?;
    let now = async || -> anyhow::Result<String> {
        let now = peek::now(&site.world.store).await?;
        Ok(now.to_rfc3339_opts(SecondsFormat::Micros, true))
    };
    let found = async |list: &str, plural: &str, since: &str| -> anyhow::Result<Vec<String>> {
        let list = format!("/api/v2/dags/{list}?updated_at_gt={since}&order_by=-updated_at");
        let list = if plural == "dag_runs" { list } else { list.replace("-updated_at", "id") };
        let answer = site.get(&user, &list).await?;
        assert_eq!(answer.status, StatusCode::OK, "{list}: {}", answer.text());
        let shown = answer.json()[plural].as_array().unwrap().clone();
        Ok(shown.iter().map(|it| it["dag_run_id"].as_str().unwrap().to_owned()).collect())
    };
    let first = now().await?;
    assert_eq!(found("~/dagRuns", "dag_runs", &first).await?, [""; 0]);
    let note = json!({"note": "seen"});
    site.json(&user, Method::PATCH, "/api/v2/dags/idle/dagRuns/a", &note).await?;
    assert_eq!(found("~/dagRuns", "dag_runs", &first).await?, ["a"]);
    assert_eq!(found("~/dagRuns/~/taskInstances", "task_instances", &first).await?, [""; 0]);
    // A run that goes again has changed as soon as it is cleared: its old end counts no more.
    let clear = json!({"dry_run": false});
    site.json(&user, Method::POST, "/api/v2/dags/idle/dagRuns/b/clear", &clear).await?;
    assert_eq!(found("~/dagRuns", "dag_runs", &first).await?, ["b", "a"]);
    site.world.ended(runs[1]).await?;
    assert_eq!(found("~/dagRuns", "dag_runs", &first).await?, ["b", "a"]);
    assert_eq!(found("~/dagRuns/~/taskInstances", "task_instances", &first).await?, ["b"]);
    assert_eq!(found("idle/dagRuns/b/taskInstances", "task_instances", &first).await?, ["b"]);
    assert_eq!(found("idle/dagRuns/a/taskInstances", "task_instances", &first).await?, [""; 0]);
    assert_eq!(found("~/dagRuns", "dag_runs", &now().await?).await?, [""; 0]);
    site.world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_found_by_name_and_dags_by_timetable() -> anyhow::Result<()> {
    let site = Site::with_runs().await?;
    for dag in [
        "{dag_id: named, schedule: '0 6 * * *', start_date: 2090-01-01,
            task_groups: {town: {expand: {name: [oslo, '{{ dag.dag_id }}-rome']}}}, tasks: {
            see: {operator: bash, task_group: town, with: {command: 'true'},
                  map_index_template: '{{ group.name }} at {{ ti.map_index }}'},
            each: {operator: bash, expand: {command: [north, south, east]},
                   map_index_template: 'to the {{ task.command }}'},
            plain: {operator: bash, expand: {command: ['true', 'true']}},
            one: {operator: noop}}}",
        "{dag_id: previous, schedule: {cron: '0 6 * * *', data_interval: previous},
          start_date: 2090-01-01, tasks: {one: {operator: noop}}}",
        "{dag_id: once, schedule: '@once', start_date: 2090-01-01, tasks: {one: {operator: noop}}}",
        "{dag_id: often, schedule: {every: 90s}, start_date: 2090-01-01, tasks: {one: {operator: noop}}}",
    ] {
        site.world.dags(dag).await?;
    }
    site.run("named", "r").await?;
    let viewer = site.program(Role::Viewer).await?;
    let of = async |list: &str| -> anyhow::Result<Vec<(String, i64)>> {
        let answer = site.get(&viewer, &format!("/api/v2/dags/named/dagRuns/{list}")).await?;
        assert_eq!(answer.status, StatusCode::OK, "{list}: {}", answer.text());
        let shown = answer.json()["task_instances"].as_array().unwrap().clone();
        let one = |it: &Value| {
            (it["task_id"].as_str().unwrap().to_owned(), it["map_index"].as_i64().unwrap())
        };
        Ok(shown.iter().map(one).collect())
    };
    let each = |index: i64| ("each".to_owned(), index);
    let mapped = "r/taskInstances/each/listMapped?rendered_map_index_";
    assert_eq!(of(&format!("{mapped}pattern=north%7CEAST")).await?, [each(0), each(2)]);
    assert_eq!(of(&format!("{mapped}prefix_pattern=to%20the%20s")).await?, [each(1)]);
    // In a mapped group the item is the group's.
    let seen = "r/taskInstances/town.see/listMapped?rendered_map_index_pattern";
    let rome = ("town.see".to_owned(), 1);
    assert_eq!(of(&format!("{seen}=named-rome_at_1")).await?, [rome]);
    let all = "r/taskInstances?rendered_map_index_";
    assert_eq!(of(&format!("{all}pattern=to_the&order_by=-map_index&limit=1")).await?, [each(2)]);
    // Without a template an instance is called by its index, and what is not mapped by nothing.
    assert_eq!(of(&format!("{all}prefix_pattern=1")).await?, [("plain".to_owned(), 1)]);
    let everywhere = "/api/v2/dags/~/dagRuns/~/taskInstances?rendered_map_index_pattern=a";
    let refused = site.get(&viewer, everywhere).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());

    for (class, dags) in [
        ("trigger.CronTriggerTimetable", vec!["named"]),
        ("interval.CronDataIntervalTimetable", vec!["previous"]),
        ("trigger.DeltaTriggerTimetable", vec!["often"]),
        ("simple.OnceTimetable", vec!["once"]),
        ("simple.NullTimetable", vec!["idle", "shop"]),
        ("simple.ContinuousTimetable", vec![]),
    ] {
        let list = format!("/api/v2/dags?timetable_type=airflow.timetables.{class}");
        let answer = site.get(&viewer, &list).await?.json();
        let found = answer["dags"].as_array().unwrap().iter().map(|it| it["dag_id"].as_str());
        assert_eq!(found.flatten().collect::<Vec<_>>(), dags, "{class}");
    }
    site.world.close().await
}
