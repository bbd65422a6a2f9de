-- What the engine never writes, refused in databases of tests. In those of users it would be asked with every
-- end of a task, which takes PostgreSQL longer than the rows themselves.
ALTER TABLE live
    ADD CHECK (state IN ('scheduled', 'queued', 'running', 'restarting', 'up_for_retry',
                         'up_for_reschedule', 'deferred', 'awaiting_input')),
    ADD CHECK (NOT waits_pool OR (state = 'scheduled' AND pool IS NOT NULL)),
    ADD CHECK (least(try_number, failed, lost, resets) >= 0),
    -- What waits on a timer is due some time; what is ready or runs is not.
    ADD CHECK (
        CASE WHEN state IN ('up_for_retry', 'up_for_reschedule') THEN due_at IS NOT NULL
             WHEN state IN ('scheduled', 'queued', 'running', 'restarting') THEN due_at IS NULL
             ELSE true END);

ALTER TABLE run
    ADD CHECK (deadline_at IS NULL OR state IN ('queued', 'running')),
    ADD CHECK (run_type IN ('manual', 'scheduled', 'backfill')),
    ADD CHECK ((backfill IS NULL) = (backfill_place IS NULL));

ALTER TABLE try_history
    ADD CHECK (state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed', 'up_for_retry',
                         'restarting')),
    ADD CHECK (least(try_number, resets) >= 0);
