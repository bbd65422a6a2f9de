//! The part of a run's page that lives.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use subak_core::state::{RunState, TaskState};
use subak_store::read::{InstanceRecord, MapRecord, RunRecord};
use subak_web::Badge;
use subak_web::dags::Paused;
use subak_web::format::{Stamp, count, cut, duration};
use subak_web::graph::{GraphView, Links, Sight};
use subak_web::run::{Progress, RunLive, Span, TaskRow, Timeline};
use subak_web::text::Text;
use subak_web::url;

use super::dag::who;
use super::run::Look;
use super::run_rows::{Chosen, Rows, rows};
use super::viewer::Viewer;
use crate::versions::Version;

const ERROR_CHARS: usize = 300;

/// Returns the live part of a run's page.
pub(super) fn run_live(
    look: &Look,
    chosen: Chosen,
    sight: &Sight,
    viewer: &Viewer,
    now: DateTime<Utc>,
) -> RunLive {
    let Look { run, version, instances, maps, is_held } = look;
    let (can_run, t) = (viewer.can_run(), viewer.t);
    let href = url::run(&run.dag_id, &run.run_id);
    let mut states: HashMap<String, Option<TaskState>> =
        instances.iter().map(|it| (it.task_id.0.clone(), it.state)).collect();
    states.extend(maps.iter().map(|map| (map.task_id.0.clone(), map.state())));
    let here = |chosen: Chosen, sight: &Sight, part: &str| {
        format!("{}#{part}", url::with(&href, &[&chosen.query(), &sight.query()]))
    };
    let links = Links {
        task: &|task| Some(url::task(&run.dag_id, &run.run_id, task, -1)),
        here: &|sight| here(chosen, sight, "run-graph"),
        page: &href,
    };
    let state = |id: &str| Some(states.get(id).copied().flatten());
    let graph = GraphView::new(&version.layout(sight), state, &links, t);
    let address = |chosen: Chosen| here(chosen, sight, "run-tasks");
    let timeline = timeline(look, chosen, address, now, t);
    let is_final = run.state.is_final();
    let is_failed = |state: Option<TaskState>| {
        matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed))
    };
    let failed = instances.iter().any(|it| is_failed(it.state))
        || maps.iter().any(|map| map.states.keys().any(|state| is_failed(*state)));
    let rejected: i64 = instances.iter().filter_map(|it| it.rows_rejected).sum();
    let rejected = rejected + maps.iter().map(|map| map.rows_rejected).sum::<i64>();
    let rejected = u64::try_from(rejected).ok().filter(|rows| *rows > 0);
    let letters = url::letters_of(&run.dag_id, &run.run_id, "");
    RunLive {
        t,
        rejected: rejected.map(|rows| (t.fill(t.rows_rejected, count(rows)), letters)),
        dag_href: url::dag(&run.dag_id),
        badge: Badge::run(run.state, t),
        who: who(run),
        logical_date: run.logical_date.map(|at| Stamp::new(at, now, t)),
        started: run.started_at.map(|at| Stamp::new(at, now, t)),
        ended: run.ended_at.map(|at| Stamp::new(at, now, t)),
        took: took(run.started_at, run.ended_at, now),
        since: since(run.started_at, run.ended_at),
        cancelled: run
            .cancelled_at
            .map(|_| cancelled(run.cancel_cause.as_deref().unwrap_or_default(), t)),
        paused: is_held.then(|| Paused::new(t.run_held, &run.dag_id, viewer.can_pause(), t)),
        progress: progress(instances, maps, t),
        graph,
        timeline,
        can_cancel: can_run && !is_final && run.cancelled_at.is_none(),
        can_clear: can_run && is_final,
        can_clear_failed: can_run && run.state == RunState::Failed && failed,
        can_delete: can_run && is_final,
        can_trigger: can_run,
        can_mark_success: can_run && run.state != RunState::Success && run.cancelled_at.is_none(),
        can_mark_failed: can_run && run.state == RunState::Success,
        version: run.version,
        version_href: url::version(&run.dag_id, run.version),
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
        href,
    }
}

/// Why a run was cancelled; by whom, in the viewer's language.
fn cancelled(cause: &str, t: &Text) -> String {
    match cause.strip_prefix("cancelled by ") {
        Some(user) => t.fill(t.cancelled_by, user),
        None => t.fill(t.cancelled, cause),
    }
}

