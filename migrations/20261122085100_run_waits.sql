-- Runs that people ask for later: they wait for their time before they wait for their turn.

ALTER TABLE run
    ADD COLUMN waits_until timestamptz;

COMMENT ON COLUMN run.waits_until IS 'A queued run that is not due yet: dag_load does not count it. Null once it is due, or has ended.';

CREATE INDEX run_waits ON run (waits_until) WHERE waits_until IS NOT NULL;
