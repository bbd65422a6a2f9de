//! One simulated year: exactly one run a tick, none missing and none double, while servers die.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, TimeDelta, TimeZone, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use subak_core::schedule::Tz;

use super::world::{PATIENCE, Server, World, at};

/// Two of the north, one of the south.
const ZONES: [Tz; 3] = [Tz::America__New_York, Tz::Europe__Berlin, Tz::Australia__Sydney];

const YEAR: i32 = 2095;

/// Servers that look at once.
const SERVERS: usize = 3;

/// Looks between two deaths.
const LOOKS_A_DEATH: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_year_has_one_run_a_tick_whatever_dies() {
    let mut world = World::new().await;
    let begin = at("2094-12-30T00:00:00Z");
    for zone in ZONES {
        for (name, cron, catchup) in [
            ("hourly", "0 * * * *", true),
            // Left out by spring, and shown twice by autumn, in one zone or the other.
            ("daily", "30 2 * * *", false),
            ("early", "30 1 * * *", true),
            ("monthly", "0 0 1 * *", false),
        ] {
            let source = format!(
                "dag_id: {name}_{}\nschedule: '{cron}'\ntimezone: {zone}\ncatchup: {catchup}\n\
                 start_date: {YEAR}-01-01\nend_date: {YEAR}-12-31 23:59\n\
                 tasks: {{done: {{operator: empty}}}}\n",
                short(zone)
            );
            world.save(&source, begin).await;
        }
    }
    let began = Instant::now();
    let deaths = live_through(&world, begin, at("2096-01-02T00:00:00Z")).await;
    // No time fails the test: the machine may be busy.
    let took = began.elapsed().as_secs_f64();
    let (mut runs, zones) = (0, ZONES.len());
    for zone in ZONES {
        let name = short(zone);
        runs += compare(&mut world, &format!("hourly_{name}"), &hours(zone)).await;
        runs += compare(&mut world, &format!("daily_{name}"), &days(zone, 2, 30)).await;
        runs += compare(&mut world, &format!("early_{name}"), &days(zone, 1, 30)).await;
        let months: Vec<_> = days(zone, 0, 0).into_iter().filter(|day| first(zone, *day)).collect();
        assert_eq!(months.len(), 12);
        runs += compare(&mut world, &format!("monthly_{name}"), &months).await;
    }
    eprintln!("a year in {zones} zones: {runs} runs, {deaths} servers died, {took:.1} s");
}

/// Moves the clock by up to 20 hours a step, with several servers looking at once, one of which dies
/// now and then in the middle of it; returns how many died.
async fn live_through(world: &World, begin: DateTime<Utc>, end: DateTime<Utc>) -> usize {
    let mut random = StdRng::seed_from_u64(2095);
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..SERVERS {
        servers.push(world.server().await);
    }
    let (mut now, mut deaths) = (begin, 0);
    for step in 1_u64.. {
        if now > end {
            break;
        }
        if step.is_multiple_of(LOOKS_A_DEATH) {
            let victim = servers.swap_remove(random.random_range(0..SERVERS));
            let alive = Duration::from_micros(random.random_range(0..6_000));
            // Where it is cut off is up to chance, and to the machine: nowhere may it matter.
            let _ = tokio::time::timeout(alive, victim.engine.schedules_look(now)).await;
            drop(victim);
            deaths += 1;
            servers.push(world.server().await);
        }
        settle(world, &servers, now).await;
        now += TimeDelta::minutes(random.random_range(10..1_200));
    }
    deaths
}

/// Lets all servers look until nothing is due: what a dead one held is free once its connection is
/// gone.
async fn settle(world: &World, servers: &[Server], now: DateTime<Utc>) {
    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            let looks = servers.iter().map(|server| server.engine.schedules_look(now));
            for looked in futures::future::join_all(looks).await {
                looked.unwrap();
            }
            if world.database.store.schedules_due(1, Some(now)).await.unwrap().is_empty() {
                return;
            }
        }
    });
    settled.await.expect("schedules that settle");
}

/// Every full hour of a zone's year: the offsets of these zones are whole hours.
fn hours(zone: Tz) -> Vec<DateTime<Utc>> {
    let midnight = |year| zone.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap().to_utc();
    let hours: Vec<_> =
        std::iter::successors(Some(midnight(YEAR)), |at| Some(*at + TimeDelta::hours(1)))
            .take_while(|at| *at < midnight(YEAR + 1))
            .collect();
    let offset = |at: &DateTime<Utc>| at.with_timezone(&zone).naive_local() - at.naive_utc();
    let changes = hours.windows(2).filter(|pair| offset(&pair[0]) != offset(&pair[1])).count();
    assert_eq!((hours.len(), changes), (8_760, 2), "{zone}");
    hours
}

/// One instant a day: the second one where the clocks show it twice, an hour later where never.
fn days(zone: Tz, hour: u32, minute: u32) -> Vec<DateTime<Utc>> {
    let first = NaiveDate::from_ymd_opt(YEAR, 1, 1).unwrap();
    let wall = |day: NaiveDate| day.and_hms_opt(hour, minute, 0).unwrap();
    let instant = |day| match zone.from_local_datetime(&wall(day)) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(_, at) => at.to_utc(),
        MappedLocalTime::None => {
            zone.from_local_datetime(&(wall(day) + TimeDelta::hours(1))).unwrap().to_utc()
        }
    };
    let days: Vec<_> =
        first.iter_days().take_while(|day| day.year() == YEAR).map(instant).collect();
    assert_eq!(days.len(), 365);
    days
}

fn first(zone: Tz, at: DateTime<Utc>) -> bool {
    at.with_timezone(&zone).day() == 1
}

/// I8: there is exactly one run for each tick; returns how many.
async fn compare(world: &mut World, dag_id: &str, expected: &[DateTime<Utc>]) -> usize {
    let runs = world.runs(dag_id).await;
    let found: Vec<_> = runs.iter().map(|run| run.logical_date).collect();
    let missing: Vec<_> = expected.iter().filter(|at| !found.contains(at)).take(5).collect();
    let extra: Vec<_> = found.iter().filter(|at| !expected.contains(at)).take(5).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{dag_id}: missing {missing:?}, extra {extra:?}"
    );
    assert_eq!(found.len(), expected.len(), "{dag_id}");
    for run in runs {
        let name = run.run_after.format("scheduled__%Y-%m-%dT%H:%M:%S+00:00").to_string();
        assert_eq!(run.run_id, name);
        assert_eq!((run.run_type.as_str(), run.triggered_by.as_str()), ("scheduled", "timetable"));
        assert_eq!(
            (run.data_interval_start, run.data_interval_end),
            (run.run_after, run.run_after)
        );
        assert_eq!(run.state, "success", "{dag_id} {name}");
    }
    found.len()
}

fn short(zone: Tz) -> String {
    zone.name().rsplit('/').next().unwrap_or_default().to_lowercase()
}
