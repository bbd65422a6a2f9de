-- Who did what, when: a record is appended with what people change, and never changed itself.

CREATE TABLE audit (
    audit_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    username     text NOT NULL,
    -- by a page, by a request with a token, or by the command line on the database
    via          text NOT NULL CHECK (via IN ('web', 'api', 'cli')),
    event        text NOT NULL,
    dag_id       text,
    run_id       text,
    task_id      text,
    map_index    integer,
    -- what else it was about: `pool warehouse`, `range 17`
    subject      text,
    request_id   text,
    before       jsonb,
    after        jsonb,
    -- what was asked for, without secrets
    extra        jsonb
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_dag ON audit (dag_id, audit_id) WHERE dag_id IS NOT NULL;

-- Whoever may write to the database as the servers do still cannot rewrite what was recorded within a year.
CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '365 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'records of the audit log are not changed, and kept for a year'
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_guard_row BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_guard();
CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_guard();
