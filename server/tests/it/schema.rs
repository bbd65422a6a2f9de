//! The schema of the metadata database, and versions of Subak that it is not of.

use subak_testkit::{peek, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_schema_is_refused_and_a_newer_one_is_left_alone() -> anyhow::Result<()> {
    let empty = postgres::empty().await?.store;
    let why = empty.schema_check().await.unwrap_err().to_string();
    assert!(why.contains("lacks") && why.contains("subak db migrate"), "{why}");
    let store = postgres::database().await?.store;
    store.schema_check().await?;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99990101000000, 'of a newer version', true, '', 0)";
    peek::meddle(&store, newer).await?;
    // Servers of the version before go on while the next one is rolled out; only it may migrate.
    store.schema_check().await?;
    let why = store.migrate().await.unwrap_err().to_string();
    assert!(why.contains("a newer version of Subak") && why.contains("99990101000000"), "{why}");
    // One in the middle did not get through, another is not there at all.
    let older = "UPDATE _sqlx_migrations SET success = false
                 WHERE version = (SELECT min(version) FROM _sqlx_migrations);
                 DELETE FROM _sqlx_migrations
                 WHERE version = (SELECT max(version) FROM _sqlx_migrations WHERE version < 99990101000000)";
    peek::meddle(&store, older).await?;
    let why = store.schema_check().await.unwrap_err().to_string();
    assert!(why.contains("lacks 2 of the"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_says_so_at_once_and_once() -> anyhow::Result<()> {
    let database = postgres::database().await?;
    let url = format!("{}_not", database.url);
    let why =
        format!("{:#}", anyhow::Error::from(subak_store::Store::connect(&url).await.unwrap_err()));
    assert!(why.ends_with("_not\" does not exist") && why.matches("exist").count() == 1, "{why}");
    // Nobody listens: the pool would have asked for ten seconds, and not have said why.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let asked = std::time::Instant::now();
    let url = format!("postgres://nobody@127.0.0.1:{port}/subak");
    let why = subak_store::Store::connect(&url).await.unwrap_err().to_string();
    assert!(why.contains("refused"), "{why}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    Ok(())
}
