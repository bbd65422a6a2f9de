//! A database of one's own, and a try's context whose parts can be looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Row as _};
use subak_postgres::{PrivatePostgres, TcpPort};
use subak_task::{
    BadRow, Column, Connection, DatasetReader, DatasetRef, DatasetWriter, DeadLetterSink,
    FileAccess, LogSink, Pipe, Pipeline, ProcessGroups, ProgressSink, RecordBatchStream, Source,
    StateStore, TaskContext, TaskError, TaskIdentity, TaskOutput,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The server of this test run.
pub(crate) async fn server() -> Result<&'static PrivatePostgres> {
    static SERVER: OnceCell<PrivatePostgres> = OnceCell::const_new();
    let start = || PrivatePostgres::temporary_with(|options| options.tcp(TcpPort::Free));
    Ok(SERVER.get_or_try_init(start).await?)
}

/// A new database on it.
pub(crate) struct Database {
    pub(crate) name: String,
    server: &'static PrivatePostgres,
}

impl Database {
    pub(crate) async fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = server().await?;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.create_database(&name).await?;
        Ok(Self { name, server })
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.server.connect_options(&self.name)).await?)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        let mut db = self.connect().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.context(sql.to_owned())?;
        Ok(())
    }

    /// Returns a query's rows as text, `|` between columns.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let mut db = self.connect().await?;
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut db).await?;
        Ok(rows.iter().map(text).collect())
    }

    /// The connection over the Unix socket.
    pub(crate) fn connection(&self) -> Connection {
        connection(json!({
            "conn_type": "postgres",
            "host": self.server.socket_dir(),
            "port": self.server.port(),
            "login": subak_postgres::SUPERUSER,
            "schema": self.name,
        }))
    }

    /// The connection over TCP, to the server or to what stands before it.
    pub(crate) fn tcp_connection(&self, port: u16) -> Connection {
        connection(json!({
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": port,
            "login": subak_postgres::SUPERUSER,
            "password": self.server.password(),
            "schema": self.name,
            "extra": { "sslmode": "disable" },
        }))
    }

    pub(crate) fn tcp_port(&self) -> u16 {
        self.server.tcp_port().unwrap()
    }
}

fn text(row: &PgRow) -> String {
    let cells = (0..row.len()).map(|column| {
        let raw = row.try_get_raw(column).unwrap();
        raw.as_str().map_or_else(|_| "null".to_owned(), str::to_owned)
    });
    cells.collect::<Vec<_>>().join("|")
}

pub(crate) fn connection(json: Value) -> Connection {
    serde_json::from_value(json).unwrap()
}

/// A try of task `load`, with the connection `w`.
pub(crate) struct Try {
    pub(crate) ctx: TaskContext,
    pub(crate) seen: Arc<Seen>,
}

/// What the try said.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) letters: Mutex<Vec<BadRow>>,
}

impl Try {
    pub(crate) fn new(connection: Connection) -> Self {
        Self::with(connection, Vec::new())
    }

    /// One whose input is these batches.
    pub(crate) fn with(connection: Connection, batches: Vec<RecordBatch>) -> Self {
        let seen = Arc::new(Seen::default());
        let ctx = TaskContext {
            identity: Arc::new(TaskIdentity {
                installation: "9d2f3c1e-0000-4000-8000-000000000001".to_owned(),
                dag_id: "retail".to_owned(),
                run_id: "manual__1".to_owned(),
                run_uuid: "9d2f3c1e-0000-4000-8000-000000000002".to_owned(),
                task_id: "load".to_owned(),
                map_index: -1,
                try_number: 1,
                resets: 0,
                load_again: false,
            }),
            cancel: CancellationToken::new(),
            yields: CancellationToken::new(),
            is_continuous: false,
            slot: Arc::new(subak_task::Uncounted),
            topics: Arc::new(subak_task::NoTopics),
            log: Arc::clone(&seen) as Arc<dyn LogSink>,
            progress: Arc::clone(&seen) as Arc<dyn ProgressSink>,
            state: Arc::new(Nothing),
            dead_letters: Arc::clone(&seen) as Arc<dyn DeadLetterSink>,
            datasets: Arc::new(Batches(batches)),
            processes: Arc::new(Nothing),
            connections: Arc::new(BTreeMap::from([("w".to_owned(), connection)])),
            files: Arc::new(FileAccess::everywhere()),
            scratch: PathBuf::new(),
            storage: String::new(),
            counts: Arc::default(),
            pipeline: Pipeline::none(),
            memory_bytes: 64 << 20,
            env: Arc::default(),
        };
        Self { ctx, seen }
    }

