//! The checker goes red: each test breaks one thing in the database and names what it must find.

use subak_testkit::checker::{Journal, Moment, assert_kept, check};
use subak_testkit::{TestDatabase, database};

/// Run 1 of a DAG `a, b → c`, ended well.
const GOOD: &str = r#"
    INSERT INTO dag (dag_id, version, file, max_active_runs) VALUES ('d', 1, 'd.yaml', 16);
    INSERT INTO dag_task SELECT dag, n, chr(97 + n) FROM dag, generate_series(0, 2) AS n;
    INSERT INTO dag_version (dag, version, hash, canonical, source, file)
    SELECT dag, 1, '', '{"tasks": [
        {"task_id": "a", "operator": "noop", "upstream": [], "trigger_rule": "all_success",
         "pool": "default_pool", "pool_slots": 1},
        {"task_id": "b", "operator": "noop", "upstream": [], "trigger_rule": "all_success",
         "pool": "narrow", "pool_slots": 2},
        {"task_id": "c", "operator": "noop", "upstream": ["a", "b"], "trigger_rule": "all_success",
         "pool": "default_pool", "pool_slots": 1}
    ]}', '', 'd.yaml' FROM dag;
    INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                     tasks_open, ended_at)
    SELECT 1, gen_random_uuid(), dag, 1, 'one', 'manual', 'cli', 'success', now(), 0, now() FROM dag;
    INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, session,
                             started_at, ended_at)
    VALUES (1, 0, -1, 10, 'success', 1, 0, 7, '2026-01-01 10:00', '2026-01-01 10:01'),
           (1, 1, -1, 11, 'success', 1, 0, 7, '2026-01-01 10:00', '2026-01-01 10:02'),
           (1, 2, -1, 12, 'success', 1, 0, 7, '2026-01-01 10:03', '2026-01-01 10:04');
"#;

/// Makes the run one that still waits for `b`.
const OPEN: &str = "
    DELETE FROM try_history WHERE task IN (1, 2);
    UPDATE run SET state = 'running', tasks_open = 2, tasks_active = 1, ended_at = NULL;
    INSERT INTO live (run_key, task, map_index, state, priority, queue, try_number, session, token,
                      queued_at, started_at)
    VALUES (1, 1, -1, 'running', 1, 'default', 1, 7, 11, now(), now());
    INSERT INTO join_state (run_key, task, map_index, needed, success) VALUES (1, 2, -1, 2, 1);
";

