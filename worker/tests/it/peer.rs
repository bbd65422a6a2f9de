//! A server for one worker: it says what the test tells it to, and keeps what it hears.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use subak_proto::worker_gateway_server::{WorkerGateway, WorkerGatewayServer};
use subak_proto::{
    Answer, Assignment, Assignments, Connection, HeartbeatAck, Hello, LogAck, LogChunk, Report,
    ReportAnswer, ReportAnswers, RunInfo, ServerMessage, Stop, TryRef, Welcome, WorkerMessage,
    server_message, worker_message,
};
use subak_worker::{Config, Worker};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);

/// The server's side of all streams, in a folder of its own.
pub(crate) struct Peer {
    pub(crate) folder: tempfile::TempDir,
    calls: mpsc::UnboundedReceiver<Call>,
    server: JoinHandle<()>,
}

/// One stream.
pub(crate) struct Call {
    pub(crate) hello: Hello,
    /// What the worker showed to be let in.
    pub(crate) bearer: Option<String>,
    pub(crate) session: u64,
    /// Heartbeats are answered by themselves.
    pub(crate) answers_heartbeats: bool,
    /// Chunks by token, in the order of their sequence numbers.
    pub(crate) chunks: BTreeMap<i64, BTreeMap<u64, LogChunk>>,
    input: mpsc::UnboundedReceiver<worker_message::Message>,
    output: mpsc::UnboundedSender<Result<ServerMessage, Status>>,
}

struct Gateway(mpsc::UnboundedSender<Call>);

#[tonic::async_trait]
impl WorkerGateway for Gateway {
    type SessionStream = UnboundedReceiverStream<Result<ServerMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let bearer = request.metadata().get("authorization");
        let bearer = bearer.map(|value| value.to_str().unwrap().to_owned());
        let mut stream = request.into_inner();
        let first = stream.message().await?.and_then(|message| message.message);
        let Some(worker_message::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (to_test, input) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let Some(message) = message.message else { continue };
                if to_test.send(message).is_err() {
                    return;
                }
            }
        });
        let (output, answers) = mpsc::unbounded_channel();
        let call = Call {
            session: hello.session,
            hello,
            bearer,
            answers_heartbeats: true,
            chunks: BTreeMap::new(),
            input,
            output,
        };
        self.0.send(call).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(UnboundedReceiverStream::new(answers)))
    }
}

impl Peer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let (calls, received) = mpsc::unbounded_channel();
        let service = WorkerGatewayServer::new(Gateway(calls));
        let server = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { folder, calls: received, server }
    }

    /// A server on loopback that speaks TLS, and its address.
    pub(crate) async fn start_tls(certificate: &str, key: &str) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::from_pem(certificate, key);
        let tls = ServerTlsConfig::new().identity(identity);
        let (calls, received) = mpsc::unbounded_channel();
        let mut server = tonic::transport::Server::builder().tls_config(tls).unwrap();
        let server = server.add_service(WorkerGatewayServer::new(Gateway(calls)));
        let server = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        (Self { folder: tempfile::tempdir().unwrap(), calls: received, server }, address)
    }

    /// Whether no stream waits to be accepted.
    pub(crate) fn nobody_else_called(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    pub(crate) fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new("tester", vec![self.url()], self.state_folder());
        config.keeper = vec![env!("CARGO_BIN_EXE_subak-worker-alone").into(), "keeper".into()];
        config.grace = Duration::from_millis(500);
        config.files = vec![self.folder.path().to_owned()];
        config
    }

    /// Starts a worker and returns it with its first stream.
    pub(crate) async fn worker(&mut self) -> (Running, Call) {
        self.worker_with(self.config()).await
    }

    pub(crate) async fn worker_with(&mut self, config: Config) -> (Running, Call) {
        let worker = Running::start(config);
        let call = self.accept().await;
        (worker, call)
    }

    pub(crate) async fn accept(&mut self) -> Call {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("no hello").unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A worker of this process.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(Worker::new(config).run(stop.clone())), stop }
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends it without a word, as if its process had died.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.stop();
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker goes on").unwrap()
    }
}

impl Call {
    pub(crate) fn welcome(&mut self, session: u64, lease: Duration) {
        let resumed = session == self.hello.session;
        self.session = session;
        self.send(server_message::Message::Welcome(Welcome {
            session,
            lease_micros: lease.as_micros() as u64,
            resumed,
            unknown: vec![],
            server: "peer".to_owned(),
        }));
    }

    pub(crate) fn send(&self, message: server_message::Message) {
        let _ = self.output.send(Ok(ServerMessage { message: Some(message) }));
    }

    pub(crate) fn try_ref(&self, token: i64) -> TryRef {
        TryRef { session: self.session, run: 1, task: 1, map_index: -1, token }
    }

    pub(crate) fn assign(&self, token: i64, operator: &str, with: Value) {
        self.assign_all(vec![self.assignment(token, operator, with)]);
    }

    pub(crate) fn assign_all(&self, assignments: Vec<Assignment>) {
        self.send(server_message::Message::Assignments(Assignments { assignments }));
    }

    pub(crate) fn assignment(&self, token: i64, operator: &str, with: Value) -> Assignment {
        Assignment {
            r#try: Some(self.try_ref(token)),
            try_number: 1,
            queue: "default".to_owned(),
            run: Some(RunInfo {
                dag_id: "etl".to_owned(),
                run_id: "manual__1".to_owned(),
                uuid: "0190".to_owned(),
                run_type: "manual".to_owned(),
                logical_date_micros: Some(1_700_000_000_000_000),
                params: br#"{"shop": "north"}"#.to_vec().into(),
                ..RunInfo::default()
            }),
            task_id: "task".to_owned(),
            task: task(operator, with).into(),
            do_xcom_push: true,
            ..Assignment::default()
        }
    }

