-- Mapped tasks: one instance for each item of something.

-- What is known of the mapped tasks of a run, and of the tasks that they are mapped over: a row is made
-- when there is something to know. Instances become live rows a few at a time: `made` of them were, or
-- have ended without one. Read and written under the run's lock.
CREATE TABLE mapped (
    run_key   bigint NOT NULL,
    task      integer NOT NULL,
    instances integer,                         -- null: not expanded
    ended     integer NOT NULL DEFAULT 0,      -- instances in a final state
    made      integer NOT NULL DEFAULT 0,      -- those from 0 to here are no longer to be made
    again     integer[] NOT NULL DEFAULT '{}', -- of these, those that a clear wants once more
    -- What becomes of its instances: running, or the final state in which they end without a try.
    verdict   task_state,
    returned  integer,                         -- items that it hands on to tasks mapped over it
    -- Of this expansion: a clear of the task makes another one.
    token     bigint NOT NULL DEFAULT nextval('fencing_token'),
    PRIMARY KEY (run_key, task),
    CHECK (made BETWEEN 0 AND coalesce(instances, 0))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- Tasks that a mapped one is mapped over, and that ended without a result.
ALTER TABLE join_state
    ADD COLUMN sources_failed  integer NOT NULL DEFAULT 0,
    ADD COLUMN sources_skipped integer NOT NULL DEFAULT 0;

-- `expand`: more instances of mapped tasks are to be made, or settled.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind,
    ADD CONSTRAINT outbox_kind CHECK (
        CASE WHEN kind IN ('cascade', 'rebuild', 'skips', 'effects', 'expand') THEN run_key IS NOT NULL
             WHEN kind IN ('past', 'failed_runs') THEN dag IS NOT NULL
             ELSE false END) NOT VALID;
