//! PostgreSQL itself is killed or frozen in the middle of a load.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::{Connection as _, Row as _};
use subak_postgres::PrivatePostgres;
use subak_task::{Connection, ErrorClass};

use crate::load::monthly;
use crate::support::{Try, connection};

fn to(postgres: &PrivatePostgres) -> Connection {
    connection(json!({
        "conn_type": "postgres",
        "host": postgres.socket_dir(),
        "port": postgres.port(),
        "login": subak_postgres::SUPERUSER,
        "schema": "postgres",
        "extra": { "connect_timeout": 1, "watch_every": 1 },
    }))
}

#[tokio::test]
async fn a_killed_server_loses_and_doubles_nothing() -> Result<()> {
    let mut postgres = PrivatePostgres::temporary().await?;
    let mut db = postgres.connect("postgres").await?;
    sqlx::raw_sql("CREATE TABLE retention (month integer, customers bigint)")
        .execute(&mut db)
        .await?;
    db.close().await?;
    let rows: Vec<_> = (0..60_000).map(|month| (month, i64::from(month))).collect();
    let mut interrupted = 0;
    for round in 0..6_u64 {
        let batches = rows.chunks(8_192).map(monthly).collect();
        let a_try = Try::with(to(&postgres), batches)
            .identified(|identity| identity.run_uuid = format!("run {round}"));
        let fault = async {
            tokio::time::sleep(Duration::from_millis(round * 12)).await;
            postgres.kill().await;
        };
        // While the server is away, so is the answer to whether a commit took effect.
        let (first, ()) = tokio::join!(a_try.load("retention", json!({})), fault);
        postgres.restart().await?;
        if let Err(error) = first {
            interrupted += 1;
            assert_eq!(error.class, ErrorClass::Transient, "{error}");
            a_try.load("retention", json!({})).await?;
        }
        let mut db = postgres.connect("postgres").await?;
        let counts = "SELECT (SELECT count(*) FROM retention), (SELECT count(*) FROM subak_loads)";
        let row = sqlx::query(counts).fetch_one(&mut db).await?;
        let expected = i64::try_from(round)? + 1;
        assert_eq!(row.get::<i64, _>(0), 60_000 * expected, "round {round}");
        assert_eq!(row.get::<i64, _>(1), expected, "round {round}");
    }
    ensure!(interrupted > 0, "no load was interrupted");
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_is_an_error_not_a_hang() -> Result<()> {
    let postgres = PrivatePostgres::temporary().await?;
    let a_try = Try::new(to(&postgres));
    let signal =
        |name: &str| Command::new("kill").args([name, &postgres.pid().to_string()]).status();
    let freeze = async {
        let mut db = postgres.connect("postgres").await?;
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while sqlx::query_scalar::<_, i64>(sleeping).fetch_one(&mut db).await? == 0 {}
        // The statement's own process sleeps on; nobody new is let in.
        ensure!(signal("-STOP")?.success());
        Ok(())
    };
    let with = json!({ "connection": "w", "sql": "SELECT pg_sleep(600)" });
    let (result, frozen) = tokio::join!(a_try.sql(with), freeze);
    ensure!(signal("-CONT")?.success());
    frozen?;
    let error = result.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    ensure!(error.message.contains("is silent"), "{error}");
    Ok(())
}
