//! Setups and teardowns that are mapped, in groups and by themselves. What comes out is what Airflow's own
//! tests of them (`TestMappedSetupTeardown`) expect.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use subak_core::dag::parse;
use subak_core::decide::memory::{MemoryRun, Report, TryOutcome};
use subak_core::decide::{Plan, Says, TryEnd};
use subak_core::ids::Instance;
use subak_core::state::RunState;

/// Plays a run in which these instances fail and those are skipped; the rest succeeds and returns three
/// items. Returns the states, such as `work[0] success`.
fn play(tasks: &str, fail: &[&str], skip: &[&str]) -> (RunState, Vec<String>) {
    let parsed = parse("dags/setups.yaml", &format!("dag_id: setups\n{tasks}"));
    let wrong: Vec<_> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(parsed.dags[0].clone())).unwrap());
    let name = |at: Instance| {
        let id = &plan.spec(plan.task(at.task).unwrap()).task_id.0;
        if at.map_index.is_none() { id.clone() } else { format!("{id}[{}]", at.map_index.0) }
    };
    let (mut run, step) = MemoryRun::start(plan.clone());
    let mut started: Vec<Instance> = step.started().map(|start| start.at).collect();
    while !started.is_empty() {
        let at = started.remove(0);
        let id = name(at);
        let (outcome, says) = if fail.contains(&id.as_str()) {
            (TryOutcome::Failed(TryEnd::Permanent), Says::default())
        } else if skip.contains(&id.as_str()) {
            (TryOutcome::Skipped, Says::default())
        } else {
            let says = Says::of(&plan, plan.task(at.task).unwrap(), Some(&json!([1, 2, 3])));
            (TryOutcome::Success, says.unwrap())
        };
        let step = run.ended(&[Report { at, outcome, says, exit_code: None }], 0.0);
        started.extend(step.started().map(|start| start.at));
    }
    let state = |at| run.state(at).map_or("none", |state| state.as_str());
    let states: BTreeMap<_, _> = run.instances().map(|at| (name(at), state(at))).collect();
    (run.run_state(), states.into_iter().map(|(id, state)| format!("{id} {state}")).collect())
}

const GROUP: &str = "task_groups: {file: {expand: {name: [a, b, c]}}}
tasks:
  make: {operator: noop, task_group: file, setup: true}
  work: {operator: noop, task_group: file, depends_on: [make]}
  drop: {operator: noop, task_group: file, depends_on: [work], teardown: {setups: [make]}}
";

/// The same, where `more` has its setup, and the teardown its `work`, further up: as guards.
const CHAIN: &str = "task_groups: {file: {expand: {name: \"{{ ti.xcom_pull('list') }}\"}}}
tasks:
  list: {operator: python, with: {code: 'print(1)'}}
  make: {operator: noop, task_group: file, setup: true}
  work: {operator: noop, task_group: file, depends_on: [make]}
  more: {operator: noop, task_group: file, depends_on: [work], trigger_rule: all_done}
  drop: {operator: noop, task_group: file, depends_on: [more], teardown: {setups: [make]}}
";

#[test]
fn a_teardown_of_a_group_belongs_to_the_setup_of_its_index() {
    let (run, states) = play(GROUP, &["file.make[1]"], &["file.make[2]"]);
    let expected = [
        "file.drop[0] success",
        "file.drop[1] upstream_failed",
        "file.drop[2] skipped",
        "file.make[0] success",
        "file.make[1] failed",
        "file.make[2] skipped",
        "file.work[0] success",
        "file.work[1] upstream_failed",
        "file.work[2] skipped",
    ];
    assert_eq!(states, expected);
    assert_eq!(run, RunState::Failed);
}

#[test]
fn a_teardown_of_a_group_runs_whatever_the_work_did() {
    let (run, states) = play(GROUP, &["file.work[1]"], &["file.work[2]"]);
    let expected = [
        "file.drop[0] success",
        "file.drop[1] success",
        "file.drop[2] success",
        "file.make[0] success",
        "file.make[1] success",
        "file.make[2] success",
        "file.work[0] success",
        "file.work[1] failed",
        "file.work[2] skipped",
    ];
    assert_eq!(states, expected);
    assert_eq!(run, RunState::Failed);
    let (run, states) = play(GROUP, &["file.drop[1]"], &[]);
    assert_eq!(
        states[..3],
        ["file.drop[0] success", "file.drop[1] failed", "file.drop[2] success"]
    );
    assert_eq!(run, RunState::Success, "a failed teardown fails no run");
}

#[test]
fn guards_in_a_group_are_those_of_the_same_index() {
    let (_, states) = play(CHAIN, &["file.make[1]", "file.work[2]"], &["file.make[0]"]);
    let expected = [
        "file.drop[0] skipped",
        "file.drop[1] upstream_failed",
        "file.drop[2] success",
        "file.make[0] skipped",
        "file.make[1] failed",
        "file.make[2] success",
        "file.more[0] skipped",
        "file.more[1] upstream_failed",
        "file.more[2] success",
        "file.work[0] skipped",
        "file.work[1] upstream_failed",
        "file.work[2] failed",
        "list success",
    ];
    assert_eq!(states, expected);
}

