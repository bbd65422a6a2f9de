-- The database itself refuses what the engine never writes. Rows that are there already are not looked
-- at: that would hold up whoever writes.

ALTER TABLE run
    ADD CONSTRAINT run_counters CHECK (
        tasks_open >= 0 AND tasks_active >= 0 AND tasks_held >= 0 AND leaves_failed >= 0) NOT VALID,
    ADD CONSTRAINT run_ended CHECK ((ended_at IS NOT NULL) = (state IN ('success', 'failed'))) NOT VALID,
    ADD CONSTRAINT run_deadline CHECK (deadline_at IS NULL OR state IN ('queued', 'running')) NOT VALID,
    ADD CONSTRAINT run_run_type CHECK (run_type IN ('manual', 'scheduled')) NOT VALID;

ALTER TABLE live
    ADD CONSTRAINT live_numbers CHECK (
        try_number >= 0 AND failed >= 0 AND lost >= 0 AND resets >= 0) NOT VALID,
    -- What waits on a timer is due some time; what is ready or runs is not.
    ADD CONSTRAINT live_timer CHECK (
        CASE WHEN state IN ('up_for_retry', 'up_for_reschedule') THEN due_at IS NOT NULL
             WHEN state IN ('scheduled', 'queued', 'running', 'restarting') THEN due_at IS NULL
             ELSE true END) NOT VALID;

ALTER TABLE join_state
    ADD CONSTRAINT join_state_counts CHECK (
        success >= 0 AND failed >= 0 AND skipped >= 0 AND upstream_failed >= 0 AND removed >= 0
        AND success + failed + skipped + upstream_failed + removed <= needed
        AND setup_success >= 0 AND setup_skipped >= 0
        AND setup_success + setup_skipped <= setups) NOT VALID;

ALTER TABLE try_history
    ADD CONSTRAINT try_history_state CHECK (
        state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed', 'up_for_retry',
                  'restarting')) NOT VALID,
    ADD CONSTRAINT try_history_numbers CHECK (try_number >= 0 AND resets >= 0) NOT VALID;

-- What is more than one transaction settles.
ALTER TABLE outbox
    ADD CONSTRAINT outbox_kind CHECK (kind IN ('cascade', 'rebuild', 'skips') AND run_key IS NOT NULL) NOT VALID;
