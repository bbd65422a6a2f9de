//! When a DAG's runs start: its `schedule` in every form, `timezone`, dates, `on_overlap`.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostic::{At, Report};
use super::model::{DataInterval, OnOverlap, Schedule};
use super::page::Page;
use super::raw::RawDag;
use super::values::{Instant, Span, Texts, Zone};
use super::yaml::{Kind, Node, Read, read};
use super::{did_you_mean, duration};
use crate::schedule;

/// A schedule of several parts.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawTimetable {
    /// One cron expression, or several: whenever one of them fires.
    cron: Option<Texts>,
    /// At `start_date` and then always after this time.
    every: Option<Span>,
    /// At these instants.
    dates: Option<Vec<Instant>>,
    /// The time zone of the schedule and of dates without an offset; UTC if absent.
    timezone: Option<Zone>,
    /// Which data a run is about: the instant it is due at, or the time since the instant before,
    /// whose date it then carries; `point` if absent.
    data_interval: Option<DataInterval>,
}

/// Parts of a schedule that belong to the format, and are not built yet.
pub(super) const NOT_YET: &[&str] = &["assets", "kafka", "skip_if", "jitter"];

/// A schedule as written, for the JSON Schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "nodes are read; this makes the schema")]
pub(crate) enum RawSchedule {
    Text(String),
    Seconds(f64),
    Parts(RawTimetable),
}

/// What a DAG says of time.
pub(super) struct Timing {
    pub schedule: Option<Schedule>,
    pub timezone: Tz,
    pub data_interval: DataInterval,
    pub start_date: Option<chrono::DateTime<chrono::Utc>>,
    pub end_date: Option<chrono::DateTime<chrono::Utc>>,
    pub catchup: bool,
    pub max_active_runs: Option<u32>,
    pub on_overlap: OnOverlap,
}

/// Reads it; `None` if something is wrong, then that has been reported.
pub(super) fn timing(node: &Node, raw: &RawDag, report: &Report<'_>) -> Option<Timing> {
    let before = report.len();
    let written = node.get("schedule");
    let parts = written.filter(|written| matches!(written.kind, Kind::Map(_)));
    let parts: Option<RawTimetable> = parts.and_then(|parts| {
        let page = Some(Page::Schedules);
        let how = Read { not_yet: NOT_YET, page, ..Read::new(report, "the schedule") };
        read(parts, &how)
    });
    let timezone = zone(node, raw, parts.as_ref(), report);
    let data_interval = parts.as_ref().and_then(|parts| parts.data_interval).unwrap_or_default();
    let schedule = written.and_then(|written| match &parts {
        Some(parts) => of_parts(written, parts, timezone, report),
        None => of_scalar(written, report),
    });
    let timing = Timing {
        timezone,
        data_interval,
        start_date: raw.start_date.map(|date| date.in_zone(timezone)),
        end_date: raw.end_date.map(|date| date.in_zone(timezone)),
        catchup: raw.catchup.unwrap_or(false),
        max_active_runs: raw.max_active_runs.map(|number| number.0),
        on_overlap: raw.on_overlap.unwrap_or_default(),
        schedule,
    };
    timing.check(node, report);
    (report.len() == before).then_some(timing)
}

/// The zone, from the DAG or from its schedule.
fn zone(node: &Node, raw: &RawDag, parts: Option<&RawTimetable>, report: &Report<'_>) -> Tz {
    let dag = raw.timezone.map(|zone| zone.0);
    let schedule = parts.and_then(|parts| parts.timezone).map(|zone| zone.0);
    if let (Some(dag), Some(schedule)) = (dag, schedule)
        && dag != schedule
    {
        let at = node.get("schedule").and_then(|node| node.get("timezone"));
        let message =
            format!("the schedule's time zone is {schedule}, the DAG's {dag}: leave one out");
        report.error(Page::Schedules, at.map_or(node.at, |node| node.at), message);
    }
    dag.or(schedule).unwrap_or(Tz::UTC)
}

/// A schedule in one word or number.
fn of_scalar(node: &Node, report: &Report<'_>) -> Option<Schedule> {
    let every = |secs: f64| {
        let span = duration::from_secs(secs);
        span.map_err(|why| {
            report.error(Page::Schedules, node.at, format!("\"schedule\" in the DAG: {why}"));
        })
        .ok()
    };
    match &node.kind {
        Kind::Text(text) => of_text(text, node.at, report),
        Kind::Int(_) | Kind::UInt(_) | Kind::Float(_) => {
            let secs = node.to_json().as_f64().unwrap_or(f64::NAN);
            step(every(secs)?, node.at, report)
        }
        Kind::Null | Kind::Map(_) => None,
        Kind::Bool(_) | Kind::List(_) => {
            let expected =
                "a cron expression such as \"0 6 * * *\", @daily, a duration, a map, or null";
            report.error(
                Page::Schedules,
                node.at,
                format!("\"schedule\" in the DAG: expected {expected}"),
            );
            None
        }
    }
}

