//! What holds for every file.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::{parse, version};
use super::good;

/// A DAG of `count` tasks, each after some of those before it; keys in the order that `flip` says.
fn file(count: usize, edges: &[(usize, usize)], flip: bool, comment: &str) -> String {
    let mut tasks: Vec<String> = (0..count)
        .map(|task| {
            let upstream: Vec<String> = edges
                .iter()
                .filter(|(_, down)| *down == task)
                .map(|(up, _)| format!("t{up}"))
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
            let mut keys = [
                format!("    operator: bash # {comment}\n"),
                "    with: {env: {A: '1', B: '2'}, command: ls}\n".to_owned(),
                format!("    depends_on: [{}]\n", upstream.join(", ")),
            ];
            if flip {
                keys.reverse();
                keys[1] = "    with: {command: ls, env: {B: '2', A: '1'}}\n".to_owned();
            }
            format!("  t{task}:\n{}", keys.concat())
        })
        .collect();
    if flip {
        tasks.reverse();
        return format!(
            "tasks:\n{}params: {{a: 1, b: 2}}\n# {comment}\ndag_id: a\n",
            tasks.concat()
        );
    }
    format!("dag_id: a\nparams: {{a: 1, b: 2}}\ntasks:\n{}", tasks.concat())
}

proptest! {
    #[test]
    fn comments_and_order_make_no_new_version(
        count in 1usize..12,
        edges in prop::collection::vec((0usize..12, 0usize..12), 0..20),
        comment in "[a-z :{}#]{0,20}",
    ) {
        let edges: Vec<_> =
            edges.into_iter().filter(|(up, down)| up < down && *down < count).collect();
        let plain = good(&file(count, &edges, false, ""));
        let flipped = good(&file(count, &edges, true, &comment));
        prop_assert_eq!(version::hash(&plain), version::hash(&flipped));
        let mut other = plain.clone();
        other.tasks[0].retries += 1;
        prop_assert_ne!(version::hash(&plain), version::hash(&other));
    }

    #[test]
    fn tasks_come_after_their_upstreams(
        count in 1usize..30,
        edges in prop::collection::vec((0usize..30, 0usize..30), 0..60),
    ) {
        let edges: Vec<_> = edges
            .into_iter()
            .filter(|(up, down)| up != down && *up < count && *down < count)
            .collect();
        let parsed = parse("f", &file(count, &edges, false, ""));
        match parsed.dags.first() {
            Some(dag) => {
                let place = |id: &crate::ids::TaskId| {
                    dag.tasks.iter().position(|task| task.task_id == *id).unwrap()
                };
                for task in &dag.tasks {
                    let own = place(&task.task_id);
                    prop_assert!(task.upstream.iter().all(|up| place(up) < own));
                }
            }
            None => prop_assert!(!parsed.diagnostics.is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
        let parsed = parse("f", &text);
        prop_assert!(parsed.dags.is_empty() || parsed.diagnostics.is_empty());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(cut in 0usize..2_000, len in 0usize..40, with in "[\\PC\n\t]{0,10}") {
        let text = include_str!("retail.yaml");
        let from = text.floor_char_boundary(cut.min(text.len()));
        let to = text.floor_char_boundary((from + len).min(text.len())).max(from);
        let damaged = format!("{}{with}{}", &text[..from], &text[to..]);
        for diagnostic in parse("f", &damaged).diagnostics {
            prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            prop_assert!(!diagnostic.to_string().is_empty());
        }
    }

    #[test]
    fn any_template_is_read_or_refused(inside in "\\PC{0,60}", brace in 0..3) {
        let template = match brace {
            0 => format!("{{{{ {inside} }}}}"),
            1 => format!("{{% {inside} %}}"),
            _ => format!("{{{{ {inside}"),
        };
        let text = format!(
            "dag_id: a\ntasks: {{x: {{operator: bash, with: {{command: {}}}}}}}\n",
            serde_json::Value::from(template)
        );
        drop(parse("f", &text));
    }
}

/// Bytes that are no UTF-8 never reach the parser: the caller's conversion replaces them.
#[test]
fn any_bytes_are_read_or_refused() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                b"\n\n  ::--{}[]&*<|>'\"#!%@`?,abx019\xff\xc3\0\t"[(seed % 36) as usize]
            })
            .collect();
        drop(parse("f", &String::from_utf8_lossy(&bytes)));
    }
}

/// A chain of this many tasks, each with a template.
fn long(tasks: usize) -> String {
    let mut text = "dag_id: a\nparams: {n: 1}\ntasks:\n".to_owned();
    for task in 0..tasks {
        let upstream = if task == 0 { String::new() } else { format!("t{}", task - 1) };
        writeln!(
            text,
            "  t{task}:\n    operator: bash\n    depends_on: [{upstream}]\n    retries: 3\n    with:\n      command: echo {{{{ ds }}}}\n      env: {{N: \"{{{{ params.n }}}}\"}}"
        )
        .unwrap();
    }
    text
}

/// How long it takes to read a file of this many tasks: the best of some, because others use the
/// machine too.
fn reading(tasks: usize) -> std::time::Duration {
    let text = long(tasks);
    let read = |_| {
        let start = std::time::Instant::now();
        assert_eq!(good(&text).tasks.len(), tasks);
        start.elapsed()
    };
    (0..5).map(read).min().unwrap()
}

#[test]
fn a_file_takes_as_long_to_read_as_it_has_tasks() {
    let (small, large) = (reading(500), reading(5_000));
    // Ten times as many; something that looks at every pair would take a hundred times as long.
    assert!(large < small * 40, "{small:?} for 500, {large:?} for 5,000");
}

/// Texts that nest as deeply as their length allows.
#[test]
fn nesting_is_bounded() {
    let deep = |start: &str, middle: &str, end: &str| {
        format!("{{{{ {start}{}{end} }}}}", middle.repeat(100_000))
    };
    let templates = [
        deep("ds", ".b", ""),
        deep("ds", "|upper", ""),
        deep("1", "+1", ""),
        deep("1", "~1", ""),
        deep("1", " and 1", ""),
        deep("1", " if 1 else 1", ""),
        deep("ds", "[0]", ""),
        deep("ds", "()", ""),
        deep("", "not ", "1"),
        deep("", "-", "1"),
        deep("", "(", ""),
        deep("", "[", ""),
        deep("", "{1:", ""),
        deep("1", "<1", ""),
        deep("", "2**", "2"),
        "{% if 1 %}".repeat(100_000),
        "{% if 1 %}".repeat(1_900),
        "{% for x in [1] %}".repeat(100_000),
        format!("{{{{ '}}}}' ~ ds{} }}}}", ".b".repeat(100_000)),
    ];
    for template in templates {
        let quoted = serde_json::Value::from(template.as_str());
        let text =
            format!("dag_id: a\ntasks: {{x: {{operator: bash, with: {{command: {quoted}}}}}}}\n");
        assert!(parse("f", &text).dags.is_empty(), "{}", &template[..30]);
    }
    for yaml in ["[", "{a: ", "- ", "? ", "a:\n "] {
        assert!(parse("f", &yaml.repeat(100_000)).dags.is_empty(), "{yaml}");
    }
}

#[test]
fn large_anchors_do_not_multiply() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(10_000));
    assert!(parse("f", &text).dags.is_empty());
}
