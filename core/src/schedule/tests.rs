//! Against what Airflow answered itself.
use std::io::Read as _;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::*;

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

#[test]
fn cron_fires_when_airflows_does() {
    let (mut right, mut wrong) = (0, Vec::new());
    for vector in vectors("cron-vectors.json.gz").as_array().unwrap() {
        let expression = vector["expr"].as_str().unwrap();
        let preset = resolve(expression).ok().filter(|_| expression.starts_with('@'));
        let cron = Cron::parse(preset.as_deref().unwrap_or(expression)).map_err(|e| e.to_string());
        if vector.get("error").is_some() {
            if cron.is_ok() {
                wrong.push(format!("{expression:?} is accepted"));
            }
            continue;
        }
        // A random field is never the same twice.
        if expression.contains('R') && expression.starts_with('R') {
            continue;
        }
        let cron = match cron {
            Ok(cron) => cron,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        for case in vector["cases"].as_array().unwrap().iter().filter(|case| case["tz"] == "UTC") {
            let start = instant(&case["start"]);
            let walk = |step: &dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>>, count: usize| {
                std::iter::successors(step(start), |&at| step(at)).take(count).collect::<Vec<_>>()
            };
            for (key, found) in [
                ("next", walk(&|at| cron.next_after(at), 5)),
                ("prev", walk(&|at| cron.previous_before(at), 5)),
            ] {
                let expected: Vec<_> = case[key].as_array().unwrap().iter().map(instant).collect();
                if found == expected {
                    right += 1;
                } else {
                    wrong.push(format!(
                        "{expression} {key} of {start}: {found:?}, not {expected:?}"
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong, {right} right:\n{}",
        wrong.len(),
        wrong.iter().step_by(16).take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(right > 4_000, "{right}");
}

#[test]
fn scheduled_runs_follow_each_other_as_airflows_do() {
    let (mut right, mut wrong) = (0, Vec::new());
    for vector in vectors("airflow-timetable-vectors.json.gz")["vectors"].as_array().unwrap() {
        let timetable = &vector["timetable"];
        let fits = timetable["class"] == "CronTriggerTimetable"
            && timetable["timezone"] == "UTC"
            && timetable["interval_seconds"] == 0.0
            && timetable["run_immediately"] == false;
        let Some(steps) = vector["steps"].as_array().filter(|_| fits) else { continue };
        let expression = resolve(timetable["cron"].as_str().unwrap()).unwrap();
        let cron = Cron::parse(&expression).unwrap();
        let date = |value: &Value| value.as_str().map(|_| instant(value));
        for step in steps {
            let found = next_run(
                &cron,
                date(&vector["start_date"]),
                date(&vector["end_date"]),
                vector["catchup"].as_bool().unwrap(),
                date(&step["last"][1]),
                instant(&step["now"]),
            );
            let expected = step["next"].as_object().map(|next| Tick {
                logical_date: instant(&next["logical_date"]),
                data_interval_start: instant(&next["data_interval_start"]),
                data_interval_end: instant(&next["data_interval_end"]),
                run_after: instant(&next["run_after"]),
            });
            let run_id = |tick: &Tick| crate::ids::run_id("scheduled", tick.run_after);
            let same_id = found.as_ref().map(run_id).as_deref() == step["next"]["run_id"].as_str();
            if found == expected && same_id {
                right += 1;
            } else {
                wrong.push(format!("{} {step}: {found:?}", vector["id"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {right} right:\n{}", wrong.len(), wrong.join("\n"));
    assert!(right > 250, "{right}");
}
