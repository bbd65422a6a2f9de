//! Against what Airflow answered itself.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use serde_json::Value;

use super::*;
use crate::dag::model::{DataInterval, Schedule};

fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn instant(value: &Value) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().to_utc()
}

fn date(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|_| instant(value))
}

/// What was compared: how often it was the same, and what was not.
#[derive(Default)]
struct Compared {
    right: usize,
    wrong: Vec<String>,
}

impl Compared {
    fn check(&mut self, same: bool, what: impl FnOnce() -> String) {
        if same {
            self.right += 1;
        } else {
            self.wrong.push(what());
        }
    }

    fn all_right(&self, least: usize) {
        let (right, wrong) = (self.right, self.wrong.len());
        let some: Vec<_> =
            self.wrong.iter().step_by(wrong / 20 + 1).take(20).map(String::as_str).collect();
        assert!(self.wrong.is_empty(), "{wrong} wrong, {right} right:\n{}", some.join("\n"));
        assert!(right >= least, "only {right} compared");
    }
}

#[test]
fn cron_fires_when_airflows_does() {
    let mut compared = Compared::default();
    let mut left_out = 0;
    for vector in vectors("cron-vectors.json.gz").as_array().unwrap() {
        let expression = vector["expr"].as_str().unwrap();
        let preset = resolve(expression).ok().filter(|_| expression.starts_with('@'));
        let written = preset.as_deref().unwrap_or(expression);
        if vector.get("error").is_some() {
            compared.check(Cron::parse(written).is_err(), || format!("{expression:?} is accepted"));
            continue;
        }
        // A random field is never the same twice; seconds and years are not ours.
        if expression.starts_with('R') || vector["cols"] != 5 {
            left_out += 1;
            continue;
        }
        for case in vector["cases"].as_array().unwrap() {
            let zone: Tz = case["tz"].as_str().unwrap().parse().unwrap();
            let cron = match ZonedCron::parse(written, zone) {
                Ok(cron) => cron,
                Err(error) => {
                    compared.wrong.push(error.to_string());
                    continue;
                }
            };
            let start = instant(&case["start"]);
            let walk = |step: &dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>>, count: usize| {
                std::iter::successors(step(start), |&at| step(at)).take(count).collect::<Vec<_>>()
            };
            for (key, error, step) in [
                ("next", "next_err", &(|at| cron.next_after(at)) as &dyn Fn(_) -> _),
                ("prev", "prev_err", &|at| cron.previous_before(at)),
            ] {
                let expected: Vec<_> = case[key].as_array().unwrap().iter().map(instant).collect();
                // Where Airflow fails there is nothing more.
                let more = usize::from(case.get(error).is_some());
                let found = walk(step, expected.len() + more);
                compared.check(found == expected, || {
                    format!("{expression} {zone} {key} of {start}: {found:?}, not {expected:?}")
                });
            }
        }
    }
    assert_eq!(left_out, 1);
    compared.all_right(20_000);
}

/// What a vector has that a DAG file can't say, as docs/differences.md lists it.
fn not_ours(vector: &Value) -> Option<&'static str> {
    let given = &vector["timetable"];
    let at_once = &given["run_immediately"];
    if given["interval_seconds"].as_f64().is_some_and(|secs| secs != 0.0) {
        Some("interval")
    } else if at_once.as_bool() == Some(true) || at_once.is_number() {
        Some("run_immediately")
    } else {
        given.get("relativedelta").map(|_| "relativedelta")
    }
}

#[test]
fn what_is_not_compared_with_airflow_is_counted() {
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut compared, mut drifts, mut holes) = (0, 0, 0);
    let vectors = vectors("airflow-timetable-vectors.json.gz");
    for vector in vectors["vectors"].as_array().unwrap() {
        match not_ours(vector) {
            Some(why) => *left_out.entry(why).or_default() += 1,
            None => {
                compared += 1;
                drifts += usize::from(drifts_in_airflow(vector));
                holes += usize::from(differs(vector) && !drifts_in_airflow(vector));
            }
        }
    }
    let expected = [("interval", 392), ("relativedelta", 58), ("run_immediately", 158)];
    assert_eq!(left_out, BTreeMap::from(expected));
    assert_eq!((compared, drifts, holes), (984, 106, 3));
}

