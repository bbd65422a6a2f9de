//! What of Airflow's API is not built yet: each operation is known, and answers 501 with its name.

use axum::http::Method;
use subak_store::access::Role;

use crate::problem::ApiError;
use crate::router::{Access, Routes};

/// The same, as `airflowctl` 0.1.5 spells them.
const MISSPELT: &[(Method, &str, &str)] = &[
    (Method::DELETE, "/api/v2/assets/dags/{dag_id}/queuedEvents", "delete_dag_asset_queued_events"),
    (
        Method::DELETE,
        "/api/v2/assets/dags/{dag_id}/assets/{asset_id}/queuedEvents/",
        "delete_dag_asset_queued_event",
    ),
    (Method::DELETE, "/api/v2/assets/{asset_id}/queuedEvents/", "delete_asset_queued_events"),
];

/// Method, path below `/api/v2`, and the operation's id in Airflow's OpenAPI.
const OPERATIONS: &[(Method, &str, &str)] = &[
    (Method::GET, "/api/v2/assets/aliases", "get_asset_aliases"),
    (Method::GET, "/api/v2/assets/aliases/{asset_alias_id}", "get_asset_alias"),
    (Method::GET, "/api/v2/assets/{asset_id}", "get_asset"),
    (Method::POST, "/api/v2/assets/{asset_id}/materialize", "materialize_asset"),
    (Method::DELETE, "/api/v2/assets/{asset_id}/queuedEvents", "delete_asset_queued_events"),
    (Method::GET, "/api/v2/assets/{asset_id}/queuedEvents", "get_asset_queued_events"),
    (Method::DELETE, "/api/v2/assets/{asset_id}/state-store", "clear_asset_state_store"),
    (Method::GET, "/api/v2/assets/{asset_id}/state-store", "list_asset_state_store"),
    (Method::DELETE, "/api/v2/assets/{asset_id}/state-store/{key}", "delete_asset_state_store"),
    (Method::GET, "/api/v2/assets/{asset_id}/state-store/{key}", "get_asset_state_store"),
    (Method::PUT, "/api/v2/assets/{asset_id}/state-store/{key}", "set_asset_state_store"),
    (Method::GET, "/api/v2/auth/login", "login"),
    (Method::GET, "/api/v2/auth/logout", "logout"),
    (Method::GET, "/api/v2/config", "get_config"),
    (Method::GET, "/api/v2/config/section/{section}/option/{option}", "get_config_value"),
    (Method::POST, "/api/v2/connections/defaults", "create_default_connections"),
    (Method::GET, "/api/v2/connections/enqueue-test", "get_connection_test"),
    (Method::POST, "/api/v2/connections/enqueue-test", "enqueue_connection_test"),
    (Method::POST, "/api/v2/connections/test", "test_connection"),
    (Method::GET, "/api/v2/dagWarnings", "list_dag_warnings"),
    (Method::PATCH, "/api/v2/dags", "patch_dags"),
    (Method::DELETE, "/api/v2/dags/{dag_id}/assets/queuedEvents", "delete_dag_asset_queued_events"),
    (Method::GET, "/api/v2/dags/{dag_id}/assets/queuedEvents", "get_dag_asset_queued_events"),
    (
        Method::DELETE,
        "/api/v2/dags/{dag_id}/assets/{asset_id}/queuedEvents",
        "delete_dag_asset_queued_event",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/assets/{asset_id}/queuedEvents",
        "get_dag_asset_queued_event",
    ),
    (Method::POST, "/api/v2/dags/{dag_id}/clearDagRuns", "clear_dag_runs"),
    (Method::POST, "/api/v2/dags/{dag_id}/clearPartitions", "clear_dag_run_partitions"),
    (Method::PATCH, "/api/v2/dags/{dag_id}/dagRuns", "bulk_dag_runs"),
    (Method::GET, "/api/v2/dags/{dag_id}/dagRuns/{run_id}/hitlDetails", "get_hitl_details"),
    (
        Method::PATCH,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskGroupInstances/{group_id}",
        "patch_task_group_instances",
    ),
    (
        Method::PATCH,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskGroupInstances/{group_id}/dry_run",
        "patch_task_group_instances_dry_run",
    ),
    (Method::PATCH, "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "bulk_task_instances"),
    (
        Method::DELETE,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}",
        "delete_task_instance",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/dependencies",
        "get_task_instance_dependencies",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/externalLogUrl/{try_number}",
        "get_external_log_url",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links",
        "get_extra_links",
    ),
    (
        Method::DELETE,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store",
        "clear_task_state_store",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store",
        "list_task_state_store",
    ),
    (
        Method::DELETE,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{key}",
        "delete_task_state_store",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{key}",
        "get_task_state_store",
    ),
    (
        Method::PATCH,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{key}",
        "patch_task_state_store",
    ),
    (
        Method::PUT,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{key}",
        "set_task_state_store",
    ),
    (
        Method::POST,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries",
        "create_xcom_entry",
    ),
    (
        Method::DELETE,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}",
        "delete_xcom_entry",
    ),
    (
        Method::PATCH,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}",
        "update_xcom_entry",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/dependencies",
        "get_task_instance_dependencies_by_map_index",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
        "get_hitl_detail",
    ),
    (
        Method::PATCH,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
        "update_hitl_detail",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails/tries/{try_number}",
        "get_hitl_detail_try_detail",
    ),
    (
        Method::GET,
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents",
        "get_upstream_asset_events",
    ),
    (Method::POST, "/api/v2/dags/{dag_id}/favorite", "favorite_dag"),
    (Method::POST, "/api/v2/dags/{dag_id}/unfavorite", "unfavorite_dag"),
    (Method::GET, "/api/v2/jobs", "get_jobs"),
    (Method::PUT, "/api/v2/parseDagFile/{file_token}", "reparse_dag_file"),
    (Method::GET, "/api/v2/plugins", "get_plugins"),
    (Method::GET, "/api/v2/plugins/importErrors", "import_errors"),
    (Method::GET, "/api/v2/providers", "get_providers"),
];

/// All of them, the misspelt ones too: method, route and Airflow's name.
pub(crate) fn all() -> impl Iterator<Item = &'static (Method, &'static str, &'static str)> {
    OPERATIONS.iter().chain(MISSPELT)
}

/// Adds them. Whoever is not signed in learns nothing of them.
pub(super) fn routes(mut routes: Routes) -> Routes {
    let access = Access::Role(Role::Viewer);
    for (method, path, operation) in all() {
        let refuse = move || std::future::ready(ApiError::NotBuilt((*operation).to_owned()));
        routes = routes.operation(access, method.clone(), path, Some(operation), refuse);
    }
    routes
}

/// Whether a route is one of these.
#[cfg(test)]
pub(crate) fn is_one(method: &Method, path: &str) -> bool {
    all().any(|(known, route, _)| known == method && *route == path)
}
