//! Last runs as small bars: the longer a run took, the taller its bar.

use chrono::{DateTime, Utc};
use subak_core::state::RunState;

use crate::badge::Badge;
use crate::format::{Stamp, duration};
use crate::text::Text;
use crate::url;

/// Height of the tallest bar, and of the shortest.
const TALLEST: u32 = 28;
const SHORTEST: u32 = 6;
/// Bars that fit, and how far apart they are.
pub const BARS: usize = 14;
const STEP: usize = 9;

/// A run as a bar stands for it.
#[derive(Debug, Clone)]
pub struct BarRun {
    pub run_id: String,
    pub state: RunState,
    pub run_after: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// One bar of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    pub x: usize,
    pub y: u32,
    pub height: u32,
    pub class: &'static str,
    pub href: String,
    pub title: String,
}

/// Returns the bars of a DAG's runs, given the oldest first.
#[must_use]
pub fn bars(dag_id: &str, runs: &[BarRun], now: DateTime<Utc>, t: &'static Text) -> Vec<Bar> {
    let took = |run: &BarRun| {
        run.started_at
            .map_or(0, |from| (run.ended_at.unwrap_or(now) - from).num_milliseconds().max(0))
    };
    let longest = runs.iter().map(took).max().unwrap_or(0).max(1);
    let free = BARS.saturating_sub(runs.len());
    let bar = |(at, run): (usize, &BarRun)| {
        let badge = Badge::run(run.state, t);
        let share = took(run) * i64::from(TALLEST - SHORTEST) / longest;
        let height = SHORTEST + u32::try_from(share).unwrap_or(0);
        let when = Stamp::new(run.started_at.unwrap_or(run.run_after), now, t);
        let length = run.started_at.map(|from| duration(run.ended_at.unwrap_or(now) - from));
        Bar {
            x: (free + at) * STEP,
            y: TALLEST - height,
            height,
            class: badge.class,
            href: url::run(dag_id, &run.run_id),
            title: format!(
                "{} · {} · {}{}",
                run.run_id,
                badge.label,
                when.full,
                length.map(|it| format!(" · {it}")).unwrap_or_default()
            ),
        }
    };
    runs.iter().rev().take(BARS).rev().enumerate().map(bar).collect()
}
