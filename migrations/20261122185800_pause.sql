-- A DAG was paused, or goes on: the runs that have begun are looked at, some at a time.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind,
    ADD CONSTRAINT outbox_kind CHECK (
        CASE WHEN kind IN ('cascade', 'rebuild', 'skips', 'effects', 'expand') THEN run_key IS NOT NULL
             WHEN kind IN ('past', 'failed_runs', 'backfill', 'pause') THEN dag IS NOT NULL
             ELSE false END) NOT VALID;
