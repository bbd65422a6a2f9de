-- Pools: how many slots the tasks that name one take together. `default_pool` has no limit and no row.

CREATE TABLE pool (
    name             text PRIMARY KEY,
    slots            integer NOT NULL CHECK (slots >= -1),      -- -1: no limit
    used             integer NOT NULL DEFAULT 0 CHECK (used >= 0),
    include_deferred boolean NOT NULL DEFAULT false,
    description      text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

COMMENT ON COLUMN pool.used IS
    'Slots of tasks that are ready or run. Changed under the row''s lock, in the transaction that changes these.';
COMMENT ON COLUMN pool.include_deferred IS 'Whether deferred tasks keep their slots.';

ALTER TABLE live
    ADD COLUMN pool       text,                             -- null: default_pool
    ADD COLUMN pool_slots integer NOT NULL DEFAULT 1,
    ADD COLUMN waits_pool boolean NOT NULL DEFAULT false,
    ADD CHECK (NOT waits_pool OR (state = 'scheduled' AND pool IS NOT NULL));

COMMENT ON COLUMN live.waits_pool IS
    'Scheduled until its pool has room; it counts as active against max_active_tasks.';

CREATE INDEX live_pool_waits ON live (pool, priority DESC, run_key, task, map_index) WHERE waits_pool;
CREATE INDEX live_pool ON live (pool) WHERE pool IS NOT NULL;
