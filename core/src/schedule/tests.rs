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
