-- Ranges of topics, recorded before their first record is read and never cut anew. Which of them a
-- sink has is told by the sink's own ledger (subak_offsets): `committed` is a mirror of it.
CREATE TABLE topic_range (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag         integer NOT NULL,
    task        integer NOT NULL,       -- that reads the topic; with dag: the pipeline
    sequence    bigint NOT NULL,        -- 1, 2, 3, … within the pipeline
    predecessor bigint,                 -- the one before it; null: the first
    cluster     text NOT NULL,
    topic       text NOT NULL,
    partitions  jsonb NOT NULL,         -- core::range::Partition: after, from, to, last record
    has_gap     boolean NOT NULL,       -- records before it were lost, or the topic was made anew
    sinks       text[] NOT NULL,        -- the loads that are to commit it
    committed   text[] NOT NULL DEFAULT '{}',
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'committed', 'abandoned')),
    run_key     bigint NOT NULL,        -- the run that owns it
    records     bigint,                 -- once it was read
    bytes       bigint,
    rejected    bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    read_at     timestamptz,
    ended_at    timestamptz,
    UNIQUE (dag, task, sequence)
);
CREATE INDEX topic_range_open ON topic_range (dag, task, sequence) WHERE state = 'open';
CREATE INDEX topic_range_owner ON topic_range (run_key, dag, task, sequence);
CREATE INDEX topic_range_topic ON topic_range (dag, task, cluster, topic, sequence);
