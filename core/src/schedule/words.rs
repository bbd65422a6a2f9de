//! A schedule in words, for people: "every day at 06:00 (Asia/Jakarta)".

use chrono_tz::Tz;

use crate::dag::model::Schedule;

/// Says when a schedule fires; what has no short description is shown as written.
#[must_use]
pub fn in_words(schedule: &Schedule, zone: Tz) -> String {
    match schedule {
        Schedule::Cron(cron) => format!("{} ({zone})", cron_in_words(cron)),
        Schedule::Crons(crons) => {
            let all: Vec<String> = crons.iter().map(|cron| cron_in_words(cron)).collect();
            format!("{} ({zone})", all.join("; "))
        }
        Schedule::Every(span) => format!("every {}", span_in_words(span.as_secs())),
        Schedule::Dates(dates) if dates.len() == 1 => "on one date".to_owned(),
        Schedule::Dates(dates) => format!("on {} dates", dates.len()),
        Schedule::Once => "once".to_owned(),
        Schedule::Continuous => "always, one run at a time".to_owned(),
    }
}

/// A schedule in one line, as Airflow sums it up: the expression itself.
#[must_use]
pub fn summary(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron(cron) => cron.clone(),
        Schedule::Crons(crons) => crons.join(", "),
        Schedule::Every(span) => span_in_words(span.as_secs()),
        Schedule::Dates(dates) => format!("{} dates", dates.len()),
        Schedule::Once => "@once".to_owned(),
        Schedule::Continuous => "@continuous".to_owned(),
    }
}

fn cron_in_words(cron: &str) -> String {
    const DAYS: [&str; 8] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let words: Vec<&str> = cron.split_whitespace().collect();
    let number = |word: &str| word.parse::<usize>().ok();
    let described = match words[..] {
        ["*", "*", "*", "*", "*"] => Some("every minute".to_owned()),
        [minute, "*", "*", "*", "*"] => match minute.strip_prefix("*/").and_then(number) {
            Some(step) if 60 % step.max(1) == 0 => Some(format!("every {step} minutes")),
            _ => number(minute).map(|minute| match minute {
                0 => "every hour".to_owned(),
                minute => format!("every hour at minute {minute}"),
            }),
        },
        [minute, hour, day, "*", weekday] => number(minute).zip(number(hour)).and_then(|(m, h)| {
            let time = format!("{h:02}:{m:02}");
            match (day, weekday) {
                ("*", "*") => Some(format!("every day at {time}")),
                ("*", "1-5" | "mon-fri" | "MON-FRI") => Some(format!("Monday to Friday at {time}")),
                ("*", day) => {
                    let day = number(day).and_then(|day| DAYS.get(day))?;
                    Some(format!("every {day} at {time}"))
                }
                ("L" | "l", "*") => Some(format!("on the last day of the month at {time}")),
                (day, "*") => number(day).map(|day| format!("on day {day} of the month at {time}")),
                _ => None,
            }
        }),
        _ => None,
    };
    described.unwrap_or_else(|| cron.to_owned())
}

/// `90` seconds as `1m 30s`.
fn span_in_words(secs: u64) -> String {
    let parts =
        [(secs / 86_400, "d"), (secs / 3_600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_schedules_have_words() {
        let check = |cron: &str, words: &str| assert_eq!(cron_in_words(cron), words, "{cron}");
        check("0 6 * * *", "every day at 06:00");
        check("*/5 * * * *", "every 5 minutes");
        check("0 * * * *", "every hour");
        check("30 7 * * 1", "every Monday at 07:30");
        check("0 0 1 * *", "on day 1 of the month at 00:00");
        check("0 0 1 */3 *", "0 0 1 */3 *");
        assert_eq!(span_in_words(5_430), "1h 30m 30s");
    }
}
