-- When a run was changed last, for lists that ask for what is newer than their last look: its start and
-- its end are not enough once it is cleared.
ALTER TABLE run
    ADD COLUMN touched_at timestamptz;

COMMENT ON COLUMN run.touched_at IS 'When it was last taken from the queue, opened again, or noted on by people. Null: never.';
