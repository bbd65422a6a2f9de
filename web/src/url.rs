//! Addresses of pages. Ids of runs and tasks may hold any character; a path segment may not.

use std::fmt::Write as _;

/// Percent-encodes a text for a path segment or a query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    // A segment of dots alone would be taken for a step up.
    if encoded.chars().all(|c| c == '.') { encoded.replace('.', "%2E") } else { encoded }
}

/// The page of a DAG.
#[must_use]
pub fn dag(dag_id: &str) -> String {
    format!("/dags/{}", encode(dag_id))
}

/// The page of a DAG's versions.
#[must_use]
pub fn versions(dag_id: &str) -> String {
    format!("{}/versions", dag(dag_id))
}

/// The page of one version.
#[must_use]
pub fn version(dag_id: &str, number: i32) -> String {
    format!("{}/{number}", versions(dag_id))
}

/// What differs between two versions.
#[must_use]
pub fn compare(dag_id: &str, from: i32, to: i32) -> String {
    format!("{}?from={from}&to={to}", versions(dag_id))
}

/// The page of a run.
#[must_use]
pub fn run(dag_id: &str, run_id: &str) -> String {
    format!("/dags/{}/runs/{}", encode(dag_id), encode(run_id))
}

/// The page of a task instance.
#[must_use]
pub fn task(dag_id: &str, run_id: &str, task_id: &str, map_index: i32) -> String {
    let base = format!("{}/tasks/{}", run(dag_id, run_id), encode(task_id));
    if map_index < 0 { base } else { format!("{base}?map_index={map_index}") }
}

/// An address with parts of a query, of which some may be empty.
#[must_use]
pub fn with(address: &str, parts: &[&str]) -> String {
    let parts = parts.iter().map(|part| part.trim_start_matches('?'));
    let query: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if query.is_empty() { address.to_owned() } else { format!("{address}?{}", query.join("&")) }
}

/// An address that has a query, with one more part of it, which may be empty.
#[must_use]
pub fn and(address: &str, part: &str) -> String {
    if part.is_empty() { address.to_owned() } else { format!("{address}&{part}") }
}

/// The page of a dead letter.
#[must_use]
pub fn letter(id: i64) -> String {
    format!("/dead-letters/{id}")
}

/// The dead letters of a run, or of one of its tasks.
#[must_use]
pub fn letters_of(dag_id: &str, run_id: &str, task_id: &str) -> String {
    let [dag, run, task] = [dag_id, run_id, task_id].map(encode);
    format!("/dead-letters?dag={dag}&run={run}&task={task}")
}

/// Where a test of a connection is asked for.
#[must_use]
pub fn connection_test(id: &str) -> String {
    format!("/connections/{}/test", encode(id))
}

/// The topics of a connection.
#[must_use]
pub fn topics(connection: &str) -> String {
    format!("/topics?connection={}", encode(connection))
}

/// The page of a topic.
#[must_use]
pub fn topic(connection: &str, topic: &str) -> String {
    format!("/topics/{}/{}", encode(connection), encode(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_within_their_segment() {
        assert_eq!(
            run("a b", "manual__2026-11-20T01:02:03+00:00"),
            "/dags/a%20b/runs/manual__2026-11-20T01%3A02%3A03%2B00%3A00"
        );
        assert_eq!(encode("../x?y#z"), "..%2Fx%3Fy%23z");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(with("/d", &["", "?a=1", "b=2"]), "/d?a=1&b=2");
        assert_eq!(with("/d", &["", ""]), "/d");
        assert_eq!(task("d", "r", "t", 3), "/dags/d/runs/r/tasks/t?map_index=3");
    }
}
