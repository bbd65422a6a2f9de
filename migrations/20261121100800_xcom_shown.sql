-- A value that carries a secret is handed on as it is, and shown to people without it.
ALTER TABLE xcom ADD COLUMN shown jsonb;
COMMENT ON COLUMN xcom.shown IS 'The value as people see it, secrets hidden by the worker; null: as it is.';
