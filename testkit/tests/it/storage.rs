//! What is too large for the database lies under the storage URL, and is dropped with its day.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::path::Path;

use chrono::{Days, NaiveDate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_store::engine::Fence;
use subak_store::read::LogCursor;
use subak_store::{NewLogChunk, Storage, Store};
use subak_testkit::postgres::{TestDatabase, database};

const TOKEN: i64 = 7;

fn fence(run: RunKey) -> Fence {
    let instance = InstanceKey { run, task: TaskNo(1), map_index: MapIndex::NONE };
    Fence { instance, session: 1, token: TOKEN }
}

/// Lines that do not compress, in chunks as a worker makes them: the first small, the others large
/// and small in turn.
fn log(run: RunKey, chunks: i32) -> (Vec<NewLogChunk>, Vec<Vec<u8>>) {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut made, mut all) = (Vec::new(), Vec::new());
    for sequence in 0..chunks {
        let first_line = i64::try_from(all.len()).unwrap();
        let count = if sequence % 3 == 0 { 1 } else { 600 };
        let lines: Vec<Vec<u8>> = (0..count)
            .map(|n| {
                format!(
                    "{sequence}.{n} {:032x}{:032x}{:032x}",
                    rng.random::<u128>(),
                    rng.random::<u128>(),
                    rng.random::<u128>()
                )
                .into_bytes()
            })
            .collect();
        let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        made.push(NewLogChunk {
            fence: fence(run),
            sequence,
            first_line,
            lines: count,
            lz4: lz4_flex::block::compress_prepend_size(&text),
        });
        all.extend(lines);
    }
    (made, all)
}

/// A row that makes the try known.
async fn begin(store: &Store, run: RunKey) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO try_history (run_key, task, map_index, token, session, state, try_number, resets, ended_at)
         VALUES ($1, 1, -1, $2, 1, 'success', 1, 0, now())",
    )
    .bind(run.0)
    .bind(TOKEN)
    .execute(store.pool())
    .await?;
    Ok(())
}

async fn read(store: &Store, run: RunKey, from: LogCursor) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut lines, mut cursor) = (Vec::new(), from);
    loop {
        let part = store.log_read(run, 1, MapIndex::NONE, 1, cursor).await?;
        let bytes: usize = part.lines.iter().map(Vec::len).sum();
        assert!(bytes < 3 << 20, "a part of {bytes} bytes");
        lines.extend(part.lines);
        cursor = part.next;
        if !part.more {
            return Ok(lines);
        }
    }
}

/// Another server: its own connections, its own idea of what was kept.
async fn server(database: &TestDatabase, folder: &Path) -> anyhow::Result<Store> {
    let store = Store::connect(&database.url).await?;
    let installation = store.installation().await?.to_string();
    Ok(store.with_storage(Storage::open(&folder.display().to_string(), &installation)?))
}

async fn count(store: &Store, sql: &'static str) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(sql).fetch_one(store.pool()).await?)
}

async fn today(store: &Store) -> anyhow::Result<NaiveDate> {
    let today = "SELECT (now() AT TIME ZONE 'UTC')::date";
    Ok(sqlx::query_scalar(today).fetch_one(store.pool()).await?)
}

/// The first run of a day.
fn first(day: NaiveDate) -> RunKey {
    RunKey(RunKey::first_of(day).0 + 1)
}

#[tokio::test]
async fn the_rest_of_a_large_log_is_under_the_storage_and_every_server_shows_it()
-> anyhow::Result<()> {
    let (database, folder) = (database().await?, tempfile::tempdir()?);
    let (one, two) =
        (server(&database, folder.path()).await?, server(&database, folder.path()).await?);
    let run = first(today(&one).await?);
    begin(&one, run).await?;
    let (chunks, lines) = log(run, 150);
    // The worker goes from one server to another, and sends the last chunks again.
    for batch in chunks[..60].chunks(7) {
        one.log_append(batch).await?;
    }
    for batch in chunks[50..].chunks(11) {
        two.log_append(batch).await?;
    }
    for store in [&one, &two] {
        assert!(read(store, run, LogCursor::default()).await? == lines);
        let middle = LogCursor { token: TOKEN, line: 20_001 };
        assert!(read(store, run, middle).await? == lines[20_001..]);
        let (tail, more) = store.log_tail(run, 1, MapIndex::NONE, 1, 500, i64::MAX).await?;
        assert!(more && read(store, run, tail).await? == lines[lines.len() - 500..]);
        // Chunks are at most 64 KiB, and objects 1 MiB.
        let (tail, more) = store.log_tail(run, 1, MapIndex::NONE, 1, 1 << 30, 1 << 20).await?;
        let end = read(store, run, tail).await?;
        let bytes: usize = end.iter().map(|line| line.len() + 1).sum();
        assert!(more && (1 << 20..=2 << 20).contains(&bytes), "{bytes} bytes");
        assert!(lines.ends_with(&end));
    }
    let kept = count(&one, "SELECT sum(length(lz4)) FROM log_chunk").await?;
    assert!(kept > 1 << 19 && kept < 3 << 19, "{kept} bytes in the database");
    let objects = count(&one, "SELECT count(*) FROM log_spill").await?;
    assert!((3..=20).contains(&objects), "{objects} objects");

    // Without the storage the rest is not there, and the log says where it is.
    let blind = Store::connect(&database.url).await?;
    let shown = read(&blind, run, LogCursor::default()).await?;
    let note = shown.iter().find(|line| line.starts_with(b"[lines ")).cloned().unwrap_or_default();
    assert!(String::from_utf8(note)?.contains("SUBAK_STORAGE"));
    assert_eq!(shown.last(), lines.last());
    Ok(())
}

