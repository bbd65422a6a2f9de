//! Makes a try of an assignment, and a report of a try's end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::letter::REPLAY_KEY;
use subak_core::template::{GROUP_KEY, PreviousRun, RunContext, XComKey, XComOf};
use subak_core::text::{json_without_nul, without_nul};
use subak_core::variable::secret_parts;
use subak_core::xcom::{self, KEPT_BYTES, MOST_BYTES};
use subak_proto::{Assignment, Dataset, Outcome, Report, ScanCount, TryRef, XCom};
use subak_task::{Connection, Pipeline, TaskContext, TaskIdentity, TaskOutput};
use subak_trace::Traces;

use tokio_util::sync::CancellationToken;

use super::copies::Copied;
use super::letters::LetterCount;
use super::outbox::{Outbox, TryLine, packed};
use super::traced;
use crate::host::{Host, Place};
use crate::large;
use crate::log::{Chunk, Patterns, Shipper, TryLog, hidden};
use crate::tries::{self, End, Ended, PreparedTask, StopOrder, Try};

/// A value's bytes where it cannot be written under the storage URL.
const UNSHARED_MOST: usize = 1 << 20;

/// A try that can be run, and what its report needs.
pub(crate) struct Assigned {
    pub(crate) try_ref: TryRef,
    pub(crate) this: Try,
    pub(crate) letters: Arc<LetterCount>,
    /// Large XComs that the templates name, not read yet.
    pub(crate) large: Vec<(XComKey, PathBuf)>,
    do_xcom_push: bool,
    traces: Traces,
    /// Where it writes its own, if it returns a large one.
    object: Option<PathBuf>,
}

/// Makes the try of an assignment.
pub(crate) fn assigned(
    assignment: Assignment,
    task: Arc<PreparedTask>,
    host: &Host,
    outbox: &Outbox,
    requests: &Arc<AtomicU64>,
) -> Result<Assigned, String> {
    let try_ref = assignment.r#try.unwrap_or_default();
    let large = named_large(&assignment, host)?;
    // What has to be read first takes its time.
    let is_brief = task.is_immediate() && large.is_empty();
    let connections = connections(&assignment)?;
    let handed_on = handed_on_secrets(&assignment);
    let hidden: Vec<String> = assignment
        .variables
        .iter()
        .filter(|variable| variable.secret)
        .flat_map(|variable| secret_parts(&variable.value))
        .collect();
    let secrets = connections.values().flat_map(Connection::secrets);
    let handed_on = handed_on.iter().chain(&hidden).map(String::as_str);
    let patterns = Patterns::new(secrets.chain(handed_on));
    let shipper: Arc<dyn Shipper> = Arc::new(outbox.clone());
    let log = TryLog::new(try_ref.token, patterns, shipper, is_brief);
    let line = TryLine::new(try_ref, outbox.clone(), Arc::clone(&log), Arc::clone(requests));
    let letters = Arc::clone(line.letters());
    let line = Arc::new(line);
    let is_rendered = task.has_templates || assignment.item.is_some();
    let templates = is_rendered.then(|| templates(&assignment)).transpose()?;
    let run = assignment.run.unwrap_or_default();
    let env = if is_brief {
        BTreeMap::new()
    } else {
        host.environment(&Place {
            dag_id: &run.dag_id,
            run_id: &run.run_id,
            run_type: &run.run_type,
            task_id: &assignment.task_id,
            try_number: assignment.try_number,
            map_index: try_ref.map_index,
            logical_date: run.logical_date_micros.and_then(instant),
            data_interval_start: run.data_interval_start_micros.and_then(instant),
            data_interval_end: run.data_interval_end_micros.and_then(instant),
            ids: traced::ids(&run.uuid, try_ref),
        })
    };
    let identity = TaskIdentity {
        installation: assignment.installation,
        dag_id: run.dag_id,
        run_id: run.run_id,
        run_uuid: run.uuid,
        task_id: assignment.task_id,
        map_index: try_ref.map_index,
        try_number: assignment.try_number,
        resets: assignment.resets,
        load_again: assignment.load_again,
    };
    let pipeline = Arc::new(Pipeline {
        sinks: task.task.sinks.clone(),
        ranges: Arc::clone(&line) as _,
        ledgers: Arc::clone(&host.ledgers),
        is_replay: replays(&run.conf),
    });
    let object = xcom::object(&identity.installation, instance(try_ref), try_ref.token);
    let object = host.large(&object).filter(|_| !is_brief);
    let storage = host.storage(&identity, RunKey(try_ref.run).day(), try_ref.token);
    let stop = Arc::new(StopOrder::default());
    let ctx = TaskContext {
        identity: Arc::new(identity),
        cancel: stop.token.clone(),
        yields: CancellationToken::new(),
        is_continuous: task.task.continuous,
        slot: Arc::clone(&line) as _,
        log: Arc::clone(&log) as _,
        progress: Arc::clone(&line) as _,
        state: Arc::clone(&line) as _,
        dead_letters: line,
        datasets: Arc::clone(&host.datasets),
        topics: Arc::clone(&host.topics),
        processes: Arc::clone(&host.processes),
        connections: Arc::new(connections),
        files: Arc::clone(&host.files),
        scratch: if is_brief { PathBuf::new() } else { host.scratch(try_ref.token) },
        storage,
        counts: Arc::default(),
        pipeline,
        memory_bytes: host.memory_per_try,
        env: Arc::new(env),
    };
    let copies = task.task.with.get("dead_letter").and_then(|to| to.as_str()?.parse().ok());
    let ctx = match copies {
        Some(to) => {
            let copied = Copied::new(ctx.clone(), to, Arc::clone(&log));
            TaskContext { dead_letters: Arc::new(copied), ..ctx }
        }
        None => ctx,
    };
    let timeout =
        (assignment.timeout_micros > 0).then(|| Duration::from_micros(assignment.timeout_micros));
    let (grace, clock) = (host.grace, host.clock);
    let rendered = OnceLock::new();
    let this = Try { task, ctx, log, templates, rendered, timeout, stop, grace, clock };
    let (do_xcom_push, traces) = (assignment.do_xcom_push, host.traces.clone());
    Ok(Assigned { try_ref, this, letters, large, do_xcom_push, traces, object })
}

