-- What lists show of a DAG's version, without its tasks: of a DAG of thousands they are a megabyte to unpack.
CREATE FUNCTION dag_summary(canonical jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object(
        'head', jsonb_set(canonical, '{tasks}', '[]'),
        'task_count', count(*),
        'owners', coalesce(jsonb_agg(DISTINCT task -> 'owner') FILTER (WHERE task ->> 'owner' IS NOT NULL), '[]'),
        'has_task_limits', coalesce(bool_or(task ->> 'max_active_tis_per_dag' IS NOT NULL
                                            OR task ->> 'max_active_tis_per_dagrun' IS NOT NULL), false))
    FROM jsonb_array_elements(canonical -> 'tasks') AS task
$$;
ALTER TABLE dag_version ADD COLUMN summary jsonb NOT NULL GENERATED ALWAYS AS (dag_summary(canonical)) STORED;
