//! The server's end of the protocol, spoken to as a worker does: over a real stream and a database.

use std::path::PathBuf;
use std::time::Duration;

use subak_core::dag::{self, version};
use subak_core::ids::DagId;
use subak_proto::server_message::Message as In;
use subak_proto::state_request::Operation;
use subak_proto::worker_gateway_client::WorkerGatewayClient;
use subak_proto::worker_message::Message as Out;
use subak_proto::{
    Answer, Assignment, DeadLetter, DeadLetters, Heartbeat, Hello, Outcome, Progress, QueueSlots,
    Report, Reports, ScanCount, ServerMessage, StateReply, StateRequest, TryRef, WorkerMessage,
};
use subak_server::engine::Trigger;
use subak_server::{Server, ServerConfig, WorkerListen};
use subak_store::{NewVersion, Store};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::world::whole_server;

const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    server: Server,
    store: Store,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// A worker's end of a stream.
struct Worker {
    output: mpsc::UnboundedSender<WorkerMessage>,
    input: Streaming<ServerMessage>,
    session: u64,
    unknown: Vec<TryRef>,
}

impl Place {
    async fn new(dags: &str) -> anyhow::Result<Self> {
        let store = subak_testkit::postgres::database().await?.store;
        for model in &dag::parse("test.yaml", dags).dags {
            let hash = version::hash(model);
            let new =
                NewVersion { dag: model, hash: hash.as_bytes(), source: dags, file: "test.yaml" };
            store.version_save(&new).await?;
        }
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("socket");
        let config = ServerConfig {
            workers: vec![WorkerListen::Unix(socket.clone())],
            ..whole_server("server", Duration::from_secs(60))
        };
        let server = Server::start(config, store.clone(), None).await?;
        Ok(Self { server, store, socket, _folder: folder })
    }

    async fn join(&self, session: u64, held: Vec<TryRef>) -> anyhow::Result<Worker> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket.display()))?;
        let mut client = WorkerGatewayClient::new(endpoint.connect().await?);
        let (output, queue) = mpsc::unbounded_channel();
        let slots = QueueSlots { queue: "default".to_owned(), slots: 4, free: 4 };
        let hello = Hello {
            worker: "tester".to_owned(),
            session,
            queues: vec![slots],
            held,
            ..Hello::default()
        };
        output.send(WorkerMessage { message: Some(Out::Hello(hello)) })?;
        let input = client.session(UnboundedReceiverStream::new(queue)).await?.into_inner();
        let mut worker = Worker { output, input, session, unknown: vec![] };
        let In::Welcome(welcome) = worker.next().await? else { anyhow::bail!("no welcome") };
        (worker.session, worker.unknown) = (welcome.session, welcome.unknown);
        Ok(worker)
    }

    async fn trigger(&self, dag: &str) -> anyhow::Result<()> {
        let trigger = Trigger::manual(DagId::from(dag), "test", serde_json::Value::Null);
        self.server.engine().run_trigger(trigger).await?;
        Ok(())
    }

    /// Visible dead letters, as `position reasons raw`.
    async fn letters(&self) -> anyhow::Result<Vec<String>> {
        let rows = subak_testkit::peek::dead_letters(&self.store).await?;
        Ok(rows
            .into_iter()
            .map(|(position, reasons, raw)| {
                format!("{position} {reasons} {}", String::from_utf8_lossy(&raw))
            })
            .collect())
    }
}

impl Worker {
    fn say(&self, message: Out) -> anyhow::Result<()> {
        Ok(self.output.send(WorkerMessage { message: Some(message) })?)
    }

    async fn next(&mut self) -> anyhow::Result<In> {
        let message = tokio::time::timeout(PATIENCE, self.input.message()).await??;
        message.and_then(|message| message.message).ok_or_else(|| anyhow::anyhow!("the end"))
    }

    async fn assignment(&mut self) -> anyhow::Result<Assignment> {
        loop {
            if let In::Assignments(all) = self.next().await? {
                return Ok(all.assignments.into_iter().next().unwrap_or_default());
            }
        }
    }

    async fn ask(&mut self, of: TryRef, operation: Operation) -> anyhow::Result<StateReply> {
        self.say(Out::State(StateRequest {
            id: 9,
            r#try: Some(of),
            key: "offset".to_owned(),
            operation: Some(operation),
        }))?;
        loop {
            if let In::State(reply) = self.next().await? {
                return Ok(reply);
            }
        }
    }

    async fn report(&mut self, report: Report) -> anyhow::Result<Answer> {
        self.say(Out::Reports(Reports { reports: vec![report] }))?;
        loop {
            if let In::ReportAnswers(answers) = self.next().await? {
                return Ok(answers.answers[0].answer());
            }
        }
    }
}