#[test]
fn one_setup_has_a_teardown_for_each_of_what_it_returns() {
    let tasks = |special: &str| {
        format!(
            "tasks:
  make: {{operator: python, with: {{code: 'print(1)'}}}}
  work: {{operator: noop, depends_on: [make]}}
  drop:
    operator: python
    depends_on: [work]
    with: {{code: 'print(1)'}}
    expand: {{input: \"{{{{ ti.xcom_pull('make') }}}}\"}}
    teardown: {{setups: [make]{special}}}
"
        )
    };
    let (run, states) = play(&tasks(""), &["work"], &[]);
    let all = ["drop[0] success", "drop[1] success", "drop[2] success"];
    assert_eq!(states[..3], all);
    assert_eq!(states[3..], ["make success", "work failed"]);
    assert_eq!(run, RunState::Failed);
    for (special, end) in
        [("", RunState::Success), (", on_failure_fail_dagrun: true", RunState::Failed)]
    {
        let (run, states) = play(&tasks(special), &["drop[1]"], &[]);
        assert_eq!(states[..3], ["drop[0] success", "drop[1] failed", "drop[2] success"]);
        assert_eq!(run, end, "{special}");
    }
}

#[test]
fn a_teardown_of_mapped_setups_runs_if_one_of_them_succeeded() {
    let tasks = "tasks:
  make: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}, {N: c}]}}
  other: {operator: noop}
  work: {operator: noop, depends_on: [make]}
  drop: {operator: noop, depends_on: [work], teardown: {setups: [make, other]}}
  away: {operator: noop, teardown: {setups: [other]}}
";
    let made = ["make[0]", "make[1]", "make[2]"];
    for (fail, skip, drop, work) in [
        (&made[1..2], &made[2..], "success", "upstream_failed"),
        (&made[..], &[][..], "success", "upstream_failed"),
        (
            &["make[0]", "make[1]", "make[2]", "other"][..],
            &[][..],
            "upstream_failed",
            "upstream_failed",
        ),
        (&["other"][..], &made[..], "upstream_failed", "skipped"),
        (&[][..], &["make[0]", "make[1]", "make[2]", "other"][..], "skipped", "skipped"),
        (&["other"][..], &[][..], "success", "success"),
    ] {
        let (_, states) = play(tasks, fail, skip);
        let of = |id: &str| {
            let prefix = format!("{id} ");
            states.iter().find_map(|it| it.strip_prefix(&prefix)).unwrap().to_owned()
        };
        assert_eq!((of("drop").as_str(), of("work").as_str()), (drop, work), "{fail:?} {skip:?}");
    }
}

#[test]
fn mapped_teardowns_wait_for_all_of_their_mapped_setups() {
    let tasks = "tasks:
  make: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}]}}
  drop:
    operator: bash
    with: {command: 'true'}
    expand: {env: [{N: a}, {N: b}]}
    teardown: {setups: [make]}
";
    let (run, states) = play(tasks, &["make[0]"], &[]);
    let expected = ["drop[0] success", "drop[1] success", "make[0] failed", "make[1] success"];
    assert_eq!(states, expected, "by themselves they have no index in common");
    assert_eq!(run, RunState::Failed);
    let (_, states) = play(tasks, &["make[0]", "make[1]"], &[]);
    assert_eq!(states[..2], ["drop[0] upstream_failed", "drop[1] upstream_failed"]);
}

const MENDED: &str = "tasks:
  first: {operator: noop}
  make: {operator: noop, setup: true, depends_on: [first]}
  use: {operator: noop, depends_on: [make]}
  later: {operator: noop, depends_on: [use]}
  flaky: {operator: noop, depends_on: [first], retries: 1}
  away: {operator: noop, depends_on: [later], teardown: {setups: [make]}}
";

/// As the engine does it: `server/tests/it/cancel.rs`.
#[test]
fn a_cancel_leaves_teardowns_of_setups_that_ran() {
    let parsed = parse("dags/setups.yaml", &format!("dag_id: setups\n{MENDED}"));
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(parsed.dags[0].clone())).unwrap());
    let at = |id: &str| Instance::single(plan.number(&id.into()).unwrap());
    let ended = |run: &mut MemoryRun, id: &str, outcome: TryOutcome| {
        let step = run.ended(&[Report::plain(at(id), outcome)], 0.0);
        let mut started: Vec<Instance> = step.started().map(|start| start.at).collect();
        started.sort_unstable();
        (started, step.run)
    };
    let failed = TryOutcome::Failed(TryEnd::Transient);
    let state = |run: &MemoryRun, id: &str| run.state(at(id)).map(|state| state.as_str());

    let (mut run, _) = MemoryRun::start(plan.clone());
    let mut both = vec![at("make"), at("flaky")];
    both.sort_unstable();
    assert_eq!(ended(&mut run, "first", TryOutcome::Success), (both, None));
    assert_eq!(ended(&mut run, "make", TryOutcome::Success), (vec![at("use")], None));
    assert_eq!(ended(&mut run, "flaky", failed), (vec![], None));
    let step = run.cancel();
    assert_eq!((step.effects.len(), step.started().count(), step.run), (2, 0, None));
    assert_eq!([state(&run, "later"), state(&run, "flaky")], [Some("skipped"); 2]);
    // A delay that is over too late starts nothing; what was stopped is not tried again.
    assert_eq!(run.retry_due(at("flaky")).started().count(), 0);
    assert_eq!(ended(&mut run, "use", failed), (vec![at("away")], None));
    assert_eq!(state(&run, "use"), Some("failed"));
    assert_eq!(ended(&mut run, "away", TryOutcome::Success), (vec![], Some(RunState::Failed)));

    // Where the setup never ran there is nothing to put away, and the run has failed all the same.
    let (mut run, _) = MemoryRun::start(plan.clone());
    assert_eq!(run.cancel().run, None);
    let end = ended(&mut run, "first", TryOutcome::Success);
    assert_eq!((end, state(&run, "away")), ((vec![], Some(RunState::Failed)), Some("skipped")));
}
