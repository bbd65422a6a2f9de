use super::*;

#[test]
fn a_small_file_becomes_a_dag() {
    let parsed = parse(
        "dags/a.yaml",
        "dag_id: a\ntasks:\n  one: {operator: bash, with: {command: 'echo {{ ds }}'}}\n  two:\n    operator: noop\n    depends_on: [one]\n",
    );
    assert_eq!(parsed.diagnostics, vec![]);
    insta::assert_json_snapshot!(parsed.dags);
}
