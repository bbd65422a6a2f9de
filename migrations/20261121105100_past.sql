-- What runs of one DAG mean for each other.

-- Tasks that their upstreams let run, and that wait for the run before theirs: depends_on_past and
-- wait_for_downstream. Looked at when that run goes on, by way of the outbox.
CREATE TABLE past_wait (
    dag       integer NOT NULL,
    run_key   bigint NOT NULL,
    task      integer NOT NULL,
    map_index integer NOT NULL,
    tries     integer NOT NULL,
    resets    integer NOT NULL,
    PRIMARY KEY (dag, run_key, task, map_index)
);

-- Why a DAG was paused, if nobody did it: max_consecutive_failed_dag_runs.
ALTER TABLE dag ADD COLUMN pause_cause text;

-- What an end means for other runs names the DAG. `effects`: the rest of what ends do to other tasks at
-- once, a branch or a failure in a DAG that fails fast.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind,
    ADD CONSTRAINT outbox_kind CHECK (
        CASE WHEN kind IN ('cascade', 'rebuild', 'skips', 'effects') THEN run_key IS NOT NULL
             WHEN kind IN ('past', 'failed_runs') THEN dag IS NOT NULL
             ELSE false END) NOT VALID;
