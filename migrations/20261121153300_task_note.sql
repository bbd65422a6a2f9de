-- What people noted about a task instance. It stays when the task is cleared.
CREATE TABLE task_note (
    run_key    bigint NOT NULL,
    task       integer NOT NULL,
    map_index  integer NOT NULL,
    note       text NOT NULL,
    noted_by   text NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_key, task, map_index)
);
COMMENT ON TABLE task_note IS 'Notes of people on task instances; dropped with the run';
