-- A clear or a cancel drops the rest of its run's cascades: found by the run, however long the outbox
-- is. Rows are rare, so the index costs the hot path nothing.
CREATE INDEX outbox_run ON outbox (run_key) WHERE run_key IS NOT NULL;
