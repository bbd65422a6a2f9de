//! The part of a task instance's page that lives.

use chrono::{DateTime, Utc};
use subak_core::explain::{Explanation, Outlook, Reason};
use subak_core::state::TaskState;
use subak_store::read::{InstanceRecord, TryRecord};
use subak_web::Badge;
use subak_web::format::{Stamp, bytes, count};
use subak_web::task::TaskLive;
use subak_web::text::Text;
use subak_web::url;
use subak_web::why;

use super::run::Look;
use super::run_live::{name, since, took};
use crate::app::App;
use crate::engine::Progress;
use crate::labels::labels;
use crate::problem::ApiError;

/// Returns the live part of a task instance's page.
pub(super) fn task_live(
    look: &Look,
    it: &InstanceRecord,
    why: Option<&Explanation>,
    progress: Option<Progress>,
    can_run: bool,
    now: DateTime<Utc>,
    t: &'static Text,
) -> TaskLive {
    let task = look.version.record.model.task(&it.task_id);
    let stamp = |at: DateTime<Utc>| Stamp::new(at, now, t);
    let retries = task.map_or(0, |task| task.retries);
    let is_final = it.state.is_some_and(TaskState::is_final);
    let can_clear = can_run && (is_final || it.is_held());
    let address = url::task(&look.run.dag_id, &look.run.run_id, &it.task_id.0, -1);
    // Of a mapped task this instance alone.
    let which = match it.map_index.is_none() {
        true => String::new(),
        false => format!("?map_index={}", it.map_index.0),
    };
    TaskLive {
        t,
        name: name(it, None),
        not_newest: None,
        badge: Badge::task(it.state, t),
        operator: task.map(|task| task.operator.clone()).unwrap_or_default(),
        tries: match (it.try_number, retries) {
            (..1, _) => String::new(),
            (number, 0) => number.to_string(),
            (number, retries) => format!("{number} / {}", i64::from(retries) + 1),
        },
        started: it.started_at.map(stamp),
        ended: it.ended_at.map(stamp),
        due: it.due_at.map(stamp),
        took: took(it.started_at, it.ended_at, now),
        since: if it.is_held() { since(it.started_at, it.ended_at) } else { String::new() },
        progress: progress.map_or_else(String::new, |it| shown(&it)),
        worker: it.worker.clone().unwrap_or_default(),
        exit_code: exit_code(it).map(|code| t.fill(t.exit_code, code)),
        error: it.error.clone().unwrap_or_default(),
        rejected: it
            .rows_rejected
            .and_then(|rows| u64::try_from(rows).ok())
            .filter(|rows| *rows > 0)
            .map(|rows| t.fill(t.rows_rejected, count(rows))),
        letters_href: url::letters_of(&look.run.dag_id, &look.run.run_id, &it.task_id.0),
        mark_action: can_run.then(|| format!("{address}/mark{which}")),
        waits: why.is_some_and(|why| why.outlook == Outlook::Waits),
        why: why.map(|why| told(why, t)).unwrap_or_default(),
        clear_action: can_clear.then(|| format!("{address}/clear{which}")),
    }
}

/// The exit code, where the message does not tell it.
fn exit_code(it: &InstanceRecord) -> Option<i32> {
    let told = it.error.as_deref().unwrap_or_default();
    it.exit_code.filter(|code| !told.contains(&format!("exit code {code}")))
}

/// What an instance of a mapped task is called among the others; `None`: it has no name of its own.
pub(super) async fn label(
    app: &App,
    look: &Look,
    it: &InstanceRecord,
) -> Result<Option<String>, ApiError> {
    let (version, one) = (&look.version.record, std::slice::from_ref(it));
    Ok(labels(app, &look.run, version, one).await?.remove(&it.map_index.0))
}

/// The part with the instance called by this name.
pub(super) fn called(live: TaskLive, it: &InstanceRecord, label: Option<&str>) -> TaskLive {
    TaskLive { name: name(it, label), ..live }
}

/// The same of a try that is not the newest: its own state, times and end, and the way to the newest.
pub(super) fn old_live(
    look: &Look,
    it: &InstanceRecord,
    old: &InstanceRecord,
    now: DateTime<Utc>,
    t: &'static Text,
) -> TaskLive {
    let newest = url::task(&look.run.dag_id, &look.run.run_id, &it.task_id.0, it.map_index.0);
    // Clearing and marking are of the newest.
    let live = task_live(look, old, None, None, false, now, t);
    TaskLive { not_newest: Some((t.fill(t.not_newest, old.try_number), newest)), ..live }
}

/// Returns the instance as it was in a try that is not the newest; `None`: it is the newest.
pub(super) fn old_try(
    it: &InstanceRecord,
    tries: &[TryRecord],
    try_number: i32,
) -> Result<Option<InstanceRecord>, ApiError> {
    if try_number == it.try_number {
        return Ok(None);
    }
    // A try that was deferred has several rows: it began with the first and ended with the last.
    let mut rows = tries.iter().filter(|one| one.try_number == try_number);
    let missing = || ApiError::NoTry { task_id: it.task_id.0.clone(), try_number };
    let first = rows.next().ok_or_else(missing)?;
    let last = rows.next_back().unwrap_or(first);
    Ok(Some(InstanceRecord {
        state: Some(last.state),
        try_number,
        queued_at: first.queued_at,
        started_at: first.started_at,
        ended_at: last.ended_at,
        due_at: None,
        error: last.error.clone(),
        cause: last.cause.clone(),
        exit_code: last.exit_code,
        worker: last.worker.clone(),
        rows_rejected: None,
        ..it.clone()
    }))
}

/// How far a try is: `12,000 (3.4 MB) records read, 120 offsets left`.
fn shown(progress: &Progress) -> String {
    let bytes = match progress.bytes {
        0 => String::new(),
        size => format!(" ({})", bytes(size)),
    };
    format!("{}{bytes} {}", count(progress.rows), progress.note).trim_end().to_owned()
}

/// The reasons as markup, without what the page shows anyway: that it runs, or how it ended, where
/// nothing else ended it.
pub(super) fn told(why: &Explanation, t: &Text) -> Vec<String> {
    let beside = |reason: &Reason| match reason {
        Reason::Runs { .. } => false,
        Reason::Ended { cause, .. } => cause.is_some(),
        _ => true,
    };
    let told = why.reasons.iter().filter(|told| beside(&told.reason));
    told.map(|told| why::markup(told, t)).collect()
}