async fn with(statements: &[&str]) -> TestDatabase {
    let database = database().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    for sql in statements {
        let sql = sqlx::AssertSqlSafe((*sql).to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    database
}

async fn found(statements: &[&str], moment: Moment) -> Vec<&'static str> {
    let database = with(statements).await;
    let found = check(database.store.pool(), &Journal::default(), moment).await.unwrap();
    let mut invariants: Vec<_> = found.iter().map(|violation| violation.invariant).collect();
    invariants.dedup();
    invariants
}

#[tokio::test]
async fn what_is_right_is_found_right() {
    for statements in [&[GOOD][..], &[GOOD, OPEN]] {
        let database = with(statements).await;
        assert_kept(database.store.pool(), &Journal::default(), Moment::Under).await;
    }
}

#[tokio::test]
async fn a_lost_task_is_found() {
    let lost = "DELETE FROM try_history WHERE task = 2";
    assert_eq!(found(&[GOOD, lost], Moment::Under).await, ["I4"]);
    assert_eq!(found(&[GOOD, OPEN], Moment::AtTheEnd).await, ["I1"]);
    let never_started = "DELETE FROM live; UPDATE run SET tasks_active = 0";
    assert_eq!(found(&[GOOD, OPEN, never_started], Moment::Under).await, ["I1"]);
}

#[tokio::test]
async fn a_second_accepted_end_is_found() {
    let twice = "INSERT INTO try_history SELECT run_key, task, map_index, 13, state, try_number,
                 resets, exit_code, session, queued_at, '2026-01-01 10:05', '2026-01-01 10:06'
                 FROM try_history WHERE task = 2";
    assert_eq!(found(&[GOOD, twice], Moment::Under).await, ["I1", "I13", "I2"]);
}

#[tokio::test]
async fn tries_at_the_same_time_are_found() {
    let overlap = "UPDATE try_history SET state = 'up_for_retry' WHERE task = 2;
                   INSERT INTO try_history (run_key, task, map_index, token, state, try_number,
                                            resets, session, started_at, ended_at)
                   VALUES (1, 2, -1, 13, 'success', 2, 0, 8, '2026-01-01 10:03', '2026-01-01 10:05')";
    assert_eq!(found(&[GOOD, overlap], Moment::Under).await, ["I3"]);
}

#[tokio::test]
async fn a_start_before_its_upstream_ended_is_found() {
    let early = "UPDATE try_history SET started_at = '2026-01-01 10:01:30' WHERE task = 2";
    assert_eq!(found(&[GOOD, early], Moment::Under).await, ["I5"]);
}

#[tokio::test]
async fn a_state_that_no_rule_gives_is_found() {
    let wrong = "UPDATE try_history SET state = 'failed' WHERE task = 0";
    assert_eq!(found(&[GOOD, wrong], Moment::Under).await, ["I6"]);
}

#[tokio::test]
async fn wrong_counters_are_found() {
    let miscounted = "UPDATE join_state SET success = 0";
    assert_eq!(found(&[GOOD, OPEN, miscounted], Moment::Under).await, ["I11"]);
    let forgotten = "DELETE FROM join_state";
    assert_eq!(found(&[GOOD, OPEN, forgotten], Moment::Under).await, ["I11"]);
    let kept = "INSERT INTO join_state (run_key, task, map_index, needed) VALUES (1, 2, -1, 2)";
    assert_eq!(found(&[GOOD, kept], Moment::Under).await, ["I11"]);
}

#[tokio::test]
async fn a_pool_that_is_too_full_or_miscounted_is_found() {
    let pooled = "INSERT INTO pool (name, slots, used) VALUES ('narrow', 2, 2);
                  UPDATE live SET pool = 'narrow', pool_slots = 2";
    assert_eq!(found(&[GOOD, OPEN, pooled], Moment::Under).await, [""; 0]);
    let full = "UPDATE pool SET slots = 1";
    assert_eq!(found(&[GOOD, OPEN, pooled, full], Moment::Under).await, ["I15"]);
    let miscounted = "UPDATE pool SET used = 1";
    assert_eq!(found(&[GOOD, OPEN, pooled, miscounted], Moment::Under).await, ["I15"]);
}

#[tokio::test]
async fn more_tasks_at_once_than_a_run_may_have_are_found() {
    let most = |most: u32| {
        format!(
            r#"UPDATE dag_version SET canonical = canonical || '{{"max_active_tasks": {most}}}'"#
        )
    };
    assert_eq!(found(&[GOOD, &most(2)], Moment::Under).await, [""; 0]);
    assert_eq!(found(&[GOOD, &most(1)], Moment::Under).await, ["I7"]);
}

/// A second run, of the next day, at the same hours as the first.
const SECOND: &str = "
    INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                     tasks_open, ended_at)
    SELECT 2, gen_random_uuid(), dag, 1, 'two', 'manual', 'cli', 'success', now(), 0, now() FROM dag;
    UPDATE run SET logical_date = timestamptz '2026-01-01' + run_key * interval '1 day';
    INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, session,
                             started_at, ended_at)
    SELECT 2, task, map_index, token + 100, state, try_number, resets, session, started_at, ended_at
    FROM try_history;
";

fn task_has(task: usize, key: &str, value: &str) -> String {
    format!(
        "UPDATE dag_version SET canonical = jsonb_set(canonical, '{{tasks,{task},{key}}}', '{value}')"
    )
}

#[tokio::test]
async fn more_instances_at_once_than_a_task_may_have_are_found() {
    let most = |most: &str| task_has(0, "max_active_tis_per_dag", most);
    assert_eq!(found(&[GOOD, SECOND, &most("2")], Moment::Under).await, [""; 0]);
    assert_eq!(found(&[GOOD, SECOND, &most("1")], Moment::Under).await, ["I7"]);
    let twice = "UPDATE try_history SET try_number = 2 WHERE task = 0;
                 INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets,
                                          session, started_at, ended_at)
                 VALUES (1, 0, -1, 9, 'up_for_retry', 1, 0, 7, '2026-01-01 10:00', '2026-01-01 10:01')";
    let of_run = task_has(0, "max_active_tis_per_dagrun", "1");
    assert_eq!(found(&[GOOD, &of_run], Moment::Under).await, [""; 0]);
    assert_eq!(found(&[GOOD, &of_run, twice], Moment::Under).await, ["I3", "I7"]);
}

