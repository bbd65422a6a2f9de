-- What became of a range's records: `filtered` of them were left out by the task that reads, since they
-- have no value, and `loaded` has the rows that each load has because of it, of the loads that told.
ALTER TABLE topic_range
    ADD COLUMN filtered bigint,
    ADD COLUMN loaded jsonb NOT NULL DEFAULT '{}';
