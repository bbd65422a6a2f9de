//! A schedule in words, for people: "every day at 06:00 (Asia/Jakarta)".

use std::time::Duration;

use chrono_tz::Tz;

use crate::dag::model::Schedule;

/// The phrases of one language; `{}` stands for a value.
#[derive(Debug)]
pub struct Phrases {
    /// From Sunday to Sunday.
    pub days: [&'static str; 8],
    pub every: &'static str,
    pub every_minute: &'static str,
    pub every_minutes: &'static str,
    pub every_hour: &'static str,
    pub every_hour_at: &'static str,
    pub every_day: &'static str,
    pub workdays: &'static str,
    /// The day of the week, and the time.
    pub every_week: &'static str,
    pub last_of_month: &'static str,
    /// The day of the month, and the time.
    pub every_month: &'static str,
    pub one_date: &'static str,
    pub dates: &'static str,
    pub once: &'static str,
    pub always: &'static str,
}

static ENGLISH: Phrases = Phrases {
    days: ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    every: "every {}",
    every_minute: "every minute",
    every_minutes: "every {} minutes",
    every_hour: "every hour",
    every_hour_at: "every hour at minute {}",
    every_day: "every day at {}",
    workdays: "Monday to Friday at {}",
    every_week: "every {} at {}",
    last_of_month: "on the last day of the month at {}",
    every_month: "on day {} of the month at {}",
    one_date: "on one date",
    dates: "on {} dates",
    once: "once",
    always: "always, one run at a time",
};

/// Says when a schedule fires; what has no short description is shown as written.
#[must_use]
pub fn in_words(schedule: &Schedule, zone: Tz) -> String {
    in_words_of(&ENGLISH, schedule, zone)
}

/// The same in the phrases of another language.
#[must_use]
pub fn in_words_of(say: &Phrases, schedule: &Schedule, zone: Tz) -> String {
    match schedule {
        Schedule::Cron(cron) => format!("{} ({zone})", cron_in_words(say, cron)),
        Schedule::Crons(crons) => {
            let all: Vec<String> = crons.iter().map(|cron| cron_in_words(say, cron)).collect();
            format!("{} ({zone})", all.join("; "))
        }
        Schedule::Every(span) => fill(say.every, span_in_words(*span)),
        Schedule::Dates(dates) if dates.len() == 1 => say.one_date.to_owned(),
        Schedule::Dates(dates) => fill(say.dates, dates.len()),
        Schedule::Once => say.once.to_owned(),
        Schedule::Continuous => say.always.to_owned(),
    }
}

/// A schedule in one line, as Airflow sums it up: the expression itself.
#[must_use]
pub fn summary(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron(cron) => cron.clone(),
        Schedule::Crons(crons) => crons.join(", "),
        Schedule::Every(span) => span_in_words(*span),
        Schedule::Dates(dates) => format!("{} dates", dates.len()),
        Schedule::Once => "@once".to_owned(),
        Schedule::Continuous => "@continuous".to_owned(),
    }
}

fn cron_in_words(say: &Phrases, cron: &str) -> String {
    let words: Vec<&str> = cron.split_whitespace().collect();
    let number = |word: &str| word.parse::<usize>().ok();
    let described = match words[..] {
        ["*", "*", "*", "*", "*"] => Some(say.every_minute.to_owned()),
        [minute, "*", "*", "*", "*"] => match minute.strip_prefix("*/").and_then(number) {
            Some(step) if 60 % step.max(1) == 0 => Some(fill(say.every_minutes, step)),
            _ => number(minute).map(|minute| match minute {
                0 => say.every_hour.to_owned(),
                minute => fill(say.every_hour_at, minute),
            }),
        },
        [minute, hour, day, "*", weekday] => number(minute).zip(number(hour)).and_then(|(m, h)| {
            let time = format!("{h:02}:{m:02}");
            match (day, weekday) {
                ("*", "*") => Some(fill(say.every_day, time)),
                ("*", "1-5" | "mon-fri" | "MON-FRI") => Some(fill(say.workdays, time)),
                ("*", day) => {
                    let day = number(day).and_then(|day| say.days.get(day))?;
                    Some(fill(&fill(say.every_week, day), time))
                }
                ("L" | "l", "*") => Some(fill(say.last_of_month, time)),
                (day, "*") => number(day).map(|day| fill(&fill(say.every_month, day), time)),
                _ => None,
            }
        }),
        _ => None,
    };
    described.unwrap_or_else(|| cron.to_owned())
}

/// Fills the first place of a phrase.
fn fill(phrase: &str, value: impl std::fmt::Display) -> String {
    phrase.replacen("{}", &value.to_string(), 1)
}

/// 90 seconds as `1m 30s`, one and a half as `1.5s`.
fn span_in_words(span: Duration) -> String {
    let secs = span.as_secs();
    let parts = [(secs / 86_400, "d"), (secs / 3_600 % 24, "h"), (secs / 60 % 60, "m")];
    let mut shown: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    let rest = Duration::new(secs % 60, span.subsec_nanos());
    if !rest.is_zero() {
        shown.push(format!("{}s", rest.as_secs_f64()));
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_schedules_have_words() {
        let check =
            |cron: &str, words: &str| assert_eq!(cron_in_words(&ENGLISH, cron), words, "{cron}");
        check("0 6 * * *", "every day at 06:00");
        check("*/5 * * * *", "every 5 minutes");
        check("0 * * * *", "every hour");
        check("30 7 * * 1", "every Monday at 07:30");
        check("0 0 1 * *", "on day 1 of the month at 00:00");
        check("0 0 1 */3 *", "0 0 1 */3 *");
        assert_eq!(span_in_words(Duration::from_secs(5_430)), "1h 30m 30s");
        let half = Duration::from_millis(1_500);
        assert_eq!(in_words(&Schedule::Every(half), Tz::UTC), "every 1.5s");
        assert_eq!(summary(&Schedule::Every(half)), "1.5s");
    }
}