/// The timetable of a vector; `None`: it has what a DAG file can't say.
fn timetable(vector: &Value, step: &Value) -> Option<Timetable> {
    if not_ours(vector).is_some() {
        return None;
    }
    let given = &vector["timetable"];
    let cron = |value: &Value| resolve(value.as_str().unwrap()).unwrap();
    let every =
        || Schedule::Every(Duration::from_secs_f64(given["delta_seconds"].as_f64().unwrap()));
    let (schedule, data_interval) = match given["class"].as_str().unwrap() {
        "CronTriggerTimetable" => (Schedule::Cron(cron(&given["cron"])), DataInterval::Point),
        "CronDataIntervalTimetable" => {
            (Schedule::Cron(cron(&given["cron"])), DataInterval::Previous)
        }
        "MultipleCronTriggerTimetable" => {
            let crons = given["crons"].as_array().unwrap().iter().map(cron).collect();
            (Schedule::Crons(crons), DataInterval::Point)
        }
        "DeltaTriggerTimetable" => (every(), DataInterval::Point),
        "DeltaDataIntervalTimetable" => (every(), DataInterval::Previous),
        "OnceTimetable" => (Schedule::Once, DataInterval::Point),
        "ContinuousTimetable" => (Schedule::Continuous, DataInterval::Point),
        other => panic!("{other} is not compared, and not counted"),
    };
    let mut dag = crate::decide::sample::dag(Vec::new());
    dag.schedule = Some(schedule);
    dag.data_interval = data_interval;
    dag.timezone = given["timezone"].as_str().map_or(Tz::UTC, |zone| zone.parse().unwrap());
    dag.start_date = date(&vector["start_date"]);
    dag.end_date = date(&vector["end_date"]);
    dag.catchup = vector["catchup"].as_bool().unwrap();
    // Airflow is asked when the DAG is saved.
    let now = date(&step["now"]).unwrap_or_default();
    Timetable::of(&dag, now).unwrap()
}

fn class(vector: &Value) -> &str {
    vector["timetable"]["class"].as_str().unwrap()
}

/// Durations without catchup stay on the grid of their start.
fn drifts_in_airflow(vector: &Value) -> bool {
    class(vector).starts_with("Delta") && vector["catchup"] == false
}

/// Where ours differs on purpose, as docs/differences.md says.
fn differs(vector: &Value) -> bool {
    // Several instants of an hour that spring leaves out: none of them is forgotten.
    let has_hole = [1230, 10053, 10089].contains(&vector["id"].as_i64().unwrap());
    drifts_in_airflow(vector) || has_hole
}

#[test]
fn scheduled_runs_follow_each_other_as_airflows_do() {
    let mut compared = Compared::default();
    let mut beyond = 0;
    for vector in vectors("airflow-timetable-vectors.json.gz")["vectors"].as_array().unwrap() {
        for step in vector["steps"].as_array().unwrap() {
            let Some(timetable) = timetable(vector, step) else { continue };
            let now = instant(&step["now"]);
            let found = timetable.next(date(&step["last"][0]).zip(date(&step["last"][1])), now);
            let expected = step["next"].as_object().map(|next| Tick {
                logical_date: instant(&next["logical_date"]),
                data_interval_start: instant(&next["data_interval_start"]),
                data_interval_end: instant(&next["data_interval_end"]),
                run_after: instant(&next["run_after"]),
            });
            // Our calendar ends with the year 2100.
            if expected.is_some_and(|tick| tick.run_after.year() > 2100) {
                beyond += 1;
                continue;
            }
            let run_id = |tick: &Tick| crate::ids::run_id("scheduled", tick.run_after);
            let same_id = found.as_ref().map(run_id).as_deref() == step["next"]["run_id"].as_str();
            let same = found == expected && same_id;
            if differs(vector) {
                check_difference(vector, step, found);
                compared.right += usize::from(same);
                continue;
            }
            compared.check(same, || {
                let head = serde_json::json!([
                    vector["timetable"],
                    vector["start_date"],
                    vector["end_date"],
                    vector["catchup"]
                ]);
                format!("{} {head} {step}: {found:?}", vector["id"])
            });
        }
    }
    assert_eq!(beyond, 50);
    compared.all_right(3_000);
}