fn success(of: TryRef) -> Report {
    let mut report = Report { r#try: Some(of), ..Report::default() };
    report.set_outcome(Outcome::Success);
    report
}

const ONE: &str = "{dag_id: one, tasks: {a: {operator: noop}}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tasks_state_outlives_its_runs_and_obeys_the_token() -> anyhow::Result<()> {
    let place = Place::new(ONE).await?;
    let mut worker = place.join(0, vec![]).await?;
    place.trigger("one").await?;
    let first = worker.assignment().await?.r#try.unwrap_or_default();
    assert_eq!(worker.ask(first, Operation::Get(true)).await?.value, None);
    let put = Operation::Put(br#"{"at": 7}"#.to_vec());
    assert_eq!(worker.ask(first, put.clone()).await?.error, "");
    assert_eq!(worker.ask(first, put).await?.error, "");
    let broken = worker.ask(first, Operation::Put(b"{".to_vec())).await?;
    assert!(broken.error.contains("not JSON"), "{}", broken.error);
    let other = TryRef { token: first.token + 1_000, ..first };
    let refused = worker.ask(other, Operation::Put(b"8".to_vec())).await?;
    assert_eq!(refused.error, "the try was superseded");
    assert_eq!(worker.ask(other, Operation::Get(true)).await?.value, None);
    assert_eq!(worker.report(success(first)).await?, Answer::Accepted);

    place.trigger("one").await?;
    let second = worker.assignment().await?.r#try.unwrap_or_default();
    let value = worker.ask(second, Operation::Get(true)).await?.value;
    assert_eq!(value.as_deref(), Some(&br#"{"at":7}"#[..]));
    assert_eq!(worker.ask(second, Operation::Delete(true)).await?.error, "");
    assert_eq!(worker.ask(second, Operation::Delete(true)).await?.error, "");
    assert_eq!(worker.ask(second, Operation::Get(true)).await?.value, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_visible_once_the_result_is_accepted() -> anyhow::Result<()> {
    let place = Place::new(ONE).await?;
    let mut worker = place.join(0, vec![]).await?;
    place.trigger("one").await?;
    let held = worker.assignment().await?.r#try.unwrap_or_default();
    let letters = |of: TryRef, sequence, raw: &str| {
        Out::DeadLetters(DeadLetters {
            r#try: Some(of),
            sequence,
            letters: vec![DeadLetter {
                source: "sales.csv".to_owned(),
                partition: 0,
                position: 40 + i64::try_from(sequence).unwrap_or_default(),
                reasons: vec!["no number".to_owned()],
                raw: raw.as_bytes().to_vec(),
                ..DeadLetter::default()
            }],
        })
    };
    // One try that does not hold the task; the right one, twice.
    worker.say(letters(TryRef { token: held.token + 1, ..held }, 0, "stale"))?;
    for _ in 0..2 {
        worker.say(letters(held, 0, "a,b"))?;
        worker.say(letters(held, 1, "c,d"))?;
    }
    for up_to in [1, 2, 1, 2] {
        let In::DeadLetterAck(ack) = worker.next().await? else { anyhow::bail!("no ack") };
        assert_eq!((ack.r#try, ack.up_to), (Some(held), up_to));
    }
    assert!(place.letters().await?.is_empty());
    let report = Report { dead_letter_chunks: 2, rows_rejected: 2, ..success(held) };
    assert_eq!(worker.report(report).await?, Answer::Accepted);
    let first = [r#"40 ["no number"] a,b"#, r#"41 ["no number"] c,d"#];
    assert_eq!(place.letters().await?, first);

    // Another run over the same file neither hides nor overwrites them, even if it fails.
    place.trigger("one").await?;
    let held = worker.assignment().await?.r#try.unwrap_or_default();
    worker.say(letters(held, 0, "e,f"))?;
    let In::DeadLetterAck(_) = worker.next().await? else { anyhow::bail!("no ack") };
    assert_eq!(place.letters().await?, first);
    let report = Report { dead_letter_chunks: 1, rows_rejected: 1, ..success(held) };
    assert_eq!(worker.report(report).await?, Answer::Accepted);
    assert_eq!(place.letters().await?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_shown_as_it_was_last_said() -> anyhow::Result<()> {
    let place = Place::new(ONE).await?;
    let mut worker = place.join(0, vec![]).await?;
    place.trigger("one").await?;
    let held = worker.assignment().await?.r#try.unwrap_or_default();
    let mut changes = place.server.engine().changes();
    for rows in [10, 20] {
        let note = "read".to_owned();
        worker.say(Out::Progress(Progress { r#try: Some(held), rows, bytes: 5, note }))?;
        tokio::time::timeout(PATIENCE, changes.recv()).await??;
    }
    let shown = place.server.engine().progress(held.token);
    assert_eq!(shown.map(|shown| (shown.rows, shown.note)), Some((20, "read".to_owned())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sides_that_differ_are_told_and_mended() -> anyhow::Result<()> {
    let place = Place::new(ONE).await?;
    let mut worker = place.join(0, vec![]).await?;
    place.trigger("one").await?;
    let held = worker.assignment().await?.r#try.unwrap_or_default();
    // A worker that lost the assignment holds nothing: its heartbeats say so.
    let mut sequence = 0;
    let listed = loop {
        sequence += 1;
        anyhow::ensure!(sequence < 10, "the difference is not seen");
        worker.say(Out::Heartbeat(Heartbeat { sequence, digest: 0, count: 0 }))?;
        let In::HeartbeatAck(ack) = worker.next().await? else { anyhow::bail!("no ack") };
        assert_eq!(ack.sequence, sequence);
        if !ack.digest_matches {
            let In::Held(listed) = worker.next().await? else { anyhow::bail!("no list") };
            break listed;
        }
    };
    assert_eq!(listed.tries, [held]);
    assert_eq!(worker.assignment().await?.r#try, Some(held));

    // It comes again with a try that the session does not hold, and without the one it does.
    let stale = TryRef { token: held.token + 1_000, ..held };
    let session = worker.session;
    drop(worker);
    let mut again = place.join(session, vec![stale]).await?;
    assert_eq!(again.session, session);
    assert_eq!(again.unknown, [stale]);
    assert_eq!(again.assignment().await?.r#try, Some(held));
    let report = Report {
        scans: vec![ScanCount { task_id: "nobody".to_owned(), rows: 3 }],
        ..success(held)
    };
    assert_eq!(again.report(report).await?, Answer::Accepted);
    assert_eq!(again.report(success(stale)).await?, Answer::Superseded);
    Ok(())
}
