//! No row lost, none twice: lost answers, killed sessions, clears.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use subak_task::ErrorClass;

use crate::load::monthly;
use crate::proxy;
use crate::support::{Database, Try};

const TABLE: &str = "CREATE TABLE retention (month integer, customers bigint)";
const COUNTS: &str = "SELECT (SELECT count(*) FROM retention), (SELECT count(*) FROM subak_loads)";

#[tokio::test]
async fn a_second_try_finds_the_load_and_reports_the_same() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let first = Try::with(database.connection(), vec![monthly(&[(1, 1), (2, 2)])]);
    let value = first.load("retention", json!({})).await?;
    let second = Try::with(database.connection(), vec![monthly(&[(1, 1), (2, 2)])])
        .identified(|identity| identity.try_number = 2);
    assert_eq!(second.load("retention", json!({})).await?, value);
    ensure!(second.log().contains("loaded already, by an earlier try"));
    assert_eq!(database.rows(COUNTS).await?, ["2|1"]);
    Ok(())
}

#[tokio::test]
async fn a_clear_another_run_and_another_map_index_load_again() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let load = |change: fn(&mut subak_task::TaskIdentity)| {
        let a_try = Try::with(database.connection(), vec![monthly(&[(1, 1)])]).identified(change);
        async move { a_try.load("retention", json!({})).await }
    };
    load(|_| {}).await?;
    let cleared = |identity: &mut subak_task::TaskIdentity| {
        (identity.resets, identity.load_again) = (1, true);
    };
    load(cleared).await?;
    load(|identity| identity.run_uuid = "another".to_owned()).await?;
    load(|identity| identity.map_index = 3).await?;
    load(|identity| identity.task_id = "other".to_owned()).await?;
    load(cleared).await?;
    assert_eq!(database.rows(COUNTS).await?, ["5|5"]);
    Ok(())
}

#[tokio::test]
async fn rows_are_appended_again_after_a_clear_only_when_that_is_wanted() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer PRIMARY KEY, customers bigint)").await?;
    let load =
        async |resets: u32, load_again: bool, with: serde_json::Value, rows: &[(i32, i64)]| {
            let a_try = Try::with(database.connection(), vec![monthly(rows)]);
            let a_try = a_try.identified(|identity| {
                (identity.resets, identity.load_again) = (resets, load_again);
            });
            a_try.load("retention", with).await
        };
    load(0, false, json!({}), &[(1, 1), (2, 2)]).await?;
    // A second clear is asked about as the first one is.
    for resets in [1, 2] {
        let error = load(resets, false, json!({}), &[(3, 3)]).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        for part in ["has appended 2 rows to retention already", "retail manual__1", "--load-again"]
        {
            ensure!(error.message.contains(part), "{part}: {error}");
        }
        assert_eq!(database.rows(COUNTS).await?, ["2|1"]);
    }
    load(3, true, json!({}), &[(3, 3)]).await?;
    assert_eq!(database.rows(COUNTS).await?, ["3|2"]);
    let error = load(4, false, json!({}), &[(4, 4)]).await.unwrap_err();
    ensure!(error.message.contains("has appended 1 row to retention already"), "{error}");
    // What comes to the same however often it is done needs no word.
    load(5, false, json!({"mode": "upsert", "key": ["month"]}), &[(3, 3)]).await?;
    load(6, false, json!({"mode": "replace"}), &[(1, 1)]).await?;
    assert_eq!(database.rows(COUNTS).await?, ["1|4"]);
    Ok(())
}

#[tokio::test]
async fn a_lost_commit_reply_is_settled_by_asking_again() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let (port, plan) = proxy::start(database.tcp_port()).await?;
    plan.lose_commit_reply.store(true, Ordering::SeqCst);
    let a_try = Try::with(database.tcp_connection(port), vec![monthly(&[(1, 1)])]);
    let value = a_try.load("retention", json!({})).await?;
    assert_eq!(value["rows"], 1);
    assert_eq!(plan.cuts.load(Ordering::SeqCst), 1);
    assert_eq!(database.rows(COUNTS).await?, ["1|1"]);
    Ok(())
}

