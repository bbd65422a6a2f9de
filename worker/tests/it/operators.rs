//! The operators that start a process, as far as one try shows it.

use std::time::Duration;

use serde_json::{Value, json};
use subak_proto::{Answer, Outcome, Report};

use crate::peer::Peer;

/// Runs one try and returns its report and log.
async fn run(operator: &str, with: Value) -> (Report, String) {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, Duration::from_secs(60));
    call.assign(1, operator, with);
    let report = call.report().await;
    call.keep_log(1, report.log_chunks);
    call.answer(1, Answer::Accepted);
    worker.end().await.unwrap();
    (report, call.log(1))
}

async fn fails(operator: &str, with: Value, outcome: Outcome, error: &str) {
    let (report, log) = run(operator, with).await;
    assert_eq!(report.outcome(), outcome, "{}", report.error);
    assert!(report.error.contains(error), "{}", report.error);
    assert!(log.contains(error), "the log says it too: {log}");
}

#[tokio::test]
async fn exit_codes_have_their_meaning() {
    let bash = |command: &str| json!({"command": command});
    fails("bash", bash("exit 99"), Outcome::Skipped, "exit code 99").await;
    let text = "the process ended with exit code 4: why";
    fails("bash", bash("echo why >&2; exit 4"), Outcome::Failed, text).await;
    fails("bash", bash("kill -KILL $$"), Outcome::Failed, "signal 9 (KILL)").await;
}

#[tokio::test]
async fn the_environment_is_clean() {
    let with = json!({"command": "env | cut -d= -f1 | sort", "env": {"MINE": "1"}});
    let (_, log) = run("bash", with).await;
    let expected = ["HOME", "LANG", "MINE", "PATH", "PWD", "SHLVL", "TZ", "_"];
    for name in log.lines() {
        assert!(expected.contains(&name) || name.starts_with("SUBAK_"), "{name}");
    }
    for name in ["SUBAK_DAG_ID", "SUBAK_RUN_ID", "SUBAK_TRY_NUMBER", "SUBAK_LOGICAL_DATE"] {
        assert!(log.contains(name), "{name}");
    }
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let (report, log) = run("bash", json!({"command": "sleep 60 & echo $!"})).await;
    assert_eq!(report.outcome(), Outcome::Success);
    crate::peer::gone(log.trim().parse().unwrap()).await;
}

#[tokio::test]
async fn errors_before_the_process_are_clear() {
    let with = json!({"command": "true", "cwd": "/no/such/folder"});
    fails("bash", with, Outcome::FailedPermanent, "`/no/such/folder` does not exist").await;
    let with = json!({"comand": "true"});
    fails("bash", with, Outcome::FailedPermanent, "unknown field `comand`").await;
    fails("nosuch", json!({}), Outcome::FailedPermanent, "does not know operator `nosuch`").await;
    let with = json!({"command": "{{ params.missing }}"});
    fails("bash", with, Outcome::FailedPermanent, "params.missing").await;
}

#[tokio::test]
async fn python_takes_and_gives_json() {
    let code = "\
import json, os\n\
value = json.load(open(os.environ['SUBAK_INPUT']))\n\
print('got', value)\n\
json.dump({'sum': sum(value)}, open(os.environ['SUBAK_RESULT'], 'w'))\n";
    let (report, log) = run("python", json!({"code": code, "input": [1, 2, 3]})).await;
    assert_eq!(report.error, "");
    assert_eq!(report.xcoms[0].value, br#"{"sum":6}"#);
    assert!(log.contains("got [1, 2, 3]\n"));
}

#[tokio::test]
async fn python_says_what_is_missing() {
    let with = json!({"code": "1", "python": "python9.9"});
    let text = "Python interpreter `python9.9` is not on this worker";
    fails("python", with, Outcome::FailedPermanent, text).await;
    let with = json!({"script": "/no/such.py"});
    fails("python", with, Outcome::FailedPermanent, "script `/no/such.py` does not exist").await;
    let code = "import os; open(os.environ['SUBAK_RESULT'], 'w').write('{')";
    fails("python", json!({"code": code}), Outcome::FailedPermanent, "is not JSON").await;
    let with = json!({"code": "raise ValueError('boom')"});
    fails("python", with, Outcome::Failed, "ValueError: boom").await;
}
