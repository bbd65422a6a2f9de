-- A run of a newer version may wait for tasks of a run whose own version has nobody told of their ends.
ALTER TABLE run ADD COLUMN awaited boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN run.awaited IS
    'A run of another version waits for its tasks: every end of them is told, whatever its own version says.';
