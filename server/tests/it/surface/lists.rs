//! Lists of the API: where they go on, and what they are filtered by.

use axum::http::StatusCode;
use subak_store::access::Role;
use subak_testkit::peek;

use super::site::Site;

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
