-- What is too large for the database lies under the storage URL, written by the worker that ran the task.
ALTER TABLE xcom ADD COLUMN object text, ADD COLUMN size_bytes bigint;
COMMENT ON COLUMN xcom.object IS 'Where a large value lies under the storage URL; value then holds the secrets that are hidden in it.';
COMMENT ON COLUMN xcom.size_bytes IS 'Bytes of a large value, as JSON.';
