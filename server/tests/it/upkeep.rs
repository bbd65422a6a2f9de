//! What keeps the database in shape: partitions, retention, indexes, and alarms.

use chrono::{Days, NaiveDate};
use subak_server::engine::Outcome;
use subak_store::read::LetterFilter;
use subak_testkit::{peek, poke};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{World, engine, save, work};

/// As after a fortnight without a server: no day has partitions, and rows came nevertheless, today
/// and forty days ago.
const STRAYS: &str = "
    DO $$ DECLARE part text; BEGIN
        FOR part IN SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid
                    WHERE relname ~ '_[0-9]{8}$' AND relkind = 'r' LOOP
            EXECUTE 'DROP TABLE ' || part;
        END LOOP;
    END $$;
    CREATE FUNCTION day_key(days integer) RETURNS bigint LANGUAGE sql AS
        'SELECT ((now() AT TIME ZONE ''UTC'')::date - days - DATE ''1970-01-01'')::bigint << 40';
    INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, ended_at)
    SELECT day_key(days) + 1, 1, -1, days, 'success', 1, 0, now() FROM unnest(ARRAY[0, 40]) AS days;
    INSERT INTO xcom (run_key, task, map_index, key, value) VALUES (day_key(0) + 1, 1, -1, 'key', '7');
    INSERT INTO log_spill (run_key, task, map_index, token, first_line, lines, size_bytes, problem)
    VALUES (day_key(40) + 1, 1, -1, 40, 0, 1, 1, 'lost');";

/// Many old runs, and a note of how each statement that deletes some is bounded.
const MANY: &str = "
    INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                     tasks_open, started_at, ended_at)
    SELECT ((now() AT TIME ZONE 'UTC')::date - 40 - DATE '1970-01-01')::bigint * (1::bigint << 40) + n,
           gen_random_uuid(), 1, 1, 'old-' || n, 'manual', 'test', 'success', now(), 0, now(), now()
    FROM generate_series(2, 2500) AS n;
    CREATE TABLE noted (runs bigint, statement_timeout text, lock_timeout text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted SELECT count(*), current_setting('statement_timeout'),
                                 current_setting('lock_timeout') FROM gone;
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER DELETE ON run REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_found_no_partition_move_into_theirs() -> anyhow::Result<()> {
    let store = subak_testkit::postgres::database().await?.store;
    peek::meddle(&store, STRAYS).await?;
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let engine = engine(&store, "one", &mut tasks, &stop).await?;
    // Before anything else is written.
    let today = peek::now(&store).await?.date_naive();
    let strays = "SELECT ((SELECT count(*) FROM try_history_default)
                          + (SELECT count(*) FROM xcom_default)
                          + (SELECT count(*) FROM log_spill_default))::text";
    assert_eq!(peek::text(&store, strays).await?.as_deref(), Some("0"));
    assert!(peek::has_table(&store, &partition("dataset", today)).await?);

    let world = World { store, engine, requests: subak_server::Requests::default(), stop, tasks };
    world.dags("{dag_id: one, tasks: {a: {operator: noop}}}").await?;
    work(world.worker(1).await?, |_, _| Outcome::Success);
    let run = world.trigger("one").await?;
    assert_eq!(world.ended(run).await?, "success");
    // What is of long ago goes as usual, now that it has a partition; what is of today stays.
    let old = partition("try_history", today - Days::new(40));
    world
        .until(
            "the old day to be dropped",
            async || Ok(!peek::has_table(&world.store, &old).await?),
        )
        .await?;
    let left = "SELECT (SELECT count(*) FROM log_spill) || ' ' || (SELECT count(*) FROM xcom)";
    assert_eq!(peek::text(&world.store, left).await?.as_deref(), Some("0 1"));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_upkeep_that_fails_holds_up_no_other() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: kept, tasks: {a: {operator: noop}}}").await?;
    work(world.worker(1).await?, |_, _| Outcome::Success);
    let run = world.trigger("kept").await?;
    world.ended(run).await?;
    let today = peek::now(&world.store).await?.date_naive();
    let day = today - Days::new(31);
    poke::copy_to_day(&world.store, run, day, "success").await?;
    let ahead = partition("xcom", today + Days::new(1));
    peek::meddle(
        &world.store,
        &format!(
            "DROP TABLE {ahead};
             CREATE OR REPLACE FUNCTION partition_make(parent text, day date) RETURNS void
             LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;"
        ),
    )
    .await?;
    let other = world.other("other").await?;
    let old = partition("try_history", day);
    world
        .until(
            "the old day to be dropped",
            async || Ok(!peek::has_table(&world.store, &old).await?),
        )
        .await?;
    assert!(!peek::has_table(&world.store, &ahead).await?);
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_make_each_partition_once() -> anyhow::Result<()> {
    let store = subak_testkit::postgres::database().await?.store;
    let servers = (0..8).map(|_| store.partitions_make(20));
    futures::future::try_join_all(servers).await?;
    let last = peek::now(&store).await?.date_naive() + Days::new(20);
    assert!(peek::has_table(&store, &partition("log_spill", last)).await?);
    Ok(())
}