    pub(crate) fn answer(&self, token: i64, answer: Answer) {
        self.answer_ref(self.try_ref(token), answer);
    }

    pub(crate) fn answer_ref(&self, try_ref: TryRef, answer: Answer) {
        let mut one = ReportAnswer { r#try: Some(try_ref), ..ReportAnswer::default() };
        one.set_answer(answer);
        self.send(server_message::Message::ReportAnswers(ReportAnswers { answers: vec![one] }));
    }

    pub(crate) fn keep_log(&self, token: i64, up_to: u64) {
        let r#try = Some(self.try_ref(token));
        self.send(server_message::Message::LogAck(LogAck { r#try, up_to }));
    }

    pub(crate) fn stop(&self, token: i64) {
        let r#try = Some(self.try_ref(token));
        let reason = "cancelled".to_owned();
        self.send(server_message::Message::Stop(Stop { r#try, reason }));
    }

    /// Assigns a task that runs until its gate is opened, and waits until it runs.
    pub(crate) async fn assign_gated(&mut self, token: i64, folder: &Path) -> Gate {
        let fifo = folder.join(format!("gate-{token}"));
        let command = format!("mkfifo {0}; echo waits; cat {0}", fifo.display());
        self.assign(token, "bash", json!({"command": command}));
        self.log_has(token, "waits").await;
        Gate(fifo)
    }

    /// The next message that is neither heartbeat nor log; `None` once the worker has gone.
    pub(crate) async fn next(&mut self) -> Option<worker_message::Message> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.input.recv());
            match message.await.expect("the worker says nothing")? {
                worker_message::Message::Heartbeat(beat) if self.answers_heartbeats => {
                    self.send(server_message::Message::HeartbeatAck(HeartbeatAck {
                        sequence: beat.sequence,
                        digest_matches: true,
                        now_micros: 0,
                    }));
                }
                worker_message::Message::Heartbeat(_) => {}
                worker_message::Message::Log(chunk) => self.keep(chunk),
                other => return Some(other),
            }
        }
    }

    /// The next heartbeat.
    pub(crate) async fn heartbeat(&mut self) -> subak_proto::Heartbeat {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.input.recv()).await;
            if let Some(worker_message::Message::Heartbeat(beat)) = message.unwrap() {
                return beat;
            }
        }
    }

    /// The next reports; other messages are passed over.
    pub(crate) async fn reports(&mut self) -> Vec<Report> {
        loop {
            let message = self.next().await.expect("the worker has gone");
            if let worker_message::Message::Reports(reports) = message {
                for report in &reports.reports {
                    report.log.iter().for_each(|chunk| self.keep(chunk.clone()));
                }
                return reports.reports;
            }
        }
    }

    /// The next report, which must stand alone.
    pub(crate) async fn report(&mut self) -> Report {
        let mut reports = self.reports().await;
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }

    /// Waits until the log of a try has this text.
    pub(crate) async fn log_has(&mut self, token: i64, text: &str) {
        while !self.log(token).contains(text) {
            let message = tokio::time::timeout(PATIENCE, self.input.recv()).await.unwrap();
            match message.expect("the worker has gone") {
                worker_message::Message::Log(chunk) => self.keep(chunk),
                worker_message::Message::Reports(reports) => panic!("reported: {reports:?}"),
                _ => {}
            }
        }
    }

    fn keep(&mut self, chunk: LogChunk) {
        let token = chunk.r#try.unwrap().token;
        self.chunks.entry(token).or_default().insert(chunk.sequence, chunk);
    }

    /// The log of a try as far as it came.
    pub(crate) fn log(&self, token: i64) -> String {
        let chunks = self.chunks.get(&token).into_iter().flat_map(BTreeMap::values);
        let text = chunks.map(|chunk| lz4_flex::block::decompress_size_prepended(&chunk.lz4));
        String::from_utf8(text.flat_map(Result::unwrap).collect()).unwrap()
    }
}

/// What a task waits at.
pub(crate) struct Gate(PathBuf);

impl Gate {
    /// Lets the task go on.
    pub(crate) async fn open(self) {
        tokio::task::spawn_blocking(|| std::fs::write(self.0, "done\n")).await.unwrap().unwrap();
    }
}

pub(crate) fn task(operator: &str, with: Value) -> Vec<u8> {
    let task = json!({
        "task_id": "task", "operator": operator, "with": with, "upstream": [],
        "trigger_rule": "all_success", "retries": 0,
        "retry_delay": {"secs": 300, "nanos": 0}, "retry_exponential_backoff": false,
        "retry_jitter": 0.0, "queue": "default", "pool": "default_pool", "pool_slots": 1,
        "priority_weight": 1, "owner": "", "do_xcom_push": true, "connections": [],
    });
    task.to_string().into_bytes()
}

pub(crate) fn connection(id: &str, value: Value) -> Connection {
    Connection { id: id.to_owned(), value: value.to_string().into_bytes() }
}

/// Whether a process is there and no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(format!("{pid}/stat")));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// Waits until a process is gone.
pub(crate) async fn gone(pid: u32) {
    let gone = async {
        while lives(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the process lives on");
}
