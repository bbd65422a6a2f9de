//! Why a task waits or ran, in the language of the page. In English it is told as the API tells it
//! ([`subak_core::explain`]); here is the same in Indonesian, and both as markup.

use std::fmt::Write as _;

use askama::filters::{Html, escape};
use chrono::{DateTime, Utc};
use subak_core::explain::{COUNT_MOST, Holder, Neighbour, Reason, Told, WorkerFacts};
use subak_core::state::TaskState;

use crate::badge::Badge;
use crate::text::{INDONESIAN, Text};

/// Says a reason.
#[must_use]
pub fn in_words(told: &Told, t: &Text) -> String {
    if t.language == INDONESIAN.language { in_indonesian(&told.reason) } else { told.text.clone() }
}

/// Says a reason as markup: a name between backticks is code.
#[must_use]
pub fn markup(told: &Told, t: &Text) -> String {
    with_code(&in_words(told, t))
}

/// Everything in it is escaped. A backtick that has no other stays one.
fn with_code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let parts: Vec<&str> = text.split('`').collect();
    for (at, part) in parts.iter().enumerate() {
        let Ok(escaped) = escape(*part, Html);
        let is_behind_one = at % 2 == 1;
        let _infallible = match (is_behind_one, at + 1 < parts.len()) {
            (true, true) => write!(out, "<code>{escaped}</code>"),
            (true, false) => write!(out, "`{escaped}"),
            (false, _) => write!(out, "{escaped}"),
        };
    }
    out
}

fn in_indonesian(reason: &Reason) -> String {
    match reason {
        Reason::Rule { .. } => rule(reason),
        Reason::Guards { seen, guards, tasks, more } => format!(
            "menunggu {} dari {guards} task yang menjaganya: setup, atau yang mendahului sebuah \
             teardown{}",
            guards - seen,
            listed(tasks, *more)
        ),
        Reason::StartsWithRun { run_id, run_type, triggered_by, triggered_user, run_after } => {
            let by = triggered_user.as_ref().map_or_else(String::new, |it| format!(" ({it})"));
            let due = match run_type.as_str() {
                "manual" => String::new(),
                _ => format!(", jatuh tempo {}", instant(*run_after)),
            };
            let kind = INDONESIAN.run_type(run_type);
            format!(
                "dimulai bersama run-nya `{run_id}` ({kind}), dipicu oleh {triggered_by}{by}{due}: \
                 tidak menunggu task hulu"
            )
        }
        Reason::Past { run_before, with_downstream, tasks } => {
            past(run_before.as_deref(), *with_downstream, tasks)
        }
        Reason::MaxActiveTasks { limit, active, ahead } => format!(
            "max_active_tasks: {active} dari {limit} task run ini aktif; {} di depannya",
            waiting(*ahead)
        ),
        Reason::MaxActiveTisPerDagrun { limit, active } => format!(
            "max_active_tis_per_dagrun: {active} dari {limit} instans task ini aktif dalam run-nya"
        ),
        Reason::Pool { .. } => pool(reason),
        Reason::Queue { .. } => queue(reason),
        Reason::Retry { .. } => retry(reason),
        Reason::Deferred { state, due_at } => {
            let until = due_at.map_or_else(String::new, |at| format!(" sampai {}", instant(at)));
            format!("{}: menunggu tanpa memakai slot{until}", label(Some(*state)))
        }
        Reason::Runs { worker, started_at, try_number, cleared } => {
            let worker = worker.as_deref().unwrap_or("sebuah worker");
            let since = started_at.map_or_else(String::new, |at| format!(" sejak {}", instant(at)));
            let again =
                if *cleared { "; diminta ulang, dan berjalan lagi setelah ini berakhir" } else { "" };
            format!("percobaan {try_number} berjalan di {worker}{since}{again}")
        }
        Reason::Paused { cause } => {
            let cause = cause.as_ref().map_or_else(String::new, |it| format!(": {it}"));
            format!("DAG dijeda{cause}; run-nya tidak memulai apa pun sampai DAG dilanjutkan")
        }
        Reason::RunAfter { at } => {
            format!("run_after: run ini diminta untuk nanti, jatuh tempo {}", instant(*at))
        }
        Reason::FileGone => "berkas DAG sudah hilang: run yang ada diteruskan dengan versinya, dan \
                             tidak ada run baru"
            .to_owned(),
        Reason::MaxActiveRuns { limit, active, ahead } => format!(
            "max_active_runs: {active} dari {limit} run DAG ini aktif; {} di depan run ini",
            waiting(*ahead)
        ),
        Reason::Cancelled { cause } => {
            format!("run ini dibatalkan ({cause}): hanya teardown yang masih dimulai")
        }
        Reason::RunEnded { state } => {
            format!("run ini berakhir tanpanya: {}", Badge::run(*state, &INDONESIAN).label)
        }
        Reason::RunTimeout { at } => {
            format!("dagrun_timeout: run ini dibatalkan pada {}", instant(*at))
        }
        Reason::Instances { instances, ended, each: true, .. } => format!(
            "ada di grup yang dipetakan: {ended} dari {instances} instans berakhir; masing-masing \
             menunggu task hulu dengan indeksnya sendiri"
        ),
        Reason::Instances { instances, made, ended, each: false } => format!(
            "dipetakan: {ended} dari {instances} instans berakhir, {} siap atau berjalan, {} belum \
             dibuat",
            (made - ended).max(0),
            (instances - made).max(0)
        ),
        Reason::NotMade { instances, made, ended, own_limit, limit, active } => {
            let own = own_limit
                .map_or_else(String::new, |most| format!(" (max_active_tis_per_dagrun: {most})"));
            format!(
                "{made} dari {instances} instans task ini dibuat, dan {ended} berakhir{own}; \
                 max_active_tasks: {active} dari {limit} task run ini aktif: gilirannya tiba saat \
                 salah satu berakhir"
            )
        }
        Reason::Soon { rest: false } => {
            "tidak ada yang menahannya: sebuah server segera mengurusnya".to_owned()
        }
        Reason::Soon { rest: true } => {
            "bagian lain run ini sedang diselesaikan sedikit demi sedikit: gilirannya tiba bersama itu"
                .to_owned()
        }
        Reason::Settled { by_server: true, .. } => {
            "server sendiri yang mengakhirinya, seperti semua task `empty`".to_owned()
        }
        Reason::Settled { state, .. } => {
            let state = label(Some(TaskState::from(*state)));
            format!("berakhir {state} tanpa berjalan, menurut aturannya")
        }
        Reason::Ended { .. } => ended(reason),
    }
}

