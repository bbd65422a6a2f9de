//! What the changes are called: as Airflow calls them where it has them. A test knows every route.

/// Method, route and event of everything that changes something.
pub(crate) const EVENTS: &[(&str, &str, &str)] = &[
    ("POST", "/sign-out", "sign_out"),
    ("DELETE", "/auth/token", "delete_token"),
    // pages
    ("POST", "/dags/{dag_id}/pause", "patch_dag"),
    ("POST", "/dags/{dag_id}/delete", "delete_dag"),
    ("POST", "/dags/{dag_id}/runs", "trigger_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/cancel", "cancel_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/clear", "clear_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/mark", "patch_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/delete", "delete_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/note", "patch_dag_run"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/clear", "clear_task_instances"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/mark", "patch_task_instance"),
    ("POST", "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/note", "patch_task_instance"),
    ("POST", "/runs", "bulk_dag_runs"),
    ("POST", "/connections", "post_connection"),
    ("POST", "/connections/{connection_id}", "patch_connection"),
    ("POST", "/connections/{connection_id}/delete", "delete_connection"),
    ("POST", "/connections/{connection_id}/test", "test_connection"),
    ("POST", "/pools", "post_pool"),
    ("POST", "/pools/{pool_name}", "patch_pool"),
    ("POST", "/pools/{pool_name}/delete", "delete_pool"),
    ("POST", "/variables", "post_variable"),
    ("POST", "/variables/{variable_key}", "patch_variable"),
    ("POST", "/variables/{variable_key}/delete", "delete_variable"),
    ("POST", "/workers/{worker}/drain", "drain_worker"),
    ("POST", "/dead-letters/replay", "replay_dead_letters"),
    ("POST", "/dead-letters/dismiss", "dismiss_dead_letters"),
    ("POST", "/users", "post_user"),
    ("POST", "/users/{username}/role", "patch_user"),
    ("POST", "/users/{username}/grant", "post_grant"),
    ("POST", "/users/{username}/revoke", "delete_grant"),
    ("POST", "/users/{username}/link", "post_sign_in_link"),
    ("POST", "/users/{username}/disable", "disable_user"),
    ("POST", "/users/{username}/enable", "enable_user"),
    ("POST", "/tokens", "post_token"),
    ("POST", "/tokens/{token_id}/revoke", "delete_token"),
    // the API
    ("PATCH", "/api/v2/dags/{dag_id}", "patch_dag"),
    ("DELETE", "/api/v2/dags/{dag_id}", "delete_dag"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns", "trigger_dag_run"),
    ("PATCH", "/api/v2/dags/{dag_id}/dagRuns/{run_id}", "patch_dag_run"),
    ("DELETE", "/api/v2/dags/{dag_id}/dagRuns/{run_id}", "delete_dag_run"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear", "clear_dag_run"),
    ("POST", "/api/v2/dags/{dag_id}/clearTaskInstances", "clear_task_instances"),
    (
        "PATCH",
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}",
        "patch_task_instance",
    ),
    (
        "PATCH",
        "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}",
        "patch_task_instance",
    ),
    ("POST", "/api/v2/assets/events", "create_asset_event"),
    ("POST", "/api/v2/backfills", "create_backfill"),
    ("PUT", "/api/v2/backfills/{backfill_id}/pause", "pause_backfill"),
    ("PUT", "/api/v2/backfills/{backfill_id}/unpause", "unpause_backfill"),
    ("PUT", "/api/v2/backfills/{backfill_id}/cancel", "cancel_backfill"),
    ("POST", "/api/v2/backfills/{backfill_id}/pause", "pause_backfill"),
    ("POST", "/api/v2/backfills/{backfill_id}/unpause", "unpause_backfill"),
    ("POST", "/api/v2/backfills/{backfill_id}/cancel", "cancel_backfill"),
    ("POST", "/api/v2/connections/{connection_id}/test", "test_connection"),
    ("POST", "/api/v2/connections", "post_connection"),
    ("PATCH", "/api/v2/connections", "bulk_connections"),
    ("PATCH", "/api/v2/connections/{connection_id}", "patch_connection"),
    ("DELETE", "/api/v2/connections/{connection_id}", "delete_connection"),
    ("POST", "/api/v2/variables", "post_variable"),
    ("PATCH", "/api/v2/variables", "bulk_variables"),
    ("PATCH", "/api/v2/variables/{variable_key}", "patch_variable"),
    ("DELETE", "/api/v2/variables/{variable_key}", "delete_variable"),
    ("POST", "/api/v2/pools", "post_pool"),
    ("PATCH", "/api/v2/pools", "bulk_pools"),
    ("PATCH", "/api/v2/pools/{pool_name}", "patch_pool"),
    ("DELETE", "/api/v2/pools/{pool_name}", "delete_pool"),
    ("POST", "/api/v2/ranges/{range_id}/replay", "replay_range"),
    ("POST", "/api/v2/deadLetters/replay", "replay_dead_letters"),
    ("POST", "/api/v2/deadLetters/dismiss", "dismiss_dead_letters"),
    ("POST", "/api/v2/users", "post_user"),
    ("PATCH", "/api/v2/users/{username}", "patch_user"),
    ("POST", "/api/v2/users/{username}/disable", "disable_user"),
    ("POST", "/api/v2/users/{username}/enable", "enable_user"),
    ("POST", "/api/v2/users/{username}/grants", "post_grant"),
    ("DELETE", "/api/v2/users/{username}/grants", "delete_grant"),
    ("POST", "/api/v2/users/{username}/link", "post_sign_in_link"),
    ("POST", "/api/v2/tokens", "post_token"),
    ("DELETE", "/api/v2/tokens/{token_id}", "delete_token"),
    ("POST", "/api/v2/workers/{worker}/drain", "drain_worker"),
];

/// Events without before and after, and why.
pub(super) const TELL_NOTHING: &[(&str, &str)] = &[
    ("sign_out", "who has signed out is all that there is to say"),
    ("test_connection", "it is only looked at"),
    ("post_sign_in_link", "the link is a secret, and the record's subject is whose it is"),
];

/// What changes something and writes its record itself, or changes nothing.
#[cfg(test)]
const OTHERS: &[(&str, &str)] = &[
    ("POST", "/api/v2/ranges/{range_id}/abandon"),
    ("POST", "/api/v2/ranges/{range_id}/release"),
    ("PATCH", "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/dry_run"),
    ("PATCH", "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/dry_run"),
    ("POST", "/api/v2/backfills/dry_run"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns/list"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/list"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::is_not_built;
    use crate::audit::Trail;
    use crate::router::{Access, handlers, route_table};

    #[test]
    fn every_change_is_recorded() {
        let mut left: Vec<_> = EVENTS.iter().map(|(method, path, _)| (*method, *path)).collect();
        left.extend(OTHERS);
        for (method, path, access) in route_table() {
            if access == Access::Public || method.is_safe() || is_not_built(&method, path) {
                continue;
            }
            let route = (method.as_str(), path);
            let at = left.iter().position(|it| *it == route);
            left.swap_remove(at.unwrap_or_else(|| panic!("{route:?} has no event")));
        }
        assert!(left.is_empty(), "no such routes: {left:?}");
    }

    /// That they use it the compiler sees to; that something was told the gate does, in every test.
    #[test]
    fn every_change_can_tell_of_before_and_after() {
        let trail = std::any::type_name::<Trail>();
        let mut silent: Vec<&str> = TELL_NOTHING.iter().map(|(event, _)| *event).collect();
        for (method, path, takes) in handlers() {
            let is_it = |it: &&(&str, &str, &str)| it.0 == method.as_str() && it.1 == path;
            let Some((_, _, event)) = EVENTS.iter().find(is_it) else { continue };
            if TELL_NOTHING.iter().any(|(it, _)| it == event) {
                silent.retain(|it| it != event);
                continue;
            }
            assert!(takes.contains(trail), "{method} {path} takes no trail: {takes}");
        }
        assert!(silent.is_empty(), "no such events: {silent:?}");
    }
}
