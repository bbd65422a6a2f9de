-- The run model beyond edges: guards, branches, failures that stop everything.

-- Tasks that are no direct upstreams and are waited for all the same: setups further up, or what lies
-- between a teardown's setups and itself.
ALTER TABLE join_state ADD COLUMN guards integer NOT NULL DEFAULT 0;
ALTER TABLE join_state ADD COLUMN guards_seen integer NOT NULL DEFAULT 0;
ALTER TABLE join_state ADD COLUMN guards_failed integer NOT NULL DEFAULT 0;
ALTER TABLE join_state ADD COLUMN guards_skipped integer NOT NULL DEFAULT 0;
ALTER TABLE join_state
    ADD CONSTRAINT join_state_guards CHECK (
        guards_seen >= 0 AND guards_seen <= guards AND guards_failed >= 0 AND guards_skipped >= 0) NOT VALID;

-- Tasks that a branch right above them decided against: when a try of theirs fails, or when they are
-- cleared without the branch, they are skipped.
CREATE TABLE task_against (
    run_key bigint NOT NULL,
    branch  integer NOT NULL,
    task    integer NOT NULL,
    PRIMARY KEY (run_key, branch, task)
);