/// What holds where ours differs: the next run comes after the last one, on its grid, and not later
/// than one step after now.
fn check_difference(vector: &Value, step: &Value, found: Option<Tick>) {
    let (Some(tick), Some(last)) = (found, date(&step["last"][1])) else { return };
    assert!(tick.run_after > last, "{} {step}: {tick:?}", vector["id"]);
    let Some(secs) = vector["timetable"]["delta_seconds"].as_i64() else { return };
    let from = date(&vector["start_date"]).filter(|start| *start == tick.logical_date);
    let off = (tick.logical_date - from.unwrap_or(last)).num_milliseconds() % (secs * 1_000);
    assert_eq!(off, 0, "{} {step}: {tick:?}", vector["id"]);
}

#[test]
fn runs_made_by_hand_have_airflows_ids_and_intervals() {
    let mut compared = Compared::default();
    for vector in vectors("airflow-timetable-vectors.json.gz")["vectors"].as_array().unwrap() {
        let Some(timetable) = timetable(vector, &Value::Null) else { continue };
        let mut check = |date: &Value, case: &Value| {
            let run_id = crate::ids::run_id("manual", instant(&case["run_after"]));
            let same_id = case["run_id"] == run_id;
            let (start, end) = timetable.interval_at(instant(date));
            let expected =
                (instant(&case["data_interval_start"]), instant(&case["data_interval_end"]));
            compared.check((start, end) == expected && same_id, || {
                format!("{} {} {case}: {run_id} {start} {end}", vector["id"], vector["timetable"])
            });
        };
        for case in vector["manual"].as_array().unwrap() {
            check(&case["run_after"], case);
        }
        for case in vector["triggered"].as_array().unwrap() {
            if !case["logical_date"].is_null() {
                check(&case["logical_date"], case);
            }
        }
        let undated = vector["triggered"].as_array().unwrap().iter();
        for case in undated.filter(|case| case["logical_date"].is_null()) {
            let run_id = crate::ids::run_id("manual", instant(&case["run_after"]));
            let has_none = case["data_interval_start"].is_null();
            compared.check(has_none && case["run_id"] == run_id, || {
                format!("{} {case}: {run_id}", vector["id"])
            });
        }
    }
    compared.all_right(4_672);
}

/// A schedule's logical dates between two instants of 2026, as `month-dayThour`.
fn between(schedule: Schedule, data_interval: DataInterval, span: (&str, &str)) -> Vec<String> {
    let text =
        "dag_id: x\nstart_date: 2026-03-01\nend_date: 2026-03-02\ntasks: {a: {operator: noop}}";
    let mut dag = crate::dag::parse("x.yaml", text).dags.remove(0);
    (dag.schedule, dag.data_interval) = (Some(schedule), data_interval);
    let at = |text: &str| instant(&Value::from(format!("2026-{text}:00:00Z")));
    let table = Timetable::of(&dag, at("01-01T00")).unwrap().unwrap();
    let ticks = table.between(at(span.0), at(span.1), at("06-01T00")).unwrap();
    ticks.map(|tick| tick.logical_date.format("%m-%dT%H").to_string()).collect()
}

#[test]
fn a_span_has_the_runs_that_its_schedule_would_have_made() {
    let daily = || Schedule::Cron("0 0 * * *".to_owned());
    let days = ["02-01T00", "02-02T00", "02-03T00"];
    // The ends belong to it, and neither the DAG's start nor its end matters.
    for interval in [DataInterval::Point, DataInterval::Previous] {
        assert_eq!(between(daily(), interval, ("02-01T00", "02-03T00")), days);
        assert_eq!(between(daily(), interval, ("01-31T01", "02-03T23")), days);
    }
    // What is not due yet is left out: an interval is due at its end.
    assert_eq!(between(daily(), DataInterval::Point, ("05-31T00", "06-09T00")).len(), 2);
    assert_eq!(between(daily(), DataInterval::Previous, ("05-31T00", "06-09T00")).len(), 1);
    let hours = Schedule::Every(Duration::from_secs(12 * 3_600));
    assert_eq!(
        between(hours, DataInterval::Previous, ("02-01T06", "02-02T06")),
        ["02-01T06", "02-01T18", "02-02T06"]
    );
    assert_eq!(between(daily(), DataInterval::Point, ("02-03T00", "02-01T00")), [""; 0]);
}
