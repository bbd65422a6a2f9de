//! What a user sees when something outside is wrong.

use anyhow::{Result, ensure};
use serde_json::json;
use subak_task::{Connection, ErrorClass, TaskError};

use crate::load::monthly;
use crate::support::{Database, Try, connection};

async fn sql_error(connection: Connection, sql: &str) -> TaskError {
    let with = json!({ "connection": "w", "sql": sql });
    Try::new(connection).sql(with).await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_password_is_permanent_and_says_what_to_do() -> Result<()> {
    let database = Database::new().await?;
    let mut connection = database.tcp_connection(database.tcp_port());
    connection.password = Some("wrong".to_owned());
    let error = sql_error(connection.clone(), "SELECT 1").await;
    assert_eq!(error.class, ErrorClass::Permanent);
    ensure!(error.message.contains("password authentication failed for user \"subak\""), "{error}");
    ensure!(error.message.contains("what to do: set the right password"), "{error}");
    ensure!(!error.message.contains("wrong"), "{error}");
    let error = subak_tasks_sql::probe(&connection).await.unwrap_err();
    ensure!(error.message.contains("password authentication failed"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_absent_server_is_transient_and_named() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let away = connection(json!({
        "conn_type": "postgres", "host": "127.0.0.1", "port": port, "schema": "x", "login": "x",
    }));
    let error = sql_error(away, "SELECT 1").await;
    assert_eq!(error.class, ErrorClass::Transient);
    let expected = format!("connection `w` (PostgreSQL at 127.0.0.1:{port}/x) cannot be reached: ");
    ensure!(error.message.starts_with(&expected), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_connect_timeout() -> Result<()> {
    // It accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let silent = connection(json!({
        "conn_type": "postgres", "host": "127.0.0.1", "port": listener.local_addr()?.port(),
        "login": "x", "extra": { "connect_timeout": 1 },
    }));
    let error = sql_error(silent, "SELECT 1").await;
    assert_eq!(error.class, ErrorClass::Transient);
    ensure!(error.message.contains("did not answer within 1 s"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_missing_database_and_connection_are_permanent() -> Result<()> {
    let database = Database::new().await?;
    let mut connection = database.connection();
    connection.schema = Some("nowhere".to_owned());
    let error = sql_error(connection, "SELECT 1").await;
    assert_eq!(error.class, ErrorClass::Permanent);
    ensure!(error.message.contains("database \"nowhere\" does not exist"), "{error}");
    let with = json!({ "connection": "other", "sql": "SELECT 1" });
    let error = Try::new(database.connection()).sql(with).await.unwrap_err();
    ensure!(error.message.contains("subak connections add other"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_held_lock_ends_the_try_after_lock_timeout() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE t (n int)").await?;
    let mut holder = database.connect().await?;
    sqlx::raw_sql("BEGIN; LOCK TABLE t").execute(&mut holder).await?;
    let mut connection = database.connection();
    connection.extra.insert("lock_timeout".to_owned(), json!("50ms"));
    let error = sql_error(connection, "INSERT INTO t VALUES (1)").await;
    assert_eq!(error.class, ErrorClass::Transient);
    ensure!(error.message.contains("SQLSTATE 55P03"), "{error}");
    ensure!(error.message.contains("`lock_timeout` in the connection's extra"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_transient_and_leaves_nothing_behind() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE retention (month integer, customers bigint)").await?;
    // As PostgreSQL reports it, at the second row.
    database
        .run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.month = 2 THEN
                     RAISE 'could not extend file \"base/5/1\": No space left on device'
                         USING ERRCODE = '53100', HINT = 'Check free disk space.';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON retention
                 FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        .await?;
    let a_try = Try::with(database.connection(), vec![monthly(&[(1, 1), (2, 2)])]);
    let error = a_try.load("retention", json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    for part in ["No space left on device", "SQLSTATE 53100", "free space on PostgreSQL's disk"] {
        ensure!(error.message.contains(part), "{error}");
    }
    assert_eq!(database.rows("SELECT count(*) FROM retention").await?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn a_row_that_the_table_refuses_is_named() -> Result<()> {
    let database = Database::new().await?;
    database.run("CREATE TABLE t (month integer CHECK (month < 13), customers bigint)").await?;
    let a_try = Try::with(database.connection(), vec![monthly(&[(1, 1), (13, 2)])]);
    let error = a_try.load("t", json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    ensure!(error.message.contains("violates check constraint"), "{error}");
    ensure!(error.message.contains("where: COPY t, line 2"), "{error}");
    Ok(())
}

#[tokio::test]
async fn probe_tells_version_database_and_user() -> Result<()> {
    let database = Database::new().await?;
    let probed = subak_tasks_sql::probe(&database.connection()).await?;
    assert_eq!(probed["database"], json!(database.name));
    assert_eq!(probed["user"], json!("subak"));
    ensure!(probed["version"].is_string());
    Ok(())
}
