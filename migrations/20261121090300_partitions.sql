-- Rows that found no partition of their day lie in a default partition, and while they do PostgreSQL
-- refuses to make that day's. They now move into it when it is made.

-- Makes one table's partition of one day of runs, with the rows of that day that lie in the default
-- partition. Safe to repeat and to run on several servers. Who writes rows of other days waits for
-- nothing but the move: the parent stays open, and no other table is locked.
CREATE FUNCTION partition_make(parent text, day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part     text   := parent || '_' || to_char(day, 'YYYYMMDD');
    fallback text   := parent || '_default';
    low      bigint := (day - DATE '1970-01-01')::bigint << 40;
    high     bigint := (day + 1 - DATE '1970-01-01')::bigint << 40;
BEGIN
    PERFORM pg_advisory_xact_lock(7310027460);
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    -- The parent before its default partition, as whoever reads and writes them locks them.
    EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', fallback);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE run_key >= %s AND run_key < %s RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', fallback, low, high, part);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                   parent, part, low, high);
END $$;

-- Makes the partitions of one day of all tables.
CREATE OR REPLACE FUNCTION partitions_make(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['try_history', 'xcom', 'dataset', 'log_chunk', 'log_spill'] LOOP
        PERFORM partition_make(parent, day);
    END LOOP;
END $$;