fn rule(reason: &Reason) -> String {
    let Reason::Rule { rule, verdict, upstreams, tasks, more } = reason else {
        return String::new();
    };
    let c = upstreams;
    let verdict = match *verdict {
        "waits" => format!("menunggu {} dari {} task hulu", c.needed - c.seen(), c.needed),
        "runs" => "boleh berjalan".to_owned(),
        state => format!("berakhir {}", label(TaskState::parse(state))),
    };
    format!(
        "{}: {verdict} ({} berhasil, {} gagal, {} dilewati, {} hulu gagal, {} dihapus){}",
        rule.as_str(),
        c.success,
        c.failed,
        c.skipped,
        c.upstream_failed,
        c.removed,
        listed(tasks, *more)
    )
}

fn pool(reason: &Reason) -> String {
    let Reason::Pool { pool, own_limit, slots, used, asks, ahead, holders } = reason else {
        return String::new();
    };
    let each = |it: &Holder| format!("{} dari {} / {}", it.task_id, it.dag_id, it.run_id);
    let by: Vec<String> = holders.iter().map(each).collect();
    let by = if by.is_empty() { String::new() } else { format!(" (oleh {})", by.join(", ")) };
    let ahead = waiting(*ahead);
    match (own_limit, slots) {
        (Some(limit), _) => format!(
            "max_active_tis_per_dag: {used} dari {limit} instans task ini aktif di semua run{by}; \
             {ahead} di depannya"
        ),
        (None, None) => {
            format!("pool `{pool}` tidak ada: buat dengan `subak pools set {pool} SLOTS`")
        }
        (None, Some(slots)) if asks > slots => format!(
            "pool `{pool}` tidak akan pernah muat: task ini meminta {asks} dari {slots} slot; perbesar \
             dengan `subak pools set {pool} {asks}`, atau perkecil `pool_slots`-nya"
        ),
        (None, Some(slots)) => format!(
            "pool `{pool}`: {used} dari {slots} slot terpakai{by}, task ini meminta {asks}; {ahead} \
             di depannya"
        ),
    }
}

