//! Ranges are shown with their offsets and counts, and who settles one is on record.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use subak_store::access::Role;

use super::audit::events;
use super::site::Site;
use crate::drained::{DRAIN, on_record};

/// The first range is loaded, the second one was not read yet. Of partition 1 nothing was read, and of
/// partition 2 records were lost.
const RANGES: &str = r#"
    (1, '[{"partition": 0, "after": 0, "from": 0, "to": 100, "last": {"offset": 99, "timestamp": 1, "hash": 2}},
          {"partition": 1, "after": 7, "from": 7, "to": 7},
          {"partition": 2, "after": 3, "from": 5, "to": 5}]',
     '{load}', 'committed', 98, 3, 5, '{"load": 90}'),
    (2, '[{"partition": 0, "after": 100, "from": 100, "to": 160}]', '{}', 'open', NULL, NULL, NULL, '{}')
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_shown_with_their_offsets_and_settled_on_record() -> anyhow::Result<()> {
    let site = Site::new().await?;
    site.world.dags(DRAIN).await?;
    on_record(&site.world, RANGES).await?;
    let op = site.program(Role::Op).await?;
    let listed = site.get(&op, "/api/v2/ranges?dag_id=drain").await?.json();
    let of = |sequence: i64| {
        let all = listed["ranges"].as_array().unwrap();
        all.iter().find(|range| range["sequence"] == sequence).unwrap().clone()
    };
    let (loaded, open) = (of(1), of(2));
    let part = |partition: i32, from: i64, to: i64| json!({"partition": partition, "from_offset": from, "to_offset": to});
    let expected = json!({
        "range_id": loaded["range_id"], "dag_id": "drain", "task_id": "read", "sequence": 1,
        "topic": "orders", "state": "committed", "dag_run_id": loaded["dag_run_id"],
        "partitions": [part(0, 0, 100), part(2, 5, 5)],
        "records": 98, "rejected": 3, "filtered": 5, "loads": ["load"], "committed": ["load"],
        "loaded": {"load": 90}, "dag_version": null,
    });
    assert_eq!(loaded, expected);
    assert_eq!(open["partitions"], json!([part(0, 100, 160)]));
    assert_eq!((&open["records"], &open["loaded"]), (&Value::Null, &json!({})));
    // In parts, and narrowed to what is looked for.
    for (wanted, total, sequences) in [
        ("dag_id=drain&limit=1", 2, vec![2]),
        ("dag_id=drain&limit=1&offset=1", 2, vec![1]),
        ("dag_id=drain&state=committed", 1, vec![1]),
        ("", 1, vec![2]),
        ("state=committed&topic=orders&task_id=read", 1, vec![1]),
        ("state=committed&topic=other", 0, vec![]),
    ] {
        let listed = site.get(&op, &format!("/api/v2/ranges?{wanted}")).await?.json();
        let shown = listed["ranges"].as_array().unwrap().iter();
        let shown: Vec<i64> = shown.map(|it| it["sequence"].as_i64().unwrap()).collect();
        assert_eq!((&listed["total_entries"], shown), (&json!(total), sequences), "{wanted}");
    }
    let refused = site.get(&op, "/api/v2/ranges?state=lost").await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());

    let act = async |range: &Value, what: &str| {
        let path = format!("/api/v2/ranges/{}/{what}", range["range_id"]);
        site.json(&op, Method::POST, &path, &json!(null)).await
    };
    assert_eq!(act(&open, "replay").await?.status, StatusCode::CONFLICT);
    assert_eq!(act(&open, "release").await?.status, StatusCode::NO_CONTENT);
    assert_eq!(act(&open, "abandon?load=other").await?.status, StatusCode::NOT_FOUND);
    assert_eq!(act(&open, "abandon?load=load").await?.status, StatusCode::NO_CONTENT);
    assert_eq!(act(&open, "abandon").await?.status, StatusCode::NOT_FOUND);
    let again = act(&loaded, "replay").await?;
    assert_eq!(again.status, StatusCode::OK);
    let run_id = again.json()["dag_run_id"].clone();

    // Only what was done.
    let (first, second) = (&loaded["range_id"], &open["range_id"]);
    let told: Vec<Value> = events(&site, "?dag_id=drain")
        .await?
        .iter()
        .map(|(event, record, extra)| {
            let (who, via) = (&record["owner"], &extra["via"]);
            json!([event, who, via, extra["subject"], record["task_id"], record["run_id"]])
        })
        .collect();
    let expected = [
        json!(["release_range", "op", "api", format!("range {second}"), "read", null]),
        json!(["abandon_range", "op", "api", format!("range {second}, load load"), "read", null]),
        json!(["replay_range", "op", "api", format!("range {first}"), null, run_id]),
    ];
    assert_eq!(told, expected);
    for (event, after) in [("release_range", "open"), ("abandon_range", "abandoned")] {
        let (_, _, extra) = &events(&site, &format!("?event={event}")).await?[0];
        let states = (&extra["before"]["state"], &extra["after"]["state"]);
        assert_eq!(states, (&json!("open"), &json!(after)), "{event}");
    }
    site.world.close().await
}
