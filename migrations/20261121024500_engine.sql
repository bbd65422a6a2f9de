-- The engine's tables. See docs/architecture.md for the life of a run through them.
--
-- No foreign keys between hot tables: the engine locks the run's row first and keeps them right
-- itself; a foreign key would lock the parent row again for every child written.

CREATE TYPE task_state AS ENUM (
    'scheduled', 'queued', 'running', 'restarting', 'up_for_retry', 'up_for_reschedule', 'deferred',
    'awaiting_input', 'success', 'failed', 'skipped', 'upstream_failed', 'removed'
);
CREATE TYPE run_state AS ENUM ('queued', 'running', 'success', 'failed');

-- This installation. One row, made by the first migration.
CREATE TABLE installation (
    id         uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    single     boolean NOT NULL DEFAULT true UNIQUE CHECK (single)
);
INSERT INTO installation (id) VALUES (gen_random_uuid());

-- ---- DAGs ------------------------------------------------------------------------------------

-- One row a DAG, whatever its versions.
CREATE TABLE dag (
    dag             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag_id          text NOT NULL UNIQUE,
    version         integer NOT NULL,                   -- the newest; new runs start with it
    file            text NOT NULL,
    is_paused       boolean NOT NULL DEFAULT false,
    is_stale        boolean NOT NULL DEFAULT false,     -- its file is gone
    tags            text[] NOT NULL DEFAULT '{}',
    max_active_runs integer NOT NULL,
    -- The schedule's next run: due at next_run_at. Null: none.
    next_run_at     timestamptz,
    last_tick       timestamptz,                        -- logical date of the newest scheduled run
    created_at      timestamptz NOT NULL DEFAULT now(),
    parsed_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dag_due ON dag (next_run_at) WHERE next_run_at IS NOT NULL AND NOT is_paused AND NOT is_stale;

-- Runs of a DAG by state, for max_active_runs. Locked last, after everything else of a transaction.
CREATE TABLE dag_load (
    dag         integer PRIMARY KEY,
    runs_active integer NOT NULL DEFAULT 0 CHECK (runs_active >= 0),
    runs_queued integer NOT NULL DEFAULT 0 CHECK (runs_queued >= 0)
) WITH (fillfactor = 50);

-- Immutable versions; a run is pinned to one.
CREATE TABLE dag_version (
    dag        integer NOT NULL,
    version    integer NOT NULL,
    hash       bytea NOT NULL,          -- SHA-256 of the canonical form
    canonical  jsonb NOT NULL,          -- core::dag::model::Dag
    source     text NOT NULL,           -- the YAML document as it was read
    file       text NOT NULL,
    layout     jsonb,                   -- of the graph, computed once
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag, version)
);
CREATE INDEX dag_version_hash ON dag_version (dag, hash);

-- A task's number, stable across the versions of its DAG.
CREATE TABLE dag_task (
    dag     integer NOT NULL,
    task    integer NOT NULL,
    task_id text NOT NULL,
    PRIMARY KEY (dag, task),
    UNIQUE (dag, task_id)
);

-- Files that do not parse; the last good version goes on running.
CREATE TABLE import_error (
    file        text PRIMARY KEY,
    message     text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now()
);

-- ---- Runs ------------------------------------------------------------------------------------

-- Lower 40 bits of a run's key; the upper bits are the day of its creation (core::ids::RunKey).
CREATE SEQUENCE run_key AS bigint CACHE 1;