#[tokio::test]
async fn a_lost_commit_loads_nothing_and_may_be_tried_again() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let (port, plan) = proxy::start(database.tcp_port()).await?;
    plan.lose_commit.store(true, Ordering::SeqCst);
    let a_try = Try::with(database.tcp_connection(port), vec![monthly(&[(1, 1)])]);
    let error = a_try.load("retention", json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    ensure!(error.message.contains("nothing was loaded"), "{error}");
    assert_eq!(database.rows(COUNTS).await?, ["0|0"]);
    a_try.load("retention", json!({})).await?;
    assert_eq!(database.rows(COUNTS).await?, ["1|1"]);
    Ok(())
}

#[tokio::test]
async fn a_retry_after_a_lost_reply_and_an_absent_server_does_not_load_twice() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let (port, plan) = proxy::start(database.tcp_port()).await?;
    plan.lose_commit_reply.store(true, Ordering::SeqCst);
    plan.away_after_cut.store(true, Ordering::SeqCst);
    let a_try = Try::with(database.tcp_connection(port), vec![monthly(&[(1, 1)])]);
    let error = a_try.load("retention", json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    ensure!(error.message.contains("the next try finds out"), "{error}");
    plan.away.store(false, Ordering::SeqCst);
    let value = a_try.load("retention", json!({})).await?;
    assert_eq!(value["rows"], 1);
    assert_eq!(database.rows(COUNTS).await?, ["1|1"]);
    Ok(())
}

#[tokio::test]
async fn sessions_killed_at_any_moment_lose_and_double_nothing() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let rows: Vec<_> = (0..40_000).map(|month| (month, i64::from(month))).collect();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'subak retail.load' AND datname = current_database()";
    let mut failures = 0;
    for round in 0..24_u64 {
        let run = format!("run {round}");
        let a_try = Try::with(
            database.connection(),
            vec![monthly(&rows[..20_000]), monthly(&rows[20_000..])],
        )
        .identified(|identity| identity.run_uuid = run.clone());
        // From before the first statement to after the last: a load takes some 30 ms.
        let fault = async {
            tokio::time::sleep(Duration::from_micros(round * 2_500)).await;
            database.rows(kill).await
        };
        let with = json!({ "mode": if round % 2 == 0 { "append" } else { "replace" } });
        let (first, killed) = tokio::join!(a_try.load("retention", with.clone()), fault);
        killed?;
        let value = match first {
            Ok(value) => value,
            Err(error) => {
                failures += 1;
                assert_eq!(error.class, ErrorClass::Transient, "{error}");
                a_try.load("retention", with).await?
            }
        };
        assert_eq!(value["rows"], 40_000);
        let expected = if round % 2 == 0 && round > 0 { 80_000 } else { 40_000 };
        let counts = format!("{expected}|{}", round + 1);
        assert_eq!(database.rows(COUNTS).await?, [counts], "round {round}");
    }
    ensure!(failures > 2, "only {failures} loads were interrupted");
    Ok(())
}

#[tokio::test]
async fn two_tries_at_once_load_once() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    for round in 0..5 {
        let load = || {
            let a_try = Try::with(database.connection(), vec![monthly(&[(1, 1), (2, 2)])])
                .identified(|identity| (identity.resets, identity.load_again) = (round, true));
            async move { a_try.load("retention", json!({})).await }
        };
        let (left, right) = tokio::try_join!(load(), load())?;
        assert_eq!(left, right);
        let counts = format!("{}|{}", 2 * (round + 1), round + 1);
        assert_eq!(database.rows(COUNTS).await?, [counts]);
    }
    Ok(())
}

#[tokio::test]
async fn a_database_without_the_right_is_answered_with_the_ledger_s_ddl() -> Result<()> {
    let database = Database::new().await?;
    database.run(TABLE).await?;
    let role = format!("etl_{}", database.name);
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON retention TO {role};
             REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        ))
        .await?;
    let mut connection = database.tcp_connection(database.tcp_port());
    (connection.login, connection.password) = (Some(role.clone()), Some("x".to_owned()));
    let a_try = Try::with(connection, vec![monthly(&[(1, 1)])]);
    let error = a_try.load("retention", json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    let ddl = error.message.split("run:\n\n").nth(1).unwrap_or_default();
    ensure!(ddl.contains("CREATE TABLE IF NOT EXISTS \"public\".subak_loads ("), "{error}");
    // What it prints is what an administrator can run.
    let ddl = ddl.replace("the user of the connection", &role);
    database.run(&ddl).await?;
    a_try.load("retention", json!({})).await?;
    assert_eq!(database.rows(COUNTS).await?, ["1|1"]);
    Ok(())
}