#[tokio::test]
async fn nobody_writes_into_the_log_of_another_ones_try() -> anyhow::Result<()> {
    let (database, folder) = (database().await?, tempfile::tempdir()?);
    let store = server(&database, folder.path()).await?;
    let run = first(today(&store).await?);
    begin(&store, run).await?;
    // Little and much of it: what goes into the database, and what goes under the storage URL.
    let (mut forged, _) = log(run, 60);
    for chunk in &mut forged {
        chunk.fence.session = 2;
    }
    for chunks in [&forged[..1], &forged[1..], &forged[..]] {
        store.log_append(chunks).await?;
    }
    store.log_keep(&forged).await?;
    assert!(read(&store, run, LogCursor::default()).await?.is_empty());
    assert_eq!(count(&store, "SELECT count(*) FROM log_spill").await?, 0);
    let (chunks, lines) = log(run, 3);
    store.log_append(&chunks).await?;
    assert!(read(&store, run, LogCursor::default()).await? == lines);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_written_is_said_in_its_place() -> anyhow::Result<()> {
    let (database, folder) = (database().await?, tempfile::tempdir()?);
    let store = server(&database, folder.path()).await?;
    // A file where the folder of this installation would be.
    std::fs::write(folder.path().join(store.installation().await?.to_string()), "")?;
    let run = first(today(&store).await?);
    begin(&store, run).await?;
    let (chunks, lines) = log(run, 40);
    store.log_append(&chunks[..5]).await?;
    store.log_append(&chunks[5..39]).await?;
    store.log_append(&chunks[39..]).await?;
    let shown = read(&store, run, LogCursor::default()).await?;
    assert_eq!(shown[..100], lines[..100]);
    assert_eq!(shown.last(), lines.last());
    let note = shown.iter().find(|line| line.starts_with(b"[lines ")).cloned().unwrap_or_default();
    let note = String::from_utf8(note)?;
    assert!(note.contains("cannot be shown: ") && note.contains("irectory"), "{note}");
    Ok(())
}

#[tokio::test]
async fn a_day_is_dropped_with_its_datasets_and_logs_but_not_while_a_run_is_open()
-> anyhow::Result<()> {
    let (database, folder) = (database().await?, tempfile::tempdir()?);
    let store = server(&database, folder.path()).await?;
    let installation = store.installation().await?.to_string();
    let today = today(&store).await?;
    let old = today - Days::new(40);
    let open = old - Days::new(1);
    let young = today - Days::new(3);
    for (day, state) in [(old, "failed"), (open, "running"), (young, "success")] {
        run_of(&store, day, state).await?;
        let place = folder.path().join(&installation).join(day.to_string());
        std::fs::create_dir_all(place.join("runs/0190/extract/-1/3"))?;
        std::fs::write(place.join("runs/0190/extract/-1/3/part-0.arrow"), "rows")?;
        let run = first(day);
        begin(&store, run).await?;
        store.log_append(&log(run, 60).0).await?;
        assert!(place.join("logs").is_dir());
    }
    // Another installation's, and somebody's own.
    let others = [format!("other/{old}/runs/x"), "mine.txt".to_owned()];
    for other in &others {
        let file = folder.path().join(other);
        std::fs::create_dir_all(file.parent().unwrap())?;
        std::fs::write(file, "")?;
    }
    for _ in 0..2 {
        // What a server's hygiene loop does, and does again.
        for day in store.days_expired(30).await? {
            store.day_drop(day).await?;
        }
        store.storage_sweep(30).await?;
        let days = |day: NaiveDate| folder.path().join(&installation).join(day.to_string());
        assert!(!days(old).exists());
        assert!(days(open).join("runs/0190/extract/-1/3/part-0.arrow").is_file());
        assert!(days(young).join("logs").is_dir());
        assert!(others.iter().all(|other| folder.path().join(other).is_file()));
    }
    let run = first(open);
    sqlx::query("UPDATE run SET state = 'success', ended_at = now() WHERE run_key = $1")
        .bind(run.0)
        .execute(store.pool())
        .await?;
    for day in store.days_expired(30).await? {
        store.day_drop(day).await?;
    }
    assert_eq!(store.storage_sweep(30).await?, [open]);
    assert!(read(&store, run, LogCursor::default()).await?.is_empty());
    Ok(())
}

/// A run of that day, in partitions of that day.
async fn run_of(store: &Store, day: NaiveDate, state: &'static str) -> anyhow::Result<()> {
    sqlx::query("SELECT partitions_make($1)").bind(day).execute(store.pool()).await?;
    sqlx::query(
        "INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state,
                          run_after, tasks_open, ended_at)
         VALUES ($1, gen_random_uuid(), 1, 1, $2, 'manual', 'test', $3::run_state, now(), 0,
                 CASE WHEN $3 IN ('success', 'failed') THEN now() END)",
    )
    .bind(first(day).0)
    .bind(day.to_string())
    .bind(state)
    .execute(store.pool())
    .await?;
    Ok(())
}
