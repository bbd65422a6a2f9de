//! Turns (ADR 10): who joins a line comes behind its first one. The first one is looked up once a line and
//! statement: rows that the statement itself writes would be in the way of every further look.

use std::collections::BTreeMap;

use subak_core::state::TaskState;

/// Those that wait for the same thing with the same priority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    /// `None`: they wait for a slot of the queue.
    pool: Option<String>,
    queue: String,
    priority: i32,
}

/// The lines that rows of one statement join.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<Line, i32>);

impl Line {
    /// Of those that wait for a slot.
    pub(super) fn of_queue(queue: &str, priority: i32) -> Self {
        Self { pool: None, queue: queue.to_owned(), priority }
    }

    /// The line that a row joins in this state; none if it waits for nobody.
    pub(super) fn joined(
        state: TaskState,
        waits_pool: bool,
        pool: Option<&str>,
        queue: &str,
        priority: i32,
    ) -> Option<Self> {
        match pool.filter(|_| waits_pool) {
            Some(pool) => {
                Some(Self { pool: Some(pool.to_owned()), queue: String::new(), priority })
            }
            None => (state == TaskState::Queued).then(|| Self::of_queue(queue, priority)),
        }
    }
}

impl Lines {
    /// The number of a line, from 1; 0 for none.
    pub(super) fn number(&mut self, line: Option<Line>) -> i32 {
        let next = i32::try_from(self.0.len()).unwrap_or(i32::MAX).saturating_add(1);
        line.map_or(0, |line| *self.0.entry(line).or_insert(next))
    }

    /// Pools, queues and priorities, for [`first_turns`].
    pub(super) fn columns(&self) -> (Vec<Option<&str>>, Vec<&str>, Vec<i32>) {
        let mut lines: Vec<(&Line, i32)> = self.0.iter().map(|(line, n)| (line, *n)).collect();
        lines.sort_by_key(|(_, n)| *n);
        (
            lines.iter().map(|(line, _)| line.pool.as_deref()).collect(),
            lines.iter().map(|(line, _)| line.queue.as_str()).collect(),
            lines.iter().map(|(line, _)| line.priority).collect(),
        )
    }
}

/// The turn of the first one in a line, null if nobody waits there; `$pool` is null for a line of slots.
macro_rules! first_turn {
    ($pool:literal, $queue:literal, $priority:literal) => {
        concat!(
            "CASE WHEN ",
            $pool,
            " IS NULL THEN (
                SELECT f.turn FROM live AS f
                WHERE f.state = 'queued' AND f.queue = ",
            $queue,
            " AND f.priority = ",
            $priority,
            " ORDER BY f.turn LIMIT 1
            ) ELSE (
                SELECT f.turn FROM live AS f
                WHERE f.waits_pool AND f.pool = ",
            $pool,
            " AND f.priority = ",
            $priority,
            " ORDER BY f.turn LIMIT 1
            ) END"
        )
    };
}
pub(super) use first_turn;

/// The first turns of [`Lines`], an array; it is made once, when the first row asks for it.
macro_rules! first_turns {
    ($pools:literal, $queues:literal, $priorities:literal) => {
        concat!(
            "ARRAY(
                SELECT coalesce(",
            crate::engine::turns::first_turn!("line.pool", "line.queue", "line.priority"),
            ", 0)
                FROM unnest(",
            $pools,
            "::text[], ",
            $queues,
            "::text[], ",
            $priorities,
            "::integer[]) AS line (pool, queue, priority)
            )"
        )
    };
}
pub(super) use first_turns;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_they_come_and_rows_that_do_not_wait_have_none() {
        let mut lines = Lines::default();
        let line = |state, waits, pool| Line::joined(state, waits, pool, "default", 7);
        assert_eq!(lines.number(line(TaskState::Queued, false, None)), 1);
        assert_eq!(lines.number(line(TaskState::Scheduled, true, Some("a"))), 2);
        assert_eq!(lines.number(Some(Line::of_queue("default", 7))), 1);
        for (state, pool) in [(TaskState::Running, Some("a")), (TaskState::Scheduled, None)] {
            assert_eq!(lines.number(line(state, false, pool)), 0);
        }
        assert_eq!(lines.columns(), (vec![None, Some("a")], vec!["default", ""], vec![7, 7]));
    }
}
