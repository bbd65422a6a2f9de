-- Dead letters that go through again. A replay is a range of its own kind: a number of dead letters of
-- one task, recorded before the first of them is read and never cut anew, so that the ledgers of sinks
-- can keep it. `replay_run` is the id of the run that takes it; the run may not be made yet.
ALTER TABLE topic_range ADD COLUMN replay_run text;
CREATE UNIQUE INDEX topic_range_replay ON topic_range (dag, replay_run) WHERE replay_run IS NOT NULL;

-- `replay` is the replay that it is in (topic_range): open until that is in all of its sinks. A record
-- that was rejected again points to the dead letter that it was (`replay_of`, 0: none).
-- superseded: its task was cleared, or its range is read anew: what is rejected then counts.
ALTER TABLE dead_letter
    ADD COLUMN metadata jsonb,
    ADD COLUMN replay bigint,
    ADD COLUMN replay_of bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT dead_letter_state_check,
    ADD CONSTRAINT dead_letter_state_check
        CHECK (state IN ('open', 'replayed', 'dismissed', 'superseded')),
    DROP CONSTRAINT dead_letter_record,
    ADD CONSTRAINT dead_letter_record
        UNIQUE (run_key, task, map_index, source, partition, position, replay_of);
CREATE INDEX dead_letter_replay ON dead_letter (replay, id) WHERE replay IS NOT NULL;
CREATE INDEX dead_letter_replayed ON dead_letter (replay, source, partition, position)
    WHERE replay IS NOT NULL;
CREATE INDEX dead_letter_range ON dead_letter (range_id) WHERE range_id IS NOT NULL;
