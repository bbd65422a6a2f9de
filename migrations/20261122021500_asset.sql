-- Assets: what tasks say that they read and make, and an event for each time that one was made.

CREATE TABLE asset (
    asset      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    uri        text NOT NULL,
    asset_group text NOT NULL,
    extra      jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, uri)
);
COMMENT ON TABLE asset IS 'Assets of any version of any DAG: an event of an older version needs them, too.';

-- Which tasks of the newest versions read and make them.
CREATE TABLE asset_reference (
    dag        integer NOT NULL,
    task       integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('inlet', 'outlet')),
    asset      bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dag, task, kind, asset)
);
CREATE INDEX asset_reference_asset ON asset_reference (asset);

-- Insert-only; ids as texts, so that an event outlives its run.
CREATE TABLE asset_event (
    event      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset      bigint NOT NULL,
    dag_id     text,
    task_id    text,
    run_id     text,
    map_index  integer NOT NULL DEFAULT -1,
    extra      jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(dag_id, task_id, run_id) IN (0, 3))
);
COMMENT ON TABLE asset_event IS 'One for each outlet of each success of a task, written with its end, and those that people report.';
CREATE INDEX asset_event_asset ON asset_event (asset, event);
CREATE INDEX asset_event_created ON asset_event (created_at);