fn of_text(text: &str, at: At, report: &Report<'_>) -> Option<Schedule> {
    let trimmed = text.trim();
    if let Ok(span) = duration::parse(trimmed) {
        return step(span, at, report);
    }
    match trimmed.to_lowercase().as_str() {
        "@once" => return Some(Schedule::Once),
        "@continuous" => return Some(Schedule::Continuous),
        _ => {}
    }
    if !trimmed.contains(char::is_whitespace) && !trimmed.starts_with('@') {
        let preset = format!("@{trimmed}");
        let near = did_you_mean(&preset, schedule::preset_names());
        let near = if near.is_empty() { ": write cron, @daily or a duration" } else { &near };
        report.error(Page::Schedules, at, format!("unknown schedule {trimmed:?}{near}"));
        return None;
    }
    cron(text, at, report).map(Schedule::Cron)
}

/// A cron expression; an error points at the field.
fn cron(text: &str, at: At, report: &Report<'_>) -> Option<String> {
    match schedule::resolve(text) {
        Ok(cron) => Some(cron),
        Err((reason, word)) => {
            let place = report.field_within(at, text, &word);
            report.error(Page::Schedules, place, format!("\"schedule\" in the DAG: {reason}"));
            None
        }
    }
}

fn step(span: std::time::Duration, at: At, report: &Report<'_>) -> Option<Schedule> {
    if span < std::time::Duration::from_secs(1) {
        report.error(
            Page::Schedules,
            at,
            "a schedule by duration needs a second or more; @continuous has no pause",
        );
        return None;
    }
    Some(Schedule::Every(span))
}

/// A schedule of several parts: one of them says when.
fn of_parts(node: &Node, parts: &RawTimetable, zone: Tz, report: &Report<'_>) -> Option<Schedule> {
    let at = |key: &str| node.get(key).map_or(node.at, |node| node.at);
    let given = [parts.cron.is_some(), parts.every.is_some(), parts.dates.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        report.error(
            Page::Schedules,
            node.at,
            "a schedule has one of \"cron\", \"every\" and \"dates\"",
        );
        return None;
    }
    if let Some(span) = parts.every {
        return step(span.0, at("every"), report);
    }
    if let Some(dates) = &parts.dates {
        let mut dates: Vec<_> = dates.iter().map(|date| date.in_zone(zone)).collect();
        dates.sort_unstable();
        dates.dedup();
        if dates.is_empty() {
            report.error(
                Page::Schedules,
                at("dates"),
                "\"dates\" is empty: such a schedule never fires",
            );
        }
        if parts.data_interval == Some(DataInterval::Previous) {
            let message = "\"data_interval: previous\" needs \"cron\" or \"every\"";
            report.error(Page::Schedules, at("data_interval"), message);
        }
        return Some(Schedule::Dates(dates));
    }
    let items: Vec<&Node> = match node.get("cron") {
        Some(Node { kind: Kind::List(items), .. }) => items.iter().collect(),
        one => one.into_iter().collect(),
    };
    let texts = parts.cron.as_ref().map_or(&[][..], |texts| &texts.0);
    if texts.is_empty() {
        report.error(Page::Schedules, at("cron"), "\"cron\" is empty: such a schedule never fires");
    }
    let read = |(text, item): (&String, &Node)| cron(text, item.at, report);
    let mut crons: Vec<String> = texts.iter().zip(items).filter_map(read).collect();
    match crons.len() {
        1 => crons.pop().map(Schedule::Cron),
        _ => Some(Schedule::Crons(crons)),
    }
}

impl Timing {
    /// What fits not together.
    fn check(&self, node: &Node, report: &Report<'_>) {
        let at = |key: &str| node.get(key).map_or(node.at, |node| node.at);
        if self.catchup && self.start_date.is_none() {
            report.error(
                Page::Schedules,
                at("catchup"),
                "catchup: true needs a \"start_date\" to begin with",
            );
        }
        if let (Some(start), Some(end)) = (self.start_date, self.end_date)
            && end < start
        {
            report.error(Page::Schedules, at("end_date"), "\"end_date\" is before \"start_date\"");
        }
        let is_continuous = self.schedule == Some(Schedule::Continuous);
        if is_continuous && self.max_active_runs.is_some_and(|most| most > 1) {
            let message = "a @continuous DAG has one run at a time: leave out \"max_active_runs\"";
            report.error(Page::Schedules, at("max_active_runs"), message);
        }
        if is_continuous && self.on_overlap != OnOverlap::Queue {
            let message = "a @continuous DAG has no overlapping runs: leave out \"on_overlap\"";
            report.error(Page::Schedules, at("on_overlap"), message);
        }
    }

    /// Runs that may be active at once, if `most` is what other DAGs have.
    pub(super) fn active_runs(&self, most: u32) -> u32 {
        match self.schedule {
            Some(Schedule::Continuous) => 1,
            _ => self.max_active_runs.unwrap_or(most),
        }
    }
}
