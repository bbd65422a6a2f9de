-- Backfills: the runs of a schedule over a span of time, asked for by people. They do not count against
-- their DAG's max_active_runs, but against the backfill's own.

CREATE TABLE backfill (
    backfill        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag             integer NOT NULL,
    from_date       timestamptz NOT NULL,
    to_date         timestamptz NOT NULL,
    conf            jsonb,
    reprocess       text NOT NULL CHECK (reprocess IN ('none', 'failed', 'completed')),
    max_active_runs integer NOT NULL CHECK (max_active_runs > 0),
    triggered_user  text,
    is_paused       boolean NOT NULL DEFAULT false,
    runs_active     integer NOT NULL DEFAULT 0 CHECK (runs_active >= 0),
    runs_queued     integer NOT NULL DEFAULT 0 CHECK (runs_queued >= 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz
) WITH (fillfactor = 50);

COMMENT ON TABLE backfill IS 'Spans of time whose runs are made by hand. Locked as dag_load is, and right after it.';
COMMENT ON COLUMN backfill.runs_active IS 'Its runs that run.';
COMMENT ON COLUMN backfill.runs_queued IS 'Its runs that wait, with those that are still to be cleared.';
COMMENT ON COLUMN backfill.completed_at IS 'When none of its runs was left for the first time, or it was cancelled.';

-- A DAG has one at a time.
CREATE UNIQUE INDEX backfill_open ON backfill (dag) WHERE completed_at IS NULL;
CREATE INDEX backfill_of_dag ON backfill (dag, backfill);
CREATE INDEX backfill_waits ON backfill (dag) WHERE runs_queued > 0;

ALTER TABLE run
    ADD COLUMN backfill       bigint,   -- the one that made it, or ran it again last
    ADD COLUMN backfill_place integer;  -- its turn there

-- No state is before `queued`. Written so, the planner cannot take run_queued in its place: while there are
-- few runs that would look as good, and the plan is kept.
CREATE INDEX run_queued_backfill ON run (backfill, backfill_place)
    WHERE state <= 'queued' AND backfill IS NOT NULL;
CREATE INDEX run_queued_own ON run (dag, run_key) WHERE state = 'queued' AND backfill IS NULL;

ALTER TABLE run
    DROP CONSTRAINT run_run_type,
    ADD CONSTRAINT run_run_type CHECK (run_type IN ('manual', 'scheduled', 'backfill')) NOT VALID,
    ADD CONSTRAINT run_backfill CHECK ((backfill IS NULL) = (backfill_place IS NULL)) NOT VALID;

-- A run that is to go again for a backfill is named in the payload: it may be deleted before.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind,
    ADD CONSTRAINT outbox_kind CHECK (
        CASE WHEN kind IN ('cascade', 'rebuild', 'skips', 'effects', 'expand') THEN run_key IS NOT NULL
             WHEN kind IN ('past', 'failed_runs', 'backfill') THEN dag IS NOT NULL
             ELSE false END) NOT VALID;
