//! How soon the server answers what people do, with a thousand runs behind it. What follows from an
//! action, as the tasks of a run that is cleared, is waited for between two of them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use subak_store::access::Role;

use super::Stack;
use super::measure::{Rows, less, quantile};
use super::watched::client;

/// Runs that the server has at least.
const RUNS: usize = 1_000;

/// How often each action is done.
const TIMES: usize = 20;

/// Runs that one request clears.
const AT_ONCE: usize = 25;

/// The server's answer is there within this time, in milliseconds.
const MUST: f64 = 100.0;

const LONGEST: Duration = Duration::from_secs(300);

/// One of the things that people do.
struct Action {
    p50: &'static str,
    slowest: &'static str,
    /// The request of the time with this number.
    ask: fn(&[Run], usize) -> Ask,
}

/// Key and id.
type Run = (i64, String);

struct Ask {
    method: Method,
    path: String,
    body: Body,
}

enum Body {
    Json(Value),
    Form(String),
}

/// Each has runs of its own.
fn actions() -> [Action; 9] {
    [
        Action {
            p50: "action: trigger a run, p50",
            slowest: "action: trigger a run, slowest of 20",
            ask: |_, n| {
                post("/api/v2/dags/chain/dagRuns", json!({"dag_run_id": format!("acted-{n}")}))
            },
        },
        Action {
            p50: "action: clear a run, p50",
            slowest: "action: clear a run, slowest of 20",
            ask: |runs, n| post(&format!("{}/clear", of_run(&runs[n])), json!({"dry_run": false})),
        },
        Action {
            p50: "action: mark a task, p50",
            slowest: "action: mark a task, slowest of 20",
            ask: |runs, n| {
                let path = format!("{}/taskInstances/t39", of_run(&runs[TIMES + n]));
                patch(&path, json!({"new_state": "failed"}))
            },
        },
        Action {
            p50: "action: pause a DAG, p50",
            slowest: "action: pause a DAG, slowest of 20",
            // Let go on in the end.
            ask: |_, n| patch("/api/v2/dags/chain", json!({"is_paused": n.is_multiple_of(2)})),
        },
        Action {
            p50: "action: note on a run, p50",
            slowest: "action: note on a run, slowest of 20",
            ask: |runs, n| patch(&of_run(&runs[2 * TIMES + n]), json!({"note": "looked at"})),
        },
        Action {
            p50: "action: change a pool, p50",
            slowest: "action: change a pool, slowest of 20",
            ask: |_, n| patch("/api/v2/pools/acted", json!({"slots": n + 2})),
        },
        Action {
            p50: "action: change a variable, p50",
            slowest: "action: change a variable, slowest of 20",
            ask: |_, n| patch("/api/v2/variables/acted", variable(n + 1)),
        },
        Action {
            p50: "action: save a connection, p50",
            slowest: "action: save a connection, slowest of 20",
            ask: |_, n| patch("/api/v2/connections/acted", connection(n + 1)),
        },
        Action {
            p50: "action: clear 25 runs, p50",
            slowest: "action: clear 25 runs, slowest of 20",
            ask: |runs, n| {
                let first = 3 * TIMES + n * AT_ONCE;
                let picked = runs[first..first + AT_ONCE].iter();
                let picks = picked.map(|(key, _)| format!("&pick={key}")).collect::<String>();
                let body = Body::Form(format!("action=clear{picks}"));
                Ask { method: Method::POST, path: "/runs".to_owned(), body }
            },
        },
    ]
}

fn of_run((_, run_id): &Run) -> String {
    format!("/api/v2/dags/chain/dagRuns/{run_id}")
}

fn variable(n: usize) -> Value {
    json!({"key": "acted", "value": n.to_string()})
}

fn connection(n: usize) -> Value {
    let host = format!("host-{n}.example.org");
    json!({"connection_id": "acted", "conn_type": "http", "host": host, "password": "hunter2"})
}

fn post(path: &str, body: Value) -> Ask {
    Ask { method: Method::POST, path: path.to_owned(), body: Body::Json(body) }
}

fn patch(path: &str, body: Value) -> Ask {
    Ask { method: Method::PATCH, path: path.to_owned(), body: Body::Json(body) }
}

/// Does each of them, one after the other.
pub(super) async fn acted(stack: &Stack, rows: Rows<'_>) -> anyhow::Result<()> {
    let token = stack.token("actor", Role::Op).await?;
    let (client, url) = (client(&token)?, stack.url()?);
    let runs = runs(stack).await?;
    for made in [
        post("/api/v2/pools", json!({"name": "acted", "slots": 1})),
        post("/api/v2/variables", variable(0)),
        post("/api/v2/connections", connection(0)),
    ] {
        answered(&client, &url, made).await?;
    }
    for Action { p50, slowest, ask } in actions() {
        let mut took = Vec::new();
        for n in 0..TIMES {
            took.push(answered(&client, &url, ask(&runs, n)).await?);
            stack.drained(LONGEST).await?;
        }
        rows(less(p50, quantile(&mut took, 0.5), "ms", MUST, 25.0));
        rows(less(slowest, quantile(&mut took, 1.0), "ms", MUST, 50.0));
    }
    Ok(())
}

/// The newest runs of the chain; more are made where there are too few.
async fn runs(stack: &Stack) -> anyhow::Result<Vec<Run>> {
    const NEWEST: &str = "SELECT run.run_key, run.run_id FROM run JOIN dag USING (dag)
         WHERE dag.dag_id = 'chain' AND run.state = 'success'
         ORDER BY run.run_key DESC LIMIT 1000";
    let mut runs: Vec<Run> = sqlx::query_as(NEWEST).fetch_all(stack.pool()).await?;
    if runs.len() < RUNS {
        stack.trigger_many("chain", RUNS - runs.len()).await?;
        stack.drained(LONGEST).await?;
        runs = sqlx::query_as(NEWEST).fetch_all(stack.pool()).await?;
    }
    ensure!(runs.len() == RUNS, "{} runs instead of {RUNS}", runs.len());
    Ok(runs)
}

/// Milliseconds until the whole answer is there.
async fn answered(client: &Client, url: &str, ask: Ask) -> anyhow::Result<f64> {
    let Ask { method, path, body } = ask;
    let asked = client.request(method, format!("{url}{path}"));
    let asked = match body {
        Body::Json(value) => asked.json(&value),
        Body::Form(form) => {
            asked.header("content-type", "application/x-www-form-urlencoded").body(form)
        }
    };
    let began = Instant::now();
    let answer = asked.send().await.with_context(|| path.clone())?;
    let status = answer.status();
    let text = answer.text().await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    ensure!(status.is_success(), "{path}: {status}: {text}");
    Ok(took)
}
