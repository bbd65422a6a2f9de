-- A task may be limited in all runs of its DAG (max_active_tis_per_dag) and take slots of another pool, too:
-- it becomes ready once both have room, and takes both at once.
ALTER TABLE live ADD COLUMN own_pool text;

COMMENT ON COLUMN live.own_pool IS
    'A pool that its task has to itself besides `pool`: it takes one slot there. Null: none, or it is `pool`.';

CREATE INDEX live_own_pool ON live (own_pool) WHERE own_pool IS NOT NULL;
