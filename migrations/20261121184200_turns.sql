-- Fairness between runs: who waits for a slot or for a pool waits for its turn.

ALTER TABLE live ADD COLUMN turn bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN live.turn IS
    'Of those that wait in the same line with the same priority the lowest turn comes first. A task joins the line one turn behind its first one, and one more for each task that its run has active already.';

DROP INDEX live_ready, live_pool_waits;
CREATE INDEX live_ready ON live (queue, priority DESC, turn, run_key, task, map_index) WHERE state = 'queued';
CREATE INDEX live_pool_waits ON live (pool, priority DESC, turn, run_key, task, map_index) WHERE waits_pool;