-- One row a run: the unit of serialisation. Whoever changes a run's tasks locks it first.
CREATE TABLE run (
    run_key             bigint PRIMARY KEY,
    uuid                uuid NOT NULL,
    dag                 integer NOT NULL,
    version             integer NOT NULL,
    run_id              text NOT NULL,
    run_type            text NOT NULL,
    triggered_by        text NOT NULL,
    triggered_user      text,
    state               run_state NOT NULL,
    logical_date        timestamptz,
    data_interval_start timestamptz,
    data_interval_end   timestamptz,
    run_after           timestamptz NOT NULL,
    conf                jsonb NOT NULL DEFAULT '{}',
    note                text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    ended_at            timestamptz,
    -- dagrun_timeout: the run is cancelled then. Null once it has ended.
    deadline_at         timestamptz,
    -- Set by a cancel: nothing of the run but teardowns starts any more.
    cancelled_at        timestamptz,
    cancel_cause        text,
    tasks_open          integer NOT NULL,               -- task instances without a final state
    tasks_active        integer NOT NULL DEFAULT 0,     -- queued, running, restarting: against max_active_tasks
    tasks_held          integer NOT NULL DEFAULT 0,     -- scheduled: held back by max_active_tasks
    leaves_failed       integer NOT NULL DEFAULT 0,     -- leaves that ended failed or upstream_failed
    has_resets          boolean NOT NULL DEFAULT false, -- something of it was cleared
    CONSTRAINT run_logical_date UNIQUE (dag, logical_date),
    CONSTRAINT run_run_id UNIQUE (dag, run_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX run_queued ON run (dag, run_key) WHERE state = 'queued';
CREATE INDEX run_deadline ON run (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX run_of_dag ON run (dag, run_key DESC);

-- ---- Task instances --------------------------------------------------------------------------

-- Never reused: a later hand-over, clear or end supersedes an earlier one.
CREATE SEQUENCE fencing_token AS bigint CACHE 1;

-- What is ready, running or waits on a timer. A task that waits for upstreams has no row here.
CREATE TABLE live (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    state      task_state NOT NULL,
    priority   integer NOT NULL,
    queue      text NOT NULL,
    try_number integer NOT NULL DEFAULT 0,     -- the running try's; before it, the last one's
    failed     smallint NOT NULL DEFAULT 0,    -- tries failed since the last clear
    lost       smallint NOT NULL DEFAULT 0,    -- tries whose worker was lost, since the last clear
    resets     integer NOT NULL DEFAULT 0,     -- clears so far
    session    bigint,
    token      bigint,
    queued_at  timestamptz NOT NULL,
    started_at timestamptz,
    due_at     timestamptz,                    -- of a retry or deferral
    PRIMARY KEY (run_key, task, map_index),
    CHECK (state IN ('scheduled', 'queued', 'running', 'restarting', 'up_for_retry',
                     'up_for_reschedule', 'deferred', 'awaiting_input')),
    -- So a retry that waits can't be reaped.
    CHECK ((state IN ('running', 'restarting')) = (session IS NOT NULL AND token IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX live_ready ON live (queue, priority DESC, run_key, task, map_index) WHERE state = 'queued';
CREATE INDEX live_held ON live (run_key, priority DESC, task, map_index) WHERE state = 'scheduled';
CREATE INDEX live_due ON live (due_at) WHERE due_at IS NOT NULL;

-- Counters of a task that waits for several upstreams. The row stays until every upstream was seen,
-- also after an eager rule has decided: later upstreams then only count.
CREATE TABLE join_state (
    run_key         bigint NOT NULL,
    task            integer NOT NULL,
    map_index       integer NOT NULL,
    needed          integer NOT NULL,
    success         integer NOT NULL DEFAULT 0,
    failed          integer NOT NULL DEFAULT 0,
    skipped         integer NOT NULL DEFAULT 0,
    upstream_failed integer NOT NULL DEFAULT 0,
    removed         integer NOT NULL DEFAULT 0,
    setups          integer NOT NULL DEFAULT 0,
    setup_success   integer NOT NULL DEFAULT 0,
    setup_skipped   integer NOT NULL DEFAULT 0,
    decided         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_key, task, map_index)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- Cleared task instances: only history rows with a later token count.
CREATE TABLE task_reset (
    run_key   bigint NOT NULL,
    task      integer NOT NULL,
    map_index integer NOT NULL,
    token     bigint NOT NULL,
    tries     integer NOT NULL,     -- try numbers given out before it
    resets    integer NOT NULL,
    PRIMARY KEY (run_key, task, map_index)
);

-- Ended tries, and tasks settled by a rule. Insert-only. A row in a final state whose token is later
-- than the task's reset is the task's current state; up_for_retry: another try followed;
-- restarting: the try was cleared while it ran, its result is discarded.
CREATE TABLE try_history (
    run_key       bigint NOT NULL,
    task          integer NOT NULL,
    map_index     integer NOT NULL,
    token         bigint NOT NULL,
    state         task_state NOT NULL,
    try_number    integer NOT NULL,
    resets        integer NOT NULL,
    exit_code     integer,
    session       bigint,
    queued_at     timestamptz,
    started_at    timestamptz,
    ended_at      timestamptz NOT NULL,
    rows_rejected bigint,
    cause         text,     -- worker_lost, timeout, cancelled, …
    error         text,
    log           bytea,    -- the whole log (LZ4), where it is one small chunk
    PRIMARY KEY (run_key, task, map_index, token)
) PARTITION BY RANGE (run_key);

-- What tasks hand on.
CREATE TABLE xcom (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    key        text NOT NULL,
    value      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_key, task, map_index, key)
) PARTITION BY RANGE (run_key);

-- Datasets that tasks wrote or point at, with what the UI shows of them.
CREATE TABLE dataset (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    name       text NOT NULL,
    ref        jsonb NOT NULL,
    stats      jsonb NOT NULL,
    preview    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_key, task, map_index, name)
) PARTITION BY RANGE (run_key);

-- Chunks of whole lines of a try's log, LZ4 blocks with prepended size.
CREATE TABLE log_chunk (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    token      bigint NOT NULL,
    sequence   integer NOT NULL,
    first_line bigint NOT NULL,
    lines      integer NOT NULL,
    lz4        bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_key, task, map_index, token, sequence)
) PARTITION BY RANGE (run_key);
ALTER TABLE log_chunk ALTER COLUMN lz4 SET STORAGE EXTERNAL;
ALTER TABLE try_history ALTER COLUMN log SET STORAGE EXTERNAL;

-- Where rows of a day without a partition go, so that nothing fails if the partition loop is late.
CREATE TABLE try_history_default PARTITION OF try_history DEFAULT;
CREATE TABLE xcom_default PARTITION OF xcom DEFAULT;
CREATE TABLE dataset_default PARTITION OF dataset DEFAULT;
CREATE TABLE log_chunk_default PARTITION OF log_chunk DEFAULT;

-- Makes the partitions of one day of runs. Safe to repeat and to run on several servers.
CREATE FUNCTION partitions_make(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    low    bigint := (day - DATE '1970-01-01')::bigint << 40;
    high   bigint := (day + 1 - DATE '1970-01-01')::bigint << 40;
BEGIN
    PERFORM pg_advisory_xact_lock(7310027460);
    FOREACH parent IN ARRAY ARRAY['try_history', 'xcom', 'dataset', 'log_chunk'] LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                       parent || '_' || to_char(day, 'YYYYMMDD'), parent, low, high);
    END LOOP;
END $$;
SELECT partitions_make((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 3) AS n;

-- ---- Workers and servers ---------------------------------------------------------------------

-- One lease a worker session. Death is dead_at, committed by itself: an expired session that is not
-- yet marked may renew.
CREATE TABLE worker_session (
    session      bigint PRIMARY KEY,
    worker       text NOT NULL,
    state_folder text NOT NULL,
    version      text NOT NULL,
    server       text NOT NULL,        -- the one that holds its stream
    queues       jsonb NOT NULL,       -- [{queue, slots}]
    draining     boolean NOT NULL DEFAULT false,
    started_at   timestamptz NOT NULL DEFAULT now(),
    lease_until  timestamptz NOT NULL,
    lease_micros bigint NOT NULL,
    dead_at      timestamptz,
    dead_cause   text
) WITH (fillfactor = 50);

-- Effects on other runs, and the rest of long cascades: worked off in transactions of their own.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    run_key    bigint,
    dag        integer,
    payload    jsonb NOT NULL DEFAULT '{}',
    due_at     timestamptz NOT NULL DEFAULT now(),
    failures   integer NOT NULL DEFAULT 0
);
CREATE INDEX outbox_due ON outbox (due_at, id);

-- A task's own small store; it outlives tries and runs.
CREATE TABLE task_state_store (
    dag        integer NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    key        text NOT NULL,
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag, task, map_index, key)
);

-- Rejected records, with all reasons and the raw bytes. Visible once the try's result is accepted.
CREATE TABLE dead_letter (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag        integer NOT NULL,
    task       integer NOT NULL,
    source     text NOT NULL,          -- the topic, or the file
    partition  integer NOT NULL,
    position   bigint NOT NULL,        -- the offset, or the line
    reasons    jsonb NOT NULL,
    raw        bytea NOT NULL,
    run_key    bigint NOT NULL,
    map_index  integer NOT NULL,
    token      bigint NOT NULL,
    visible    boolean NOT NULL DEFAULT false,
    state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'dismissed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dag, task, source, partition, position)
);
CREATE INDEX dead_letter_hidden ON dead_letter (token) WHERE NOT visible;
