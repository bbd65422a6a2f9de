//! Keys that people bring along from Airflow's Python, and what to write instead.

/// Says what to write instead of a key of Airflow's that has another name here, or another place.
pub(crate) fn instead(key: &str) -> Option<&'static str> {
    Some(match key {
        "schedule_interval" | "timetable" => "write \"schedule\"",
        "concurrency" => "write \"max_active_tasks\"",
        "task_concurrency" => "write \"max_active_tis_per_dag\"",
        "start_date" | "end_date" | "timezone" | "catchup" | "schedule" | "max_active_runs"
        | "max_active_tasks" | "dagrun_timeout" | "fail_fast" => "it belongs to the DAG",
        "on_failure_callback" | "email_on_failure" | "email" => {
            "write \"on_failure\" with a connection, such as {connection: ops_mail, to: [ops@example.com]}"
        }
        "on_success_callback" => "write \"on_success\" with a connection",
        "on_retry_callback" | "email_on_retry" => "write \"on_retry\" with a connection",
        "sla" | "sla_miss_callback" => "Airflow 3 has no SLAs any more",
        "bash_command" => "write \"command\", under \"with\"",
        "python_callable" => "write \"script\" or \"code\", under \"with\"",
        "op_args" => "write \"args\", under \"with\"",
        "op_kwargs" => "write \"input\", under \"with\"",
        "provide_context" | "dag" => "leave it out",
        _ => return None,
    })
}