fn queue(reason: &Reason) -> String {
    let Reason::Queue { queue, ahead, priority, workers, other_workers, .. } = reason else {
        return String::new();
    };
    let before = format!("{} di depannya (prioritasnya {priority})", waiting(*ahead));
    if workers.is_empty() {
        let others = match other_workers {
            0 => "tidak ada worker sama sekali".to_owned(),
            others => format!("{others} melayani antrean lain"),
        };
        return format!("tidak ada worker yang melayani antrean `{queue}`: {others}; {before}");
    }
    let each = |it: &WorkerFacts| {
        let drains = if it.draining { ", mengosongkan" } else { "" };
        format!("{} ({} dari {} slot terpakai{drains})", it.worker, it.busy, it.slots)
    };
    let workers: Vec<String> = workers.iter().map(each).collect();
    format!("menunggu slot kosong di antrean `{queue}`: {}; {before}", workers.join(", "))
}

fn retry(reason: &Reason) -> String {
    let Reason::Retry { due_at, failed, lost, retries, error } = reason else {
        return String::new();
    };
    let left = i64::from(*retries) - i64::from(*failed);
    let ends = match (failed, lost) {
        (failed, 0) => format!("{failed} percobaan gagal"),
        (0, lost) => format!("{lost} percobaan hilang bersama worker-nya"),
        (failed, lost) => format!("{failed} percobaan gagal, {lost} hilang bersama worker-nya"),
    };
    let next =
        due_at.map_or_else(String::new, |at| format!("; yang berikut jatuh tempo {}", instant(at)));
    let left = left.max(0);
    format!("{ends}, tersisa {left} ulangan{next}{}", of_error(error))
}

fn ended(reason: &Reason) -> String {
    let Reason::Ended {
        state,
        cause,
        against,
        try_number,
        started_at,
        ended_at,
        worker,
        error,
        exit_code,
    } = reason
    else {
        return String::new();
    };
    let state = label(Some(*state));
    let why = match cause.as_deref() {
        Some("branch") if against.is_empty() => ": sebuah cabang tidak memilihnya".to_owned(),
        Some("branch") => format!(": cabang {} tidak memilihnya", against.join(", ")),
        Some("fail_fast") => ": task lain gagal, dan DAG ini langsung berhenti".to_owned(),
        Some("worker_lost") => ": worker-nya hilang".to_owned(),
        Some("cancelled") => ": run ini dibatalkan".to_owned(),
        Some(cause) => format!(": {cause}"),
        None => String::new(),
    };
    let Some(started_at) = started_at else { return format!("berakhir {state}{why}") };
    let on = worker.as_ref().map_or_else(String::new, |it| format!(" di {it}"));
    let to = ended_at.map_or_else(String::new, |at| format!(" sampai {}", instant(at)));
    let code = exit_code.map_or_else(String::new, |code| format!(", kode keluar {code}"));
    format!(
        "percobaan {try_number} berjalan{on} dari {}{to} dan berakhir {state}{why}{code}{}",
        instant(*started_at),
        of_error(error)
    )
}

fn past(
    run_before: Option<&str>,
    with_downstream: bool,
    tasks: &[(String, Option<TaskState>)],
) -> String {
    let key = if with_downstream { "wait_for_downstream" } else { "depends_on_past" };
    let Some(run) = run_before else {
        return format!("{key}: tidak ada run sebelumnya; sebuah server segera mengurusnya");
    };
    let each = |(task, state): &(String, Option<TaskState>)| format!("{task} {}", label(*state));
    let tasks: Vec<String> = tasks.iter().map(each).collect();
    format!(
        "{key}: di run sebelumnya, `{run}`, task ini harus sudah berhasil atau dilewati ({})",
        tasks.join(", ")
    )
}

fn listed(tasks: &[Neighbour], more: usize) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let each = |it: &Neighbour| {
        let state = label(it.state);
        match it.map_index.is_none() {
            true => format!("{} {state}", it.task_id),
            false => format!("{}[{}] {state}", it.task_id, it.map_index.0),
        }
    };
    let named: Vec<String> = tasks.iter().map(each).collect();
    let more = if more > 0 { format!(", dan {more} lagi") } else { String::new() };
    format!(": {}{more}", named.join(", "))
}