fn instance(try_ref: TryRef) -> InstanceKey {
    InstanceKey {
        run: RunKey(try_ref.run),
        task: TaskNo(try_ref.task),
        map_index: MapIndex(try_ref.map_index),
    }
}

/// Where the large XComs lie that the templates name.
fn named_large(assignment: &Assignment, host: &Host) -> Result<Vec<(XComKey, PathBuf)>, String> {
    let large = assignment.xcoms.iter().filter(|xcom| !xcom.object.is_empty());
    let found = large.map(|xcom| {
        let path = host.large(&xcom.object).ok_or_else(|| {
            "a task above has returned a large value, and this worker's storage is no folder: name \
             one with SUBAK_STORAGE"
                .to_owned()
        })?;
        Ok((name_of(xcom), path))
    });
    found.collect()
}

/// What templates call a value.
fn name_of(xcom: &XCom) -> XComKey {
    let of = match xcom.instance {
        Some(index) => XComOf::Instance(index),
        None if xcom.prior => XComOf::Prior,
        None => XComOf::Run,
    };
    XComKey { of, ..XComKey::new(&xcom.task_id, &xcom.key) }
}

fn connections(assignment: &Assignment) -> Result<BTreeMap<String, Connection>, String> {
    let read = assignment.connections.iter().map(|connection| {
        // The parser's own words could quote the secret.
        let value = serde_json::from_slice(&connection.value)
            .map_err(|_| format!("connection `{}` cannot be read by this worker", connection.id))?;
        Ok((connection.id.clone(), value))
    });
    read.collect()
}

/// Secrets that other tasks hand on in XComs: hidden here as they are there.
fn handed_on_secrets(assignment: &Assignment) -> Vec<String> {
    let handed_on = assignment.xcoms.iter().chain(&assignment.item);
    let masked = handed_on.filter(|xcom| !xcom.shown.is_empty());
    let pairs = masked.filter_map(|xcom| {
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        Some((read(&xcom.value)?, read(&xcom.shown)?))
    });
    pairs.flat_map(|(value, shown)| hidden(&value, &shown)).collect()
}

/// Whether a run's conf says that it replays dead letters; most have no such text at all.
fn replays(conf: &[u8]) -> bool {
    conf.windows(REPLAY_KEY.len()).any(|text| text == REPLAY_KEY.as_bytes())
        && serde_json::from_slice::<Value>(conf).is_ok_and(|conf| conf.get(REPLAY_KEY).is_some())
}

fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

fn read_json(what: &str, bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(bytes).map_err(|error| format!("{what} is not JSON: {error}"))
}