#[tokio::test]
async fn a_start_before_the_run_before_let_it_is_found() {
    let later = |by: &str| {
        format!(
            "UPDATE try_history SET started_at = started_at + interval '{by}',
                                    ended_at = ended_at + interval '{by}' WHERE run_key = 2"
        )
    };
    for (task, key, soon, enough) in
        [(2, "depends_on_past", "50 s", "1 min"), (0, "wait_for_downstream", "3 min", "4 min")]
    {
        let waits = task_has(task, key, "true");
        let early = found(&[GOOD, SECOND, &waits, &later(soon)], Moment::Under).await;
        assert_eq!(early, ["I16"], "{key}");
        assert_eq!(found(&[GOOD, SECOND, &waits, &later(enough)], Moment::Under).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_decision_that_may_be_made_again_is_found() {
    let decided = "UPDATE join_state SET decided = true";
    assert_eq!(found(&[GOOD, OPEN, decided], Moment::Under).await, ["I13"]);
}

#[tokio::test]
async fn a_start_after_the_cancel_is_found() {
    let cancelled = "UPDATE run SET state = 'failed', cancelled_at = '2026-01-01 10:02:30'";
    assert_eq!(found(&[GOOD, cancelled], Moment::Under).await, ["I14"]);
}

mod pauses {
    use chrono::{DateTime, Utc};
    use subak_testkit::checker::pauses::{GoesOn, Pause, Pauses};

    use super::*;

    /// An instant of the day, `10:02:30`.
    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    /// What is noted of a pause that was committed by this time.
    struct Noted {
        database: TestDatabase,
        pauses: Pauses,
    }

    impl Noted {
        /// `c`, which starts at 10:03, is ready since then.
        async fn paused(paused: &str, c_ready: &str) -> Self {
            let ready = format!(
                "UPDATE try_history SET queued_at = '2026-01-01 {c_ready}' WHERE task = 2;
                 UPDATE try_history SET queued_at = '2026-01-01 09:59:40' WHERE task < 2"
            );
            let database = with(&[GOOD, &ready]).await;
            let dag = sqlx::query_scalar("SELECT dag FROM dag");
            let dag: i32 = dag.fetch_one(database.store.pool()).await.unwrap();
            let (asked_at, paused_at) = (at(paused), at(paused));
            let pause = Pause { dag, asked_at, paused_at, looked_at: None };
            Self { database, pauses: Pauses { pauses: vec![pause], ends: Vec::new() } }
        }

        fn pause(&mut self) -> &mut Pause {
            &mut self.pauses.pauses[0]
        }

        /// Somebody lets the DAG go on, or another one.
        fn goes_on(&mut self, beyond: i32, asked: &str, done: &str) {
            let dag = self.pause().dag + beyond;
            self.pauses.ends.push(GoesOn { dag, asked_at: at(asked), done_at: at(done) });
        }

        async fn found(&self) -> Vec<&'static str> {
            let journal = Journal::default().with_pauses(self.pauses.clone());
            let found = check(self.database.store.pool(), &journal, Moment::Under).await.unwrap();
            found.iter().map(|violation| violation.invariant).collect()
        }
    }

    #[tokio::test]
    async fn what_became_ready_and_started_while_its_dag_was_paused_is_found() {
        let mut noted = Noted::paused("10:01:30", "10:02:00").await;
        assert_eq!(noted.found().await, ["I17"]);
        noted.goes_on(1, "10:02:00", "10:02:00");
        noted.goes_on(0, "10:01:00", "10:01:20");
        assert_eq!(noted.found().await, ["I17"], "neither let it go on");
        noted.goes_on(0, "10:01:00", "10:01:40");
        assert_eq!(noted.found().await, [""; 0], "whether it was paused is not known");
        noted.pauses.ends.pop();
        noted.goes_on(0, "10:02:59", "10:03:01");
        assert_eq!(noted.found().await, [""; 0]);
        // Its slot is given to `b`, which has a pool, by whomever.
        let mut noted = Noted::paused("09:59:30", "09:59:00").await;
        noted.goes_on(0, "10:01:00", "10:01:00");
        assert_eq!(noted.found().await, ["I17"], "of `a` alone");
    }

    #[tokio::test]
    async fn what_waited_and_was_not_held_back_is_found() {
        let mut noted = Noted::paused("10:01:30", "10:01:00").await;
        assert_eq!(noted.found().await, [""; 0], "it started before the look");
        noted.pause().looked_at = Some(at("10:02:00"));
        assert_eq!(noted.found().await, ["I17"]);
        noted.goes_on(0, "10:02:00", "10:02:00");
        assert_eq!(noted.found().await, [""; 0]);
    }
}

/// Of the same tasks `c` is the teardown of `a`, or comes after the setup `a` and then `b`; `a` failed.
fn guarded(c: &str, b: &str) -> String {
    format!(
        r#"UPDATE dag_version SET canonical = '{{"tasks": [
            {{"task_id": "a", "operator": "noop", "upstream": [], "trigger_rule": "all_success",
              "pool": "default_pool", "pool_slots": 1, "setup": true}},
            {{"task_id": "b", "operator": "noop", "upstream": [{b}], "trigger_rule": "all_success",
              "pool": "default_pool", "pool_slots": 1}},
            {{"task_id": "c", "operator": "noop", "pool": "default_pool", "pool_slots": 1, {c}}}
        ]}}';
        UPDATE try_history SET state = 'failed' WHERE task = 0;
        UPDATE try_history SET started_at = '2026-01-01 10:01:30' WHERE task = 1;
        UPDATE run SET state = 'failed', leaves_failed = 1;"#
    )
}

