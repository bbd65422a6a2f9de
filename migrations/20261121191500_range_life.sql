-- What becomes of ranges. `version` is the DAG's that began to load it: a range that one sink has is
-- finished with it, unless somebody releases it. `skips` counts runs in a row whose branches left out a
-- load that lacks it. `again` is the range that a replay (replay_run) reads once more; null: dead letters.
ALTER TABLE topic_range
    ADD COLUMN version integer,
    ADD COLUMN skips integer NOT NULL DEFAULT 0,
    ADD COLUMN again bigint;
