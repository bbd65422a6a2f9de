//! A router with a database of its own, people of every role, and requests to it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use subak_core::decide::TryEnd;
use subak_core::ids::{DagId, RunKey};
use subak_proto::Assignment;
use subak_server::engine::{
    Answer as Recorded, DatasetReport, LogTail, Outcome, Told, Trigger, TryReport, XComReport,
    fence,
};
use subak_server::{App, Requests, router};
use subak_store::access::Role;
use subak_testkit::peek;
use tower::ServiceExt as _;

use crate::world::World;

/// No answer of these tests is larger.
const BODY_BYTES_MOST: usize = 8 << 20;

const SHOP: &str = "
dag_id: shop
description: Counts what the shop sold
tags: [daily, retail]
params:
  input: {type: string, default: sales.csv, description: The file of sales}
  level: {type: string, enum: [low, high], default: low}
  most: {type: integer, minimum: 1, default: 10}
  dry: {type: boolean, default: false}
tasks:
  extract: {operator: noop, retries: 1, retry_delay: 0.05}
  check: {operator: bash, depends_on: [extract], with: {command: echo checked}}
  load: {operator: noop, depends_on: [check]}
  tell: {operator: noop, depends_on: [load]}
";

const IDLE: &str = "{dag_id: idle, tasks: {rest: {operator: noop}}}";

/// Rejected records of `extract` of the run `good`: of a topic, with a secret; of a file; one that is
/// no text; and one of a try whose result was not accepted.
pub(crate) const LETTERS: &str = r#"
INSERT INTO dead_letter (dag, task, source, partition, position, reasons, raw, shown, range_id, visible,
                         run_key, map_index, token)
SELECT run.dag, h.task, v.*, h.run_key, h.map_index, h.token
FROM try_history h
JOIN run ON run.run_key = h.run_key AND run.run_id = 'good'
JOIN dag_task t ON t.dag = run.dag AND t.task = h.task AND t.task_id = 'extract'
CROSS JOIN (VALUES
    ('orders', 2, 41::bigint, '["`email` is not an e-mail address", "`city` is empty"]'::jsonb,
     '{"email": "hunter2", "city": ""}'::bytea, '{"email": "***", "city": ""}'::bytea, 1::bigint, true),
    ('sales.csv', 0, 7, '["column sold: \"many\" is not an integer"]', 'bowl,many', NULL, NULL, true),
    ('sales.csv', 0, 9, '["not UTF-8 from byte 0 on"]', '\xfffe', NULL, NULL, true),
    ('sales.csv', 0, 11, '["never accepted"]', 'cup', NULL, NULL, false)
) AS v (source, partition, position, reasons, raw, shown, range_id, visible)
WHERE h.state = 'success'
ORDER BY v.position DESC
"#;

/// See the module.
pub(crate) struct Site {
    pub(crate) world: World,
    router: Router,
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub(crate) enum Sender {
    Stranger,
    /// A browser with this session.
    Session(String),
    /// A program with this token.
    Token(String),
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Site {
    /// A site without a DAG.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::reached(false).await
    }

    /// A site without a DAG that browsers reach by TLS.
    pub(crate) async fn by_https() -> anyhow::Result<Self> {
        Self::reached(true).await
    }

    async fn reached(https: bool) -> anyhow::Result<Self> {
        let world = World::new().await?;
        let stop = world.stop.child_token();
        let app =
            App::new(world.store.clone(), world.engine.clone(), Requests::default(), https, stop);
        Ok(Self { world, router: router(app) })
    }

    /// A site with the DAGs `shop` and `idle`; `shop` has the runs `good` and `bad`, which have
    /// ended. Times are settled.
    pub(crate) async fn with_runs() -> anyhow::Result<Self> {
        let site = Self::new().await?;
        site.world.dags(SHOP).await?;
        site.world.dags(IDLE).await?;
        site.work().await?;
        site.run("shop", "good").await?;
        site.run("shop", "bad").await?;
        peek::meddle(&site.world.store, LETTERS).await?;
        subak_testkit::settle::times(&site.world.store).await?;
        Ok(site)
    }

    /// Makes a run and waits for its end.
    pub(crate) async fn run(&self, dag: &str, run_id: &str) -> anyhow::Result<RunKey> {
        let run = self.begin(dag, run_id).await?;
        self.world.ended(run).await?;
        Ok(run)
    }

    /// Makes a run.
    pub(crate) async fn begin(&self, dag: &str, run_id: &str) -> anyhow::Result<RunKey> {
        let trigger = Trigger {
            run_id: Some(run_id.to_owned()),
            user: Some("ana".to_owned()),
            note: Some(format!("a {run_id} day")),
            ..Trigger::manual(DagId::from(dag), "ui", json!({"most": 12}))
        };
        Ok(self.world.engine.run_trigger(trigger).await?.run)
    }

    /// Somebody of a role, in a browser.
    pub(crate) async fn browser(&self, role: Role) -> anyhow::Result<Sender> {
        let user = self.user(role).await?;
        let session = self.world.store.web_session_create(&user).await?;
        Ok(Sender::Session(session.expose().to_owned()))
    }

    /// A program that acts for somebody of a role.
    pub(crate) async fn program(&self, role: Role) -> anyhow::Result<Sender> {
        let user = self.user(role).await?;
        let token = self.world.store.api_token_create(&user, "test", None, None).await?;
        Ok(Sender::Token(token.expose().to_owned()))
    }

    async fn user(&self, role: Role) -> anyhow::Result<subak_store::access::User> {
        let name = role.as_str().to_lowercase();
        match self.world.store.user_named(&name).await? {
            Some(user) => Ok(user),
            None => Ok(self.world.store.user_create(&name, None, role).await?),
        }
    }

    /// Looks at an address and reads the answer to its end.
    pub(crate) async fn get(&self, sender: &Sender, path: &str) -> anyhow::Result<Answer> {
        self.ask(sender, &Method::GET, path).await
    }

    /// Sends a request without a body, and reads the answer to its end.
    pub(crate) async fn ask(
        &self,
        sender: &Sender,
        method: &Method,
        path: &str,
    ) -> anyhow::Result<Answer> {
        Answer::read(self.send(request(sender, method, path, &[])?).await?).await
    }

    /// Sends JSON.
    pub(crate) async fn json(
        &self,
        sender: &Sender,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let mut request = request(sender, &method, path, &[])?;
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse()?);
        *request.body_mut() = Body::from(body.to_string());
        Answer::read(self.send(request).await?).await
    }

