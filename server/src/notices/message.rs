//! What people and programs are told.

use std::fmt::Write as _;

use serde_json::{Value, json};
use subak_store::Notification;

/// Longer errors are cut; the log has all of them.
const ERROR_CHARS: usize = 2_000;

/// One notification in every form.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: i64,
    /// One line.
    pub(super) subject: String,
    pub(super) text: String,
    /// For programs.
    pub(super) json: Value,
}

impl Message {
    pub(super) fn of(one: &Notification) -> Self {
        let what = match &one.task_id {
            Some(task) if one.map_index >= 0 => {
                format!("task {task}[{}] of {}", one.map_index, one.dag_id)
            }
            Some(task) => format!("task {task} of {}", one.dag_id),
            None => format!("run of {}", one.dag_id),
        };
        let happened = match one.event.as_str() {
            "success" => "succeeded",
            "retry" => "failed and is tried again",
            _ => "failed",
        };
        let subject = format!("{what} {happened}");
        let error = one.facts["error"].as_str().map(|error| cut(error).to_owned());
        let mut text = format!("{subject}\n\nDAG: {}\nrun: {}\n", one.dag_id, one.run_id);
        if let Some(task) = &one.task_id {
            let _infallible = writeln!(text, "task: {task}");
        }
        if let Some(number) = one.facts["try_number"].as_i64().filter(|number| *number > 0) {
            let _infallible = writeln!(text, "try: {number}");
        }
        if let Some(code) = one.facts["exit_code"].as_i64() {
            let _infallible = writeln!(text, "exit code: {code}");
        }
        if let Some(cause) = one.facts["cause"].as_str() {
            let _infallible = writeln!(text, "cause: {cause}");
        }
        if let Some(error) = &error {
            let _infallible = writeln!(text, "error: {error}");
        }
        let _infallible = writeln!(text, "at: {}", one.created_at.format("%Y-%m-%d %H:%M:%S UTC"));
        let json = json!({
            "delivery_id": one.id,
            "event": one.event,
            "subject": subject,
            "dag_id": one.dag_id,
            "dag_run_id": one.run_id,
            "run_type": one.run_type,
            "run_state": one.run_state,
            "logical_date": one.logical_date,
            "task_id": one.task_id,
            "map_index": one.map_index,
            "try_number": one.facts["try_number"],
            "exit_code": one.facts["exit_code"],
            "cause": one.facts["cause"],
            "error": error,
            "occurred_at": one.created_at,
        });
        Self { id: one.id, subject, text, json }
    }
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(ERROR_CHARS).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_where_and_why() {
        let one = Notification {
            id: 7,
            dag_id: "shop".to_owned(),
            run_id: "good".to_owned(),
            run_state: "running".to_owned(),
            run_type: "manual".to_owned(),
            logical_date: None,
            task_id: Some("load".to_owned()),
            map_index: -1,
            event: "failure".to_owned(),
            connection: "mail".to_owned(),
            recipients: Vec::new(),
            facts: json!({"try_number": 2, "error": "no space left", "exit_code": 28,
                "cause": "worker_lost"}),
            created_at: "2026-11-20T01:02:03Z".parse().unwrap(),
            failures: 1,
        };
        let message = Message::of(&one);
        assert_eq!(message.subject, "task load of shop failed");
        assert_eq!(
            message.text,
            "task load of shop failed\n\nDAG: shop\nrun: good\ntask: load\ntry: 2\nexit code: 28\n\
             cause: worker_lost\nerror: no space left\nat: 2026-11-20 01:02:03 UTC\n"
        );
        assert_eq!(message.json["exit_code"], 28);
        let run = Message::of(&Notification { task_id: None, event: "success".to_owned(), ..one });
        assert_eq!(run.subject, "run of shop succeeded");
    }
}
