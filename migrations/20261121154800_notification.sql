-- Ends that people are told of: left here in the transaction that records the end, sent by any server,
-- each tried again by itself. A row goes when it was sent.
CREATE TABLE notification (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_key     bigint NOT NULL,
    task        integer,                -- null: it is about the run
    map_index   integer NOT NULL DEFAULT -1,
    event       text NOT NULL CHECK (event IN ('failure', 'success', 'retry')),
    connection  text NOT NULL,
    recipients  text[] NOT NULL DEFAULT '{}',
    facts       jsonb NOT NULL,         -- try_number, error, exit_code, cause
    created_at  timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(),
    failures    integer NOT NULL DEFAULT 0,
    last_error  text,
    given_up_at timestamptz             -- it failed too often
);
COMMENT ON TABLE notification IS 'Ends that people are still to be told of, or could not be told of';
CREATE INDEX notification_due ON notification (due_at, id) WHERE given_up_at IS NULL;
CREATE INDEX notification_run ON notification (run_key);
