-- Two servers that make the same partition at once: whoever waits for the other must see what it made.
-- Taking a lock of a table makes a session hear of changes in the catalog; an advisory lock does not.
CREATE OR REPLACE FUNCTION partition_make(parent text, day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part     text   := parent || '_' || to_char(day, 'YYYYMMDD');
    fallback text   := parent || '_default';
    low      bigint := (day - DATE '1970-01-01')::bigint << 40;
    high     bigint := (day + 1 - DATE '1970-01-01')::bigint << 40;
BEGIN
    PERFORM pg_advisory_xact_lock(7310027460);
    -- The parent before its default partition, as whoever reads and writes them locks them.
    EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', fallback);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE run_key >= %s AND run_key < %s RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', fallback, low, high, part);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                   parent, part, low, high);
END $$;
