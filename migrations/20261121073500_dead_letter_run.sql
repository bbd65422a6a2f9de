-- A rejected row belongs to the run that read it: a later run over the same file rejects it anew, and
-- must not hide or overwrite what the earlier one found.
ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_dag_task_source_partition_position_key;
ALTER TABLE dead_letter
    ADD CONSTRAINT dead_letter_record UNIQUE (run_key, task, map_index, source, partition, position);
CREATE INDEX dead_letter_of_dag ON dead_letter (dag, task, id DESC) WHERE visible;