fn templates(assignment: &Assignment) -> Result<RunContext, String> {
    let run = assignment.run.clone().unwrap_or_default();
    let small = assignment.xcoms.iter().filter(|xcom| xcom.object.is_empty());
    let xcoms = small.map(|xcom| {
        let value = read_json("an XCom", &xcom.value)?;
        Ok((name_of(xcom), value))
    });
    Ok(RunContext {
        dag_id: run.dag_id,
        task_id: assignment.task_id.clone(),
        run_id: run.run_id,
        run_type: run.run_type,
        logical_date: run.logical_date_micros.and_then(instant),
        data_interval_start: run.data_interval_start_micros.and_then(instant),
        data_interval_end: run.data_interval_end_micros.and_then(instant),
        run_after: instant(run.run_after_micros),
        params: read_json("params", &run.params)?,
        conf: read_json("conf", &run.conf)?,
        try_number: assignment.try_number,
        map_index: assignment.r#try.unwrap_or_default().map_index,
        arguments: item(assignment, |key| key != GROUP_KEY)?,
        group: item(assignment, |key| key == GROUP_KEY)?,
        xcoms: xcoms.collect::<Result<_, String>>()?,
        previous: previous(assignment.previous.unwrap_or_default()),
        variables: assignment
            .variables
            .iter()
            .map(|variable| (variable.key.clone(), variable.value.clone()))
            .collect(),
        connections: assignment
            .connections
            .iter()
            .filter_map(|it| Some((it.id.clone(), serde_json::from_slice(&it.value).ok()?)))
            .collect(),
    })
}

/// What an instance is given of what its task, or its group, is mapped over.
fn item(
    assignment: &Assignment,
    is_meant: impl Fn(&str) -> bool,
) -> Result<serde_json::Map<String, Value>, String> {
    let Some(item) = assignment.item.as_ref().filter(|item| is_meant(&item.key)) else {
        return Ok(serde_json::Map::new());
    };
    match read_json("what the task is mapped over", &item.value)? {
        Value::Object(arguments) => Ok(arguments),
        _ => Err("what the task is mapped over is not a map of arguments".to_owned()),
    }
}

fn previous(run: subak_proto::PreviousRun) -> PreviousRun {
    PreviousRun {
        data_interval_start: run.data_interval_start_micros.and_then(instant),
        data_interval_end: run.data_interval_end_micros.and_then(instant),
        started_at: run.started_micros.and_then(instant),
        ended_at: run.ended_micros.and_then(instant),
    }
}

fn items(value: &Value) -> Option<u32> {
    let items = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => return None,
    };
    u32::try_from(items).ok()
}

fn too_large(bytes: usize, most: usize) -> (Outcome, String) {
    let why = format!(
        "the task's XCom has {bytes} bytes, more than {} MiB: hand large data on as a dataset",
        most >> 20
    );
    (Outcome::FailedPermanent, why)
}

impl Assigned {
    /// Runs the try, once what it needs is there.
    pub(crate) async fn run(&mut self) -> Ended {
        for (key, path) in std::mem::take(&mut self.large) {
            match large::read(path, &key.task_id).await {
                Ok(value) => {
                    let templates = self.this.templates.as_mut();
                    templates.map(|templates| templates.xcoms.insert(key, value));
                }
                Err(error) => return tries::not_run(&self.this, &error),
            }
        }
        tries::run_in_scratch(&self.this).await
    }

    /// Puts the end of the try into the words of the protocol.
    pub(crate) fn report(&self, ended: Ended) -> Report {
        if self.traces.is_on()
            && let Some(span) = traced::span(self, &ended)
        {
            self.traces.emit(span);
        }
        let (outcome, output) = match ended.end {
            End::Success(output) => (Outcome::Success, output),
            End::Failed => (Outcome::Failed, TaskOutput::default()),
            End::FailedPermanently => (Outcome::FailedPermanent, TaskOutput::default()),
            End::Skipped => (Outcome::Skipped, TaskOutput::default()),
            End::Stopped => (Outcome::Stopped, TaskOutput::default()),
            End::WorkerLost => (Outcome::WorkerLost, TaskOutput::default()),
        };
        let mut report = Report {
            r#try: Some(self.try_ref),
            error: without_nul(ended.error),
            exit_code: ended.exit_code,
            function_started_micros: ended.started_micros,
            function_ended_micros: ended.ended_micros,
            rows_rejected: output.rows_rejected,
            dead_letter_chunks: self.letters.sent(),
            rendered: self
                .this
                .rendered
                .get()
                .map_or_else(Vec::new, |with| with.to_string().into()),
            ..Report::default()
        };
        report.set_outcome(outcome);
        self.add_output(&mut report, output);
        let (log_chunks, last) = self.this.log.finish();
        report.log_chunks = log_chunks;
        report.log = last.map(|chunk| packed(self.try_ref, chunk));
        report
    }