/// Returns a run's tasks on its axis of time; `address` is where those of another choice are.
pub(super) fn timeline(
    look: &Look,
    chosen: Chosen,
    address: impl Fn(Chosen) -> String,
    now: DateTime<Utc>,
    t: &'static Text,
) -> Timeline {
    let Rows { rows: tasks, states, pager } = rows(look, chosen, &address, now, t);
    Timeline {
        t,
        tasks,
        states,
        all: address(Chosen::default()),
        is_chosen: chosen.state.is_some(),
        pager,
        axis: axis(look.run.started_at, look.run.ended_at),
    }
}

/// Of a run that goes on there is no end to name.
fn axis(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Vec<String> {
    match from.zip(to) {
        Some((from, to)) => vec![duration((to - from) / 2), duration(to - from)],
        None => Vec::new(),
    }
}

/// The end of the time that bars lie in. Of a run that goes on it moves in steps, by a third or a
/// half: the bars of what has ended stay as they are meanwhile.
pub(super) fn axis_end(run: &RunRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    match (run.started_at, run.ended_at) {
        (_, Some(end)) => end,
        (None, None) => now,
        (Some(from), None) => from + TimeDelta::milliseconds(step((now - from).num_milliseconds())),
    }
}

/// The next of 1024, 1536, 2048, 3072, 4096 and so on.
fn step(millis: i64) -> i64 {
    let mut step = 1024;
    while step < millis {
        step *= 2;
    }
    let less = step / 4 * 3;
    if less >= millis.max(1024) { less } else { step }
}

/// How many instances are in which state.
pub(super) fn map_progress(map: &MapRecord, t: &'static Text) -> Progress {
    progress(&[], std::slice::from_ref(map), t)
}

fn progress(instances: &[InstanceRecord], maps: &[MapRecord], t: &'static Text) -> Progress {
    let mut badges: Vec<Badge> = instances.iter().map(|it| Badge::task(it.state, t)).collect();
    let mut done = instances.iter().filter(|it| it.state.is_some_and(TaskState::is_final)).count();
    for map in maps {
        for (state, count) in &map.states {
            let count = usize::try_from(*count).unwrap_or(0);
            badges.extend(std::iter::repeat_n(Badge::task(*state, t), count));
        }
        done += usize::try_from(map.done()).unwrap_or(0);
    }
    Progress::of(&badges, done, t)
}

pub(super) fn row(
    run: &RunRecord,
    version: &Version,
    it: &InstanceRecord,
    now: DateTime<Utc>,
    t: &'static Text,
) -> TaskRow {
    let task = version.record.model.task(&it.task_id);
    // What ended before the run began anew, after a clear, has no place in its time.
    let in_time = it.started_at.zip(run.started_at);
    let in_time = in_time.filter(|(_, from)| it.ended_at.is_none_or(|end| end > *from));
    let span = in_time.map(|(start, from)| {
        let to = axis_end(run, now);
        let end = it.ended_at.unwrap_or(now);
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        Span::within(micros(from), micros(to), micros(start), micros(end))
    });
    TaskRow {
        key: it.task,
        href: url::task(&run.dag_id, &run.run_id, &it.task_id.0, it.map_index.0),
        operator: task.map(|task| task.operator.clone()).unwrap_or_default(),
        badge: Badge::task(it.state, t),
        tries: if it.try_number > 0 { it.try_number.to_string() } else { String::new() },
        started: it.started_at.map(|at| Stamp::new(at, now, t)),
        took: took(it.started_at, it.ended_at, now),
        since: if it.is_held() { since(it.started_at, it.ended_at) } else { String::new() },
        span,
        error: cut(it.error.as_deref().unwrap_or_default(), ERROR_CHARS),
        name: name(it, None),
    }
}

/// What an instance is called: by its index too, where it is one of several, and by its name among them.
pub(super) fn name(it: &InstanceRecord, label: Option<&str>) -> String {
    match it.map_index.0 {
        ..0 => it.task_id.0.clone(),
        index => format!("{} [{index}]", label.unwrap_or(&it.task_id.0)),
    }
}

/// How long something took, or takes so far.
pub(super) fn took(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> String {
    from.map_or_else(String::new, |from| duration(to.unwrap_or(now) - from))
}

/// Since when something goes on, for a clock that ticks.
pub(super) fn since(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> String {
    match (from, to) {
        (Some(from), None) => from.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_grows_in_steps() {
        let steps = [0, 1024, 1025, 1536, 1537, 2048, 5000, 7000, 3_600_000].map(step);
        assert_eq!(steps, [1024, 1024, 1536, 1536, 2048, 2048, 6144, 8192, 4_194_304]);
    }
}
