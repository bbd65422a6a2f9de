-- Work that one server does for all of them, now and then.
CREATE TABLE upkeep (
    name    text PRIMARY KEY,
    done_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE upkeep IS 'When work was last done that one server does for all';
-- A new installation has no index that has grown.
INSERT INTO upkeep (name) VALUES ('reindex');

-- Small tables whose rows come and go all the time: as for live, vacuum starts at a number of dead
-- rows, whatever the table's size, and does not pause.
ALTER TABLE outbox SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0,
                        autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE worker_session SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
                                autovacuum_vacuum_cost_delay = 0);
ALTER TABLE dag_load SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
                          autovacuum_vacuum_cost_delay = 0);