    fn add_output(&self, report: &mut Report, output: TaskOutput) {
        if report.outcome() == Outcome::Success {
            let counted = self.this.ctx.counts.noted().into_iter();
            report.scans = counted.map(|(task_id, rows)| ScanCount { task_id, rows }).collect();
        }
        if let Some(value) = output.value.filter(|_| self.do_xcom_push) {
            match self.handed_on(&json_without_nul(value)) {
                Ok(xcom) => report.xcoms.push(xcom),
                Err((outcome, error)) => return self.fail(report, outcome, error),
            }
        }
        if let Some((dataset, stats)) = output.dataset {
            let json = |value: serde_json::Result<Value>| {
                json_without_nul(value.unwrap_or_default()).to_string().into_bytes()
            };
            // For people only: nothing reads them.
            let for_people = |value: serde_json::Result<Value>| {
                json(value.map(|value| self.this.log.patterns().without_secrets(value)))
            };
            let preview = for_people(serde_json::to_value(&stats.preview));
            let stats = subak_task::DatasetStats { preview: Vec::new(), ..stats };
            report.datasets.push(Dataset {
                name: without_nul(dataset.name.clone()),
                value: json(serde_json::to_value(&dataset)),
                stats: for_people(serde_json::to_value(&stats)),
                preview,
            });
        }
        if !subak_proto::fits(report) {
            report.xcoms.clear();
            report.datasets.clear();
            let error = "what the task hands on and its dataset's description are more than a \
                         message may have, 4 MiB: hand on less, or use fewer columns";
            self.fail(report, Outcome::FailedPermanent, error.to_owned());
        }
    }

    /// What the try returns, in the form that travels: a large value is written first.
    fn handed_on(&self, value: &Value) -> Result<XCom, (Outcome, String)> {
        // The next task gets what it is; people see it without secrets.
        let shown = self.this.log.patterns().mask_json(value);
        let bytes = |value: &Value| value.to_string().into_bytes();
        let written = bytes(value);
        let xcom = XCom {
            map_index: self.try_ref.map_index,
            key: XComKey::RETURN_VALUE.to_owned(),
            ..XCom::default()
        };
        let (size, object) = match &self.object {
            Some(object) if written.len() > KEPT_BYTES => (written.len(), object),
            object => {
                let most = object.as_ref().map_or(UNSHARED_MOST, |_| MOST_BYTES);
                if written.len() > most {
                    return Err(too_large(written.len(), most));
                }
                let shown = shown.as_ref().map_or_else(Vec::new, bytes);
                return Ok(XCom { value: written, shown, ..xcom });
            }
        };
        if size > MOST_BYTES {
            return Err(too_large(size, MOST_BYTES));
        }
        large::write(object, &written, shown.as_ref().map(bytes).as_deref()).map_err(|error| {
            let place = object.display();
            let why = format!(
                "the task's XCom of {size} bytes could not be written to `{place}`: {error}"
            );
            (Outcome::Failed, why)
        })?;
        let secrets: BTreeSet<String> =
            shown.iter().flat_map(|shown| hidden(value, shown)).collect();
        let masked: Vec<&str> = secrets.iter().map(|_| "***").collect();
        Ok(XCom {
            value: if secrets.is_empty() { Vec::new() } else { bytes(&json!(secrets)) },
            shown: if secrets.is_empty() { Vec::new() } else { bytes(&json!(masked)) },
            large_bytes: size as u64,
            items: items(value),
            ..xcom
        })
    }

    /// The try did its work, and its result cannot be handed on.
    fn fail(&self, report: &mut Report, outcome: Outcome, error: String) {
        report.set_outcome(outcome);
        report.error = error;
        self.this.log.flush();
        subak_task::LogSink::line(&*self.this.log, &report.error);
    }

    /// The log chunks that the server does not keep yet, in the form that travels.
    pub(crate) fn unkept_chunks(&self) -> Vec<subak_proto::LogChunk> {
        let chunks: Vec<Chunk> = self.this.log.unkept();
        chunks.into_iter().map(|chunk| packed(self.try_ref, chunk)).collect()
    }
}
