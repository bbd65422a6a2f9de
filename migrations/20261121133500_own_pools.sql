-- A limit of one task in all runs of its DAG is a pool that nobody else is in.
ALTER TABLE pool ADD COLUMN dag integer;

COMMENT ON COLUMN pool.dag IS
    'Of a pool that a task''s max_active_tis_per_dag makes: its DAG. Null: people made it.';
