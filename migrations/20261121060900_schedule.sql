-- Schedules of every kind: data intervals that are longer than a point, and runs that are due while
-- max_active_runs are active.

ALTER TABLE dag
    ADD COLUMN last_interval_end   timestamptz,
    ADD COLUMN next_interval_start timestamptz,
    ADD COLUMN next_interval_end   timestamptz,
    ADD COLUMN schedule_due_at     timestamptz;

COMMENT ON COLUMN dag.last_tick IS 'Logical date of the newest scheduled run: the start of its data interval.';
COMMENT ON COLUMN dag.last_interval_end IS 'End of the data interval of the newest scheduled run; null: as last_tick.';
COMMENT ON COLUMN dag.next_run_at IS 'When the next scheduled run is due; null: there is none.';
COMMENT ON COLUMN dag.next_interval_start IS 'Data interval of the next scheduled run; its start is the logical date.';
COMMENT ON COLUMN dag.schedule_due_at IS
    'When the schedule is to be looked at. Null beside a next_run_at: the run waits until one of max_active_runs has ended.';

UPDATE dag SET schedule_due_at = next_run_at;

CREATE INDEX dag_schedule_due ON dag (schedule_due_at)
    WHERE schedule_due_at IS NOT NULL AND NOT is_paused AND NOT is_stale;
CREATE INDEX dag_schedule_waits ON dag (dag) WHERE schedule_due_at IS NULL AND next_run_at IS NOT NULL;
