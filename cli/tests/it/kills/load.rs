//! The DAG under which processes are killed: 200 processes at once, and every way on from them.

use std::fmt::Write;

use subak_testkit::stack::Notes;

/// Tasks that start together.
pub(super) const WIDE: usize = 200;

/// The DAG's id.
pub(super) const LOAD: &str = "load";

/// Tasks that join the same group.
const GROUP: usize = 20;

/// Returns the DAG file.
///
/// Some tasks fail at first and are tried again; some fail for good, and what follows them runs
/// because of that. Every leaf succeeds.
pub(super) fn dag(notes: &Notes) -> String {
    let mut text = format!(
        "dag_id: {LOAD}\nmax_active_runs: 1000\nmax_active_tasks: 1000\n\
         default_args: {{retries: 3, retry_delay: 200ms}}\ntasks:\n  begin: {{operator: noop}}\n"
    );
    let mut task = |id: String, what: &str, after: &[String], rule: &str| {
        let after = after.join(", ");
        writeln!(text, "  {id}: {{{what}, depends_on: [{after}], trigger_rule: {rule}}}")
            .expect("writing into a string");
    };
    let mut last = Vec::new();
    for n in 0..WIDE {
        let secs = 1.0 + (n * 37 % 100) as f64 / 80.0;
        let fails = u32::from(n % 9 == 0);
        task(format!("m{n}"), &notes.task(secs, fails), &["begin".to_owned()], "all_success");
        if n % 5 == 0 {
            task(format!("c{n}"), "operator: noop", &[format!("m{n}")], "all_success");
            task(format!("d{n}"), &notes.task(0.05, 0), &[format!("c{n}")], "all_success");
            last.push(format!("d{n}"));
        }
    }
    for group in 0..WIDE / GROUP {
        let above: Vec<_> = (0..GROUP).map(|n| format!("m{}", group * GROUP + n)).collect();
        task(format!("all{group}"), "operator: noop", &above, "all_success");
        task(format!("any{group}"), &notes.task(0.1, 0), &above, "one_success");
        task(format!("done{group}"), "operator: empty", &above, "all_done");
        last.extend(["all", "any", "done"].map(|name| format!("{name}{group}")));
        let broken = format!("broken{group}");
        let what = format!("{}, retries: 0", notes.task(0.3, 99));
        task(broken.clone(), &what, &["begin".to_owned()], "all_success");
        task(format!("alarm{group}"), &notes.task(0.1, 0), &[broken], "one_failed");
        last.push(format!("alarm{group}"));
    }
    task("end".to_owned(), "operator: noop", &last, "all_success");
    text
}

/// Returns whether this is how the task should end.
pub(super) fn is_right(ended: &str) -> bool {
    let fails = ended.starts_with("broken");
    ended.ends_with(if fails { " failed" } else { " success" })
}

/// How many tasks the DAG has.
pub(super) fn tasks(dag: &str) -> usize {
    dag.lines().filter(|line| line.contains("operator: ")).count()
}