    /// Sends a request as it is; the answer's body may be a stream.
    pub(crate) async fn send(&self, request: Request<Body>) -> anyhow::Result<Response> {
        Ok(self.router.clone().oneshot(request).await?)
    }

    /// Starts a worker that prints, hands on and fails as the runs' names say.
    pub(crate) async fn work(&self) -> anyhow::Result<()> {
        let mut worker = self.world.worker(2).await?;
        tokio::spawn(async move {
            loop {
                let told = worker.next().await;
                if told.is_empty() {
                    return;
                }
                for told in told {
                    if let Told::Run(assignment) = told {
                        assert_ne!(worker.report(report(&assignment)).await, Recorded::Later);
                    }
                }
            }
        });
        Ok(())
    }
}

/// What a try of `shop` leaves behind.
fn report(assignment: &Assignment) -> TryReport {
    let fence = fence(assignment.r#try.as_ref().expect("an assignment names its try"));
    let run_id = assignment.run.as_ref().map_or("", |run| &run.run_id);
    let bare =
        |outcome, error: Option<&str>| TryReport::bare(fence, outcome, error.map(str::to_owned));
    match (assignment.task_id.as_str(), assignment.try_number) {
        ("extract", 1) => TryReport {
            log: Some(log(b"opening sales.csv\n\x1b[31mconnection reset\x1b[0m\n")),
            ..bare(Outcome::Failed(TryEnd::Transient), Some("connection reset by `db`"))
        },
        ("extract", _) => TryReport {
            xcoms: vec![XComReport {
                key: "return_value".to_owned(),
                value: json!({"rows": 3}),
                ..XComReport::default()
            }],
            datasets: vec![dataset()],
            rows_rejected: 2,
            rendered: Some(json!({"path": "/data/2026-01-01/sales.csv", "header": true})),
            log: Some(log(b"opening sales.csv\n3 rows\n")),
            ..bare(Outcome::Success, None)
        },
        ("load", _) if run_id == "bad" => TryReport {
            exit_code: Some(28),
            ..bare(Outcome::Failed(TryEnd::Permanent), Some("no space left on device"))
        },
        _ => bare(Outcome::Success, None),
    }
}

/// A log as a worker sends its last chunk.
pub(crate) fn log(text: &[u8]) -> LogTail {
    let lines = text.split_inclusive(|byte| *byte == b'\n').count();
    LogTail {
        sequence: 0,
        first_line: 0,
        lines: i32::try_from(lines).unwrap(),
        lz4: lz4_flex::block::compress_prepend_size(text),
    }
}

fn dataset() -> DatasetReport {
    DatasetReport {
        name: "output".to_owned(),
        reference: json!({"source": {"kind": "ipc"}, "schema": [
            {"name": "article", "type": "Utf8", "nullable": true},
            {"name": "sold", "type": "Int64", "nullable": false},
        ]}),
        stats: json!({"rows": 3, "bytes": 4096, "columns": {
            "article": {"nulls": 1, "distinct": 2, "min": "bowl", "max": "cup"},
            "sold": {"nulls": 0, "distinct": 3, "min": 1, "max": 12},
        }}),
        preview: json!([
            {"article": "bowl", "sold": 12}, {"article": "cup", "sold": 3},
            {"article": null, "sold": 1},
        ]),
    }
}

/// Builds a request. A browser says that it comes from this site, unless `headers` say otherwise.
pub(crate) fn request(
    sender: &Sender,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Request<Body>> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "subak");
    match sender {
        Sender::Stranger => {}
        Sender::Session(secret) => {
            request = request.header(header::COOKIE, format!("subak={secret}"));
            if headers.is_empty() {
                request = request.header("sec-fetch-site", "same-origin");
            }
        }
        Sender::Token(secret) => {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(Body::empty())?)
}

impl Answer {
    pub(crate) async fn read(response: Response) -> anyhow::Result<Self> {
        let (head, body) = response.into_parts();
        let body = to_bytes(body, BODY_BYTES_MOST).await?.to_vec();
        Ok(Self { status: head.status, headers: head.headers, body })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("every answer is UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}