#[tokio::test]
async fn a_teardown_without_its_setup_is_found() {
    let teardown = r#""upstream": ["a", "b"], "trigger_rule": "all_done_setup_success",
                      "teardown": {"on_failure_fail_dagrun": false}"#;
    let teardown = guarded(teardown, "");
    assert_eq!(found(&[GOOD, &teardown], Moment::Under).await, ["I6"]);
    let fell = "UPDATE try_history SET state = 'upstream_failed', session = NULL WHERE task = 2";
    assert_eq!(found(&[GOOD, &teardown, fell], Moment::Under).await, [""; 0]);
    let made = "UPDATE try_history SET state = 'success' WHERE task = 0;
                UPDATE run SET state = 'success', leaves_failed = 0";
    assert_eq!(found(&[GOOD, &teardown, fell, made], Moment::Under).await, ["I6"]);
}

#[tokio::test]
async fn what_started_without_a_setup_further_up_is_found() {
    let after = guarded(r#""upstream": ["b"], "trigger_rule": "all_success""#, r#""a""#);
    let leaves = "UPDATE run SET state = 'success', leaves_failed = 0";
    assert_eq!(found(&[GOOD, &after, leaves], Moment::Under).await, ["I5"]);
}

mod journal {
    use subak_testkit::checker::journal::{Entry, Event};

    use super::*;

    const fn entry(event: Event, task: i32, token: i64, at_micros: i64) -> Entry {
        Entry { event, run_key: 1, task, try_number: 1, token, at_micros }
    }

    fn entries() -> Vec<Entry> {
        [(0, 10, 100), (1, 11, 100), (2, 12, 300)]
            .into_iter()
            .flat_map(|(task, token, start)| {
                [
                    entry(Event::Start, task, token, start),
                    entry(Event::End, task, token, start + 50),
                    entry(Event::Accepted, task, token, start + 60),
                ]
            })
            .collect()
    }

    async fn found_with(entries: Vec<Entry>) -> Vec<&'static str> {
        found_by(Journal::new(entries)).await
    }

    async fn found_by(journal: Journal) -> Vec<&'static str> {
        let database = with(&[GOOD]).await;
        let found = check(database.store.pool(), &journal, Moment::AtTheEnd).await.unwrap();
        found.iter().map(|violation| violation.invariant).collect()
    }

    #[tokio::test]
    async fn a_journal_of_what_happened_is_right() {
        assert_eq!(found_with(entries()).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_result_that_was_acknowledged_and_lost_is_found() {
        let mut entries = entries();
        entries.push(entry(Event::Accepted, 2, 99, 400));
        assert_eq!(found_with(entries).await, ["I1"]);
    }

    #[tokio::test]
    async fn a_result_that_no_function_gave_is_found() {
        let mut entries = entries();
        entries.retain(|entry| (entry.event, entry.token) != (Event::End, 12));
        assert_eq!(found_with(entries).await, ["I2"]);
    }

    #[tokio::test]
    async fn only_the_operator_that_keeps_the_journal_is_missed_in_it() {
        let mut entries = entries();
        entries.retain(|entry| entry.token != 12);
        assert_eq!(found_by(Journal::of_operator("bash", entries.clone())).await, [""; 0]);
        assert_eq!(found_by(Journal::of_operator("noop", entries)).await, ["I2"]);
    }

    #[tokio::test]
    async fn functions_at_the_same_time_are_found() {
        let mut entries = entries();
        entries.push(entry(Event::Start, 2, 9, 290));
        entries.push(entry(Event::End, 2, 9, 310));
        assert_eq!(found_with(entries).await, ["I3"]);
    }

    #[tokio::test]
    async fn a_function_before_its_upstream_is_found() {
        let mut entries = entries();
        entries.iter_mut().filter(|entry| entry.task == 1).for_each(|entry| entry.at_micros += 200);
        assert_eq!(found_with(entries).await, ["I5"]);
    }
}
