//! Bounds of what lists show: instants and durations, not below or beyond others.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

/// A bound of a run, or of a task instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    pub of: Bounded,
    pub side: Side,
    pub at: Edge,
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// Of the run.
    RunAfter,
    /// Of the run.
    LogicalDate,
    Started,
    Ended,
    /// Of what has ended.
    Duration,
    /// When the state of a run changed last, or people noted something.
    RunUpdated,
    /// When the state of a task instance changed last.
    Updated,
}

/// When a run changed last.
pub(super) const RUN_UPDATED: &str =
    "greatest(r.created_at, r.started_at, r.ended_at, r.cancelled_at, r.touched_at)";

/// How it is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// The bound itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edge {
    Instant(DateTime<Utc>),
    Seconds(f64),
}

/// What a list's rows have of what is bounded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub run_after: Option<DateTime<Utc>>,
    pub logical_date: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
}

impl Side {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => " >= ",
            Self::Above => " > ",
            Self::AtMost => " <= ",
            Self::Below => " < ",
        }
    }

    fn takes<T: PartialOrd>(self, value: &T, edge: &T) -> bool {
        match self {
            Self::AtLeast => value >= edge,
            Self::Above => value > edge,
            Self::AtMost => value <= edge,
            Self::Below => value < edge,
        }
    }
}

impl Bound {
    /// Whether these times are within it. What is not known is not.
    #[must_use]
    pub fn takes(&self, times: Times) -> bool {
        let instant = match self.of {
            Bounded::RunAfter => times.run_after,
            Bounded::LogicalDate => times.logical_date,
            Bounded::Started => times.started_at,
            Bounded::Ended => times.ended_at,
            Bounded::RunUpdated | Bounded::Updated => times.updated_at,
            Bounded::Duration => {
                let took = times.ended_at.zip(times.started_at).map(|(end, start)| end - start);
                let Edge::Seconds(edge) = self.at else { return false };
                return took.is_some_and(|it| self.side.takes(&it.as_seconds_f64(), &edge));
            }
        };
        let Edge::Instant(edge) = self.at else { return false };
        instant.is_some_and(|it| self.side.takes(&it, &edge))
    }

    /// Adds the condition. `own` is what has the start and end; the run is `r`.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>, own: &str) {
        query.push(" AND ");
        match self.of {
            Bounded::RunAfter => query.push("r.run_after"),
            Bounded::LogicalDate => query.push("r.logical_date"),
            Bounded::Started => query.push(own).push(".started_at"),
            Bounded::Ended => query.push(own).push(".ended_at"),
            Bounded::Duration => {
                query.push("extract(epoch FROM ").push(own).push(".ended_at - ");
                query.push(own).push(".started_at)::double precision")
            }
            Bounded::RunUpdated => query.push(RUN_UPDATED),
            Bounded::Updated => {
                query.push("greatest(").push(own).push(".queued_at, ").push(own);
                query.push(".started_at, ").push(own).push(".ended_at)")
            }
        };
        query.push(self.side.sign());
        match self.at {
            Edge::Instant(at) => query.push_bind(at),
            Edge::Seconds(seconds) => query.push_bind(seconds),
        };
    }
}