/// What a state is called; of none, that the task has not run.
fn label(state: Option<TaskState>) -> &'static str {
    state.map_or("belum berjalan", |state| Badge::task(Some(state), &INDONESIAN).label)
}

fn waiting(ahead: i64) -> String {
    match ahead {
        0 => "tidak ada yang menunggu".to_owned(),
        many if many >= COUNT_MOST => format!("{COUNT_MOST} atau lebih menunggu"),
        many => format!("{many} menunggu"),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn of_error(error: &Option<String>) -> String {
    let line = error.as_deref().and_then(|it| it.lines().next());
    line.map_or_else(String::new, |line| format!(": {line}"))
}

#[cfg(test)]
mod tests {
    use subak_core::decide::{TriggerRule, UpstreamCounts};
    use subak_core::ids::MapIndex;

    use super::*;
    use crate::text::ENGLISH;

    #[test]
    fn a_name_between_backticks_is_code_and_nothing_is_markup() {
        for (text, markup) in [
            ("queue `de<b>`: full", "queue <code>de&#60;b&#62;</code>: full"),
            ("`a` and `b`", "<code>a</code> and <code>b</code>"),
            ("one ` alone <i>", "one ` alone &#60;i&#62;"),
            ("plain", "plain"),
        ] {
            assert_eq!(with_code(text), markup);
        }
    }

    #[test]
    fn a_reason_is_told_in_the_language_of_the_page() {
        let neighbour = Neighbour { task_id: "b".to_owned(), map_index: MapIndex(2), state: None };
        let rule = Reason::Rule {
            rule: TriggerRule::AllSuccess,
            verdict: "waits",
            upstreams: UpstreamCounts { needed: 3, success: 1, ..UpstreamCounts::default() },
            tasks: vec![neighbour],
            more: 1,
        };
        let busy = WorkerFacts { worker: "w".to_owned(), slots: 4, busy: 4, draining: true };
        let queue = Reason::Queue {
            queue: "default".to_owned(),
            ahead: COUNT_MOST,
            priority: 3,
            workers: vec![busy],
            other_workers: 0,
            since: DateTime::UNIX_EPOCH,
        };
        let branch = Reason::Ended {
            state: TaskState::Skipped,
            cause: Some("branch".to_owned()),
            against: vec!["choose".to_owned()],
            try_number: 0,
            started_at: None,
            ended_at: None,
            worker: None,
            error: None,
            exit_code: None,
        };
        for (reason, english, indonesian) in [
            (
                rule,
                "all_success: waits for 2 of 3 upstreams (1 succeeded, 0 failed, 0 skipped, \
                 0 upstream_failed, 0 removed): b[2] has not run, and 1 more",
                "all_success: menunggu 2 dari 3 task hulu (1 berhasil, 0 gagal, 0 dilewati, 0 hulu \
                 gagal, 0 dihapus): b[2] belum berjalan, dan 1 lagi",
            ),
            (
                queue,
                "waits for a free slot of queue `default`: w (4 of 4 slots taken, draining); 10000 \
                 or more wait before it (its priority is 3)",
                "menunggu slot kosong di antrean `default`: w (4 dari 4 slot terpakai, \
                 mengosongkan); 10000 atau lebih menunggu di depannya (prioritasnya 3)",
            ),
            (
                branch,
                "ended as skipped: branch choose decided against it",
                "berakhir dilewati: cabang choose tidak memilihnya",
            ),
            (
                Reason::Retry { due_at: None, failed: 1, lost: 1, retries: 1, error: None },
                "1 try failed, 1 lost with its worker, 0 retries are left",
                "1 percobaan gagal, 1 hilang bersama worker-nya, tersisa 0 ulangan",
            ),
            (
                Reason::Retry { due_at: None, failed: 0, lost: 2, retries: 1, error: None },
                "2 tries were lost with their workers, 1 retry is left",
                "2 percobaan hilang bersama worker-nya, tersisa 1 ulangan",
            ),
        ] {
            let told = Told { text: reason.text(), holds: true, reason };
            assert_eq!(in_words(&told, &ENGLISH), english);
            assert_eq!(in_words(&told, &INDONESIAN), indonesian);
        }
    }
}
