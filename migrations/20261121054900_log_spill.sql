-- What of a try's log is beyond the first MiB: the lines lie under the storage URL, their places here.

CREATE TABLE log_spill (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    token      bigint NOT NULL,
    first_line bigint NOT NULL,
    lines      bigint NOT NULL,
    size_bytes bigint NOT NULL,     -- before compression
    object     text,                -- its path below the storage URL; null: the lines were lost
    problem    text,                -- why they were lost
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_key, task, map_index, token, first_line),
    CHECK ((object IS NULL) <> (problem IS NULL))
) PARTITION BY RANGE (run_key);
CREATE TABLE log_spill_default PARTITION OF log_spill DEFAULT;
COMMENT ON TABLE log_spill IS 'Parts of large logs that lie under the storage URL';

-- Makes the partitions of one day of runs. Safe to repeat and to run on several servers.
CREATE OR REPLACE FUNCTION partitions_make(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    low    bigint := (day - DATE '1970-01-01')::bigint << 40;
    high   bigint := (day + 1 - DATE '1970-01-01')::bigint << 40;
BEGIN
    PERFORM pg_advisory_xact_lock(7310027460);
    FOREACH parent IN ARRAY ARRAY['try_history', 'xcom', 'dataset', 'log_chunk', 'log_spill'] LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                       parent || '_' || to_char(day, 'YYYYMMDD'), parent, low, high);
    END LOOP;
END $$;
SELECT partitions_make(to_date(right(c.relname, 8), 'YYYYMMDD'))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'try_history'::regclass AND c.relname ~ '_[0-9]{8}$';