    /// The same task instance after a clear, or another run's.
    pub(crate) fn identified(mut self, change: impl FnOnce(&mut TaskIdentity)) -> Self {
        change(Arc::make_mut(&mut self.ctx.identity));
        self
    }

    pub(crate) async fn sql(&self, with: Value) -> Result<Value, TaskError> {
        self.run("sql", with).await.map(|output| output.value.unwrap())
    }

    /// Loads the batches into a table; `with` adds parameters.
    pub(crate) async fn load(&self, table: &str, with: Value) -> Result<Value, TaskError> {
        let mut all = json!({ "connection": "w", "table": table, "input": dataset() });
        all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        self.run("postgres.load", all).await.map(|output| output.value.unwrap())
    }

    async fn run(&self, name: &str, with: Value) -> Result<TaskOutput, TaskError> {
        let operators = subak_tasks_sql::operators();
        let operator = operators.iter().find(|operator| operator.name() == name).unwrap();
        operator.run_with(with, &self.ctx).await
    }

    /// Dead letters: where each is from, why, and the row.
    pub(crate) fn letters(&self) -> Vec<String> {
        let letters = self.seen.letters.lock().unwrap();
        let shown = letters.iter().map(|letter| {
            let BadRow { source, partition, position, reasons, raw, .. } = letter;
            let raw = String::from_utf8_lossy(raw);
            format!("{source}/{partition}/{position}: {} {raw}", reasons.join("; "))
        });
        shown.collect()
    }

    pub(crate) fn log(&self) -> String {
        self.seen.log.lock().unwrap().join("\n")
    }
}

/// The reference of a dataset; its reader below knows the rows.
fn dataset() -> Value {
    let dataset = DatasetRef {
        name: "monthly".to_owned(),
        source: Source::Ipc { urls: Vec::new() },
        schema: Vec::<Column>::new(),
        provenance: vec![json!({ "topic": "t", "from": 0, "to": 9 })],
    };
    serde_json::to_value(dataset).unwrap()
}

struct Batches(Vec<RecordBatch>);

#[async_trait]
impl DatasetReader for Batches {
    async fn read(
        &self,
        _: &DatasetRef,
        columns: Option<&[String]>,
        _: &TaskContext,
    ) -> Result<RecordBatchStream, TaskError> {
        let schema = self.0[0].schema();
        let index = |name: &String| schema.index_of(name).unwrap();
        let kept: Vec<usize> = match columns {
            Some(columns) => columns.iter().map(index).collect(),
            None => (0..schema.fields().len()).collect(),
        };
        let batches: Vec<_> =
            self.0.iter().map(|batch| Ok(batch.project(&kept).unwrap())).collect();
        Ok(RecordBatchStream {
            schema: Arc::new(schema.project(&kept).unwrap()),
            batches: futures::stream::iter(batches).boxed(),
        })
    }

    fn writer(&self, _: SchemaRef, _: &TaskContext) -> Result<Box<dyn DatasetWriter>, TaskError> {
        Err(TaskError::permanent("nothing writes datasets here"))
    }
}

impl LogSink for Seen {
    fn line(&self, line: &str) {
        self.log.lock().unwrap().push(line.to_owned());
    }

    fn bytes(&self, _: Pipe, _: &[u8]) {}
}

impl ProgressSink for Seen {
    fn progress(&self, _: u64, _: u64, _: &str) {}
}

/// What these operators do not use.
struct Nothing;

#[async_trait]
impl StateStore for Nothing {
    async fn get(&self, _: &str) -> Result<Option<Value>, TaskError> {
        Err(TaskError::permanent("no state here"))
    }

    async fn put(&self, _: &str, _: &Value) -> Result<(), TaskError> {
        Err(TaskError::permanent("no state here"))
    }

    async fn delete(&self, _: &str) -> Result<(), TaskError> {
        Err(TaskError::permanent("no state here"))
    }
}

#[async_trait]
impl DeadLetterSink for Seen {
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError> {
        self.letters.lock().unwrap().extend(rows);
        Ok(())
    }
}

impl ProcessGroups for Nothing {
    fn started(&self, _: i32) {}
    fn ended(&self, _: i32) {}
}
