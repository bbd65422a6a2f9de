-- Whether a DAG is paused now. Volatile: a statement that waited for a lock reads what is true once it has it,
-- not what was when it began.
CREATE FUNCTION dag_is_paused(of_dag integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
BEGIN
    RETURN coalesce((SELECT is_paused FROM dag WHERE dag.dag = of_dag), false);
END
$$;
