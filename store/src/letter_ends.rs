//! How dead letters end besides by a replay: people dismiss them, and those that are settled are dropped
//! after their run. One that is open stays, whatever becomes of its run.

use sqlx::QueryBuilder;

use crate::read::{LetterFilter, push_letter_conditions};
use crate::replays::{FROM, UNSETTLED};
use crate::{Store, StoreError};

/// Dead letters that one statement dismisses, or looks at.
const SLICE: i64 = 5_000;

/// Of the next settled ones, those of which neither the run nor the one that replayed them is kept: a run
/// that is cleared asks for its dead letters again. What never became visible belonged to a lost try.
const DROP: &str = "
    WITH settled AS MATERIALIZED (
        SELECT id, run_key, replay FROM dead_letter
        WHERE id > $1 AND (state <> 'open' OR NOT visible)
        ORDER BY id LIMIT $2
    ), gone AS (
        DELETE FROM dead_letter AS l USING settled AS s
        WHERE l.id = s.id
          AND NOT EXISTS (SELECT FROM run WHERE run.run_key = s.run_key)
          AND NOT EXISTS (SELECT FROM topic_range AS r JOIN run ON run.run_key = r.run_key
                          WHERE r.id = s.replay)
        RETURNING l.id
    )
    SELECT (SELECT max(id) FROM settled), (SELECT count(*) FROM gone)";

impl Store {
    /// Dismisses the open dead letters of those asked for; returns how many. Those that a replay has, and
    /// those of records that are read anew, stay as they are.
    pub async fn letters_dismiss(&self, filter: &LetterFilter) -> Result<u64, StoreError> {
        let mut dismissed = 0;
        loop {
            // The state is asked for twice: a replay may take one while this waits for its row.
            let mut query = QueryBuilder::new(
                "UPDATE dead_letter SET state = 'dismissed'
                 WHERE state = 'open' AND replay IS NULL AND id IN (SELECT l.id",
            );
            query.push(FROM).push(" AND l.state = 'open' AND l.replay IS NULL AND NOT ");
            query.push(UNSETTLED);
            push_letter_conditions(&mut query, filter);
            query.push(" ORDER BY l.id LIMIT ").push_bind(SLICE).push(")");
            let some = query.build().execute(self.pool()).await?.rows_affected();
            dismissed += some;
            if some == 0 {
                return Ok(dismissed);
            }
        }
    }

    /// Drops dead letters that were replayed, dismissed or superseded and whose runs were dropped.
    /// Returns how many.
    pub async fn letters_drop(&self) -> Result<u64, StoreError> {
        let (mut last, mut dropped) = (0, 0);
        loop {
            let (seen, gone): (Option<i64>, i64) =
                sqlx::query_as(DROP).bind(last).bind(SLICE).fetch_one(self.pool()).await?;
            dropped += gone.unsigned_abs();
            match seen {
                Some(seen) => last = seen,
                None => return Ok(dropped),
            }
        }
    }
}