/// Runs of yesterday, of a DAG that makes several a second and of another one; and the ranges that two of
/// them have read.
const BRIEF: &str = "
    SELECT partitions_make((now() AT TIME ZONE 'UTC')::date - 2);
    INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                     tasks_open, started_at, ended_at)
    SELECT ((now() AT TIME ZONE 'UTC')::date - 2 - DATE '1970-01-01')::bigint * (1::bigint << 40) + n,
           gen_random_uuid(), dag.dag, dag.version, dag_id || n, 'scheduled', 'scheduler',
           state::run_state, now(), 0, now(), now() - make_interval(hours => hours)
    FROM (VALUES ('brief', 1, 'success', 25), ('brief', 2, 'failed', 25), ('brief', 3, 'success', 23),
                 ('other', 4, 'success', 25), ('brief', 5, 'success', 26)) AS r (of_dag, n, state, hours)
    JOIN dag ON dag.dag_id = of_dag;
    INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, ended_at)
    SELECT run_key, 1, -1, row_number() OVER (), 'success', 1, 0, now() FROM run;
    INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks, run_key, state)
    SELECT dag, 1, row_number() OVER (ORDER BY run_key), 'c', 't', '[]', false, '{}', run_key, 'committed'
    FROM run WHERE run_id IN ('brief1', 'brief3');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_continuous_dags_are_kept_for_a_day() -> anyhow::Result<()> {
    // Without an engine: its own first round of upkeep may come in between.
    let store = subak_testkit::postgres::database().await?.store;
    let paused = "is_paused_upon_creation: true, tasks: {a: {operator: noop}}";
    save(&store, &format!("{{dag_id: brief, schedule: '@continuous', {paused}}}")).await?;
    save(&store, &format!("{{dag_id: other, schedule: '@hourly', {paused}}}")).await?;
    peek::meddle(&store, BRIEF).await?;
    assert_eq!(store.brief_runs_drop(24).await?, 1);
    assert_eq!(store.brief_runs_drop(24).await?, 0);
    let left = "SELECT string_agg(run_id, ' ' ORDER BY run_id) || ' ' || (SELECT count(*) FROM try_history)
                FROM run";
    let left = peek::text(&store, left).await?;
    // A failed one stays, and so does the newest.
    assert_eq!(left.as_deref(), Some("brief2 brief3 brief5 other4 4"));
    assert_eq!(store.ranges_drop().await?, 1);
    let ranges = "SELECT string_agg(sequence::text, ' ') FROM topic_range";
    assert_eq!(peek::text(&store, ranges).await?.as_deref(), Some("2"));
    Ok(())
}

