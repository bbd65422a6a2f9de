-- A record as people see it, where secrets in it are hidden; and the range of its topic that it came
-- in (topic_range; null: it came from a file, or from a dataset that knows no topic).
ALTER TABLE dead_letter
    ADD COLUMN shown bytea,
    ADD COLUMN range_id bigint;