/// A run of forty days ago and one of today, with dead letters of every state; the last of the old run was
/// replayed by that of today.
const LETTERS: &str = "
    INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                     tasks_open, started_at, ended_at)
    SELECT ((now() AT TIME ZONE 'UTC')::date - days - DATE '1970-01-01')::bigint * (1::bigint << 40) + 1,
           gen_random_uuid(), dag, version, 'of-' || days, 'manual', 'test', 'success', now(), 0, now(),
           now()
    FROM dag CROSS JOIN unnest(ARRAY[40, 0]) AS days;
    INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks, run_key,
                             state, replay_run)
    SELECT dag, 1, 1, 'subak', 'dead letters', '[]', false, '{}', run_key, 'committed', run_id
    FROM run WHERE run_id = 'of-0';
    INSERT INTO dead_letter (dag, task, source, partition, position, reasons, raw, run_key, map_index,
                             token, visible, state, replay)
    SELECT run.dag, t.task, 'orders', 0, n, '[]', 'record', run.run_key, -1, n, visible, l.state, r.id
    FROM (VALUES (40, 1, 'open', true, false), (40, 2, 'replayed', true, false),
                 (40, 3, 'dismissed', true, false), (40, 4, 'superseded', true, false),
                 (40, 5, 'open', false, false), (40, 6, 'replayed', true, true),
                 (0, 7, 'dismissed', true, false), (0, 8, 'open', true, false))
         AS l (days, n, state, visible, is_by_today)
    JOIN run ON run.run_id = 'of-' || days
    JOIN dag_task AS t ON t.dag = run.dag
    LEFT JOIN topic_range AS r ON is_by_today;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_dead_letters_outlive_their_run_and_settled_ones_go_with_it() -> anyhow::Result<()> {
    let store = subak_testkit::postgres::database().await?.store;
    save(&store, "{dag_id: kept, tasks: {a: {operator: noop}}}").await?;
    let day = peek::now(&store).await?.date_naive() - Days::new(40);
    peek::meddle(&store, &format!("SELECT partitions_make('{day}'); {LETTERS}")).await?;
    let left = "SELECT string_agg(position::text, ' ' ORDER BY position) FROM dead_letter";
    assert_eq!(store.letters_drop().await?, 0, "their runs are kept");
    assert!(store.day_drop(day).await?);
    assert_eq!(store.letters_drop().await?, 4);
    assert_eq!(store.letters_drop().await?, 0);
    assert_eq!(peek::text(&store, left).await?.as_deref(), Some("1 6 7 8"));

    // What is open can still be read whole, and goes once it is settled.
    let open = LetterFilter { state: Some("open".to_owned()), ..LetterFilter::default() };
    let listed = store.letter_list(&open, 10, 0).await?.items;
    let orphan = listed.iter().find(|letter| letter.run_id.is_none()).unwrap();
    let (_, record) = store.letter_get(orphan.id).await?.unwrap();
    assert_eq!((orphan.position, &*record), (1, &b"record"[..]));
    let this = LetterFilter { ids: vec![orphan.id], ..LetterFilter::default() };
    assert_eq!(store.letters_dismiss(&this).await?, 1);
    assert_eq!(store.letters_dismiss(&this).await?, 0);
    assert_eq!(store.letters_drop().await?, 1);
    assert_eq!(peek::text(&store, left).await?.as_deref(), Some("6 7 8"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_runs_go_in_slices_without_the_limits_of_pages() -> anyhow::Result<()> {
    let store = subak_testkit::postgres::database().await?.store;
    let day = peek::now(&store).await?.date_naive() - Days::new(40);
    peek::meddle(&store, &format!("SELECT partitions_make('{day}'); {MANY}")).await?;
    assert_eq!(store.days_expired(30).await?, [day]);
    assert!(store.day_drop(day).await?);
    assert_eq!(store.days_expired(30).await?, []);
    assert!(!peek::has_table(&store, &partition("xcom", day)).await?);
    let noted = "SELECT string_agg(concat_ws(' ', runs, statement_timeout, lock_timeout), ', ')
                 FROM noted WHERE runs > 0";
    let expected = "1000 0 1s, 1000 0 1s, 499 0 1s";
    assert_eq!(peek::text(&store, noted).await?.as_deref(), Some(expected));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_holds_up_a_drop_but_nobody_for_long_behind_it() -> anyhow::Result<()> {
    let database = subak_testkit::postgres::database().await?;
    let store = database.store.clone();
    let day = peek::now(&store).await?.date_naive() - Days::new(40);
    peek::meddle(&store, &format!("SELECT partitions_make('{day}')")).await?;
    let reader = poke::hold_snapshot(&database.url, "try_history").await?;
    let dropping = tokio::spawn({
        let store = store.clone();
        async move { store.day_drop(day).await }
    });
    while peek::waiting_for_locks(&store).await? == 0 && !dropping.is_finished() {
        tokio::task::yield_now().await;
    }
    // Whoever comes now waits behind the drop, which waits for the reader: but not as long as that.
    assert_eq!(peek::text(&store, "SELECT max(state)::text FROM try_history").await?, None);
    let old = partition("try_history", day);
    assert!(peek::has_table(&store, &old).await?, "a reader is at it");
    drop(reader);
    // The first one may have given up by now.
    let _ = dropping.await?;
    assert!(store.day_drop(day).await?);
    assert!(!peek::has_table(&store, &old).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_takes_as_long_as_it_takes() -> anyhow::Result<()> {
    let database = subak_testkit::postgres::empty().await?;
    peek::meddle(
        &database.store,
        "CREATE TABLE noted (statement_timeout text);
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.noted VALUES (current_setting('statement_timeout'));
         END $$;
         CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note();",
    )
    .await?;
    database.store.migrate().await?;
    let limits = "SELECT string_agg(DISTINCT statement_timeout, ' ') FROM noted";
    assert_eq!(peek::text(&database.store, limits).await?.as_deref(), Some("0"));
    // Again, and by two servers at once: there is nothing to do.
    let (one, two) = tokio::join!(database.store.migrate(), database.store.migrate());
    one?;
    Ok(two?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_are_made_anew_by_one_server_when_that_is_due() -> anyhow::Result<()> {
    let store = subak_testkit::postgres::database().await?.store;
    assert!(!store.reindex(7).await?, "a new installation has no need");
    let file = "SELECT concat_ws(' ', pg_relation_filenode('live_ready'),
                                 pg_relation_filenode('run_queued'))";
    let before = peek::text(&store, file).await?;
    let due = "UPDATE upkeep SET done_at = now() - interval '8 days'";
    peek::meddle(&store, due).await?;
    let (one, two) = tokio::join!(store.reindex(7), store.reindex(7));
    assert!(one? ^ two?, "one of two servers does it");
    let after = peek::text(&store, file).await?;
    assert_ne!(after, before);
    assert!(!store.reindex(7).await?);
    assert_eq!(peek::text(&store, file).await?, after);
    // What an interrupted round left is removed by the next one.
    peek::meddle(
        &store,
        "CREATE INDEX live_ready_ccnew ON live (queue);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'live_ready_ccnew'::regclass;",
    )
    .await?;
    peek::meddle(&store, due).await?;
    assert!(store.reindex(7).await?);
    assert!(!peek::has_table(&store, "live_ready_ccnew").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_up_vacuum_is_found() -> anyhow::Result<()> {
    let database = subak_testkit::postgres::database().await?;
    let store = &database.store;
    let calm = store.strain().await?;
    assert_eq!((calm.snapshot_of, calm.dead_rows), (None, 0));
    peek::meddle(
        store,
        "ALTER TABLE live SET (autovacuum_enabled = off);
         INSERT INTO live (run_key, task, map_index, state, priority, queue, queued_at)
         SELECT 1, n, -1, 'queued', 0, 'default', now() FROM generate_series(1, 300) AS n;
         DELETE FROM live",
    )
    .await?;
    let forgotten = poke::hold_snapshot(&database.url, "live").await?;
    // Counts of rows come a moment later.
    let strained = loop {
        let strain = store.strain().await?;
        if strain.dead_rows >= 300 {
            break strain;
        }
        tokio::task::yield_now().await;
    };
    assert!(strained.snapshot_secs > 0.0);
    assert!(strained.snapshot_of.is_some_and(|of| of.contains("process")), "it can be ended");
    drop(forgotten);
    Ok(())
}

fn partition(table: &str, day: NaiveDate) -> String {
    format!("{table}_{}", day.format("%Y%m%d"))
}
