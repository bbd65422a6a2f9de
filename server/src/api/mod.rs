//! The REST API at `/api/v2`, in the shapes of Airflow 3.3: one file per resource.

mod bulk;
mod connections;
mod dags;
mod datasets;
mod dead_letters;
mod explain;
mod import_errors;
mod instances;
mod logs;
mod marks;
mod metrics;
mod monitor;
mod not_built;
mod paging;
mod pools;
mod ranges;
mod runs;
mod sources;
mod stats;
mod tasks;
mod time;
mod topics;
mod variables;
mod versions;
mod xcoms;

use axum::http::Method;
pub(crate) use marks::checked;
use subak_store::access::Role;

use crate::router::Routes;

pub(crate) fn routes(routes: Routes) -> Routes {
    let (get, post, patch) = (Method::GET, Method::POST, Method::PATCH);
    let delete = Method::DELETE;
    let routes = not_built::routes(routes);
    routes
        .public(get.clone(), "/api/v2/version", monitor::version)
        .public(get, "/api/v2/monitor/health", monitor::health)
        .viewer("/api/v2/schemas/dag.json", sources::schema)
        .viewer("/api/v2/dags", dags::list)
        .viewer("/api/v2/dags/{dag_id}", dags::get)
        .role(Role::Op, patch.clone(), "/api/v2/dags/{dag_id}", dags::patch)
        .viewer("/api/v2/dags/{dag_id}/details", dags::details)
        .viewer("/api/v2/dags/{dag_id}/dagVersions", versions::list)
        .viewer("/api/v2/dags/{dag_id}/dagVersions/{version_number}", versions::get)
        .viewer("/api/v2/dags/{dag_id}/dagVersions/{version_number}/diff/{other_version}", versions::diff)
        .viewer("/api/v2/dagSources/{dag_id}", sources::get)
        .role(
            Role::Op,
            post.clone(),
            "/api/v2/connections/{connection_id}/test",
            connections::test,
        )
        .viewer("/metrics", metrics::metrics)
        .viewer("/api/v2/topics", topics::list)
        .viewer("/api/v2/topics/{connection_id}/{topic}", topics::get)
        .viewer("/api/v2/pipelines", topics::lags)
        .viewer("/api/v2/ranges", ranges::list)
        .role(Role::User, post.clone(), "/api/v2/ranges/{range_id}/replay", ranges::replay)
        .viewer("/api/v2/deadLetters", dead_letters::list)
        .viewer("/api/v2/deadLetters/{dead_letter_id}", dead_letters::get)
        .role(Role::User, post.clone(), "/api/v2/deadLetters/replay", dead_letters::replay)
        .viewer("/api/v2/importErrors", import_errors::list)
        .viewer("/api/v2/importErrors/{import_error_id}", import_errors::get)
        .role(Role::Op, Method::GET, "/api/v2/variables", variables::list)
        .role(Role::Op, post.clone(), "/api/v2/variables", variables::post)
        .role(Role::Op, Method::GET, "/api/v2/variables/{variable_key}", variables::get)
        .role(Role::Op, patch.clone(), "/api/v2/variables/{variable_key}", variables::patch)
        .role(Role::Op, delete.clone(), "/api/v2/variables/{variable_key}", variables::delete)
        .viewer("/api/v2/pools", pools::list)
        .role(Role::Op, Method::POST, "/api/v2/pools", pools::post)
        .role(Role::Op, Method::PATCH, "/api/v2/pools", pools::bulk)
        .viewer("/api/v2/pools/{pool_name}", pools::get)
        .role(Role::Op, Method::PATCH, "/api/v2/pools/{pool_name}", pools::patch)
        .role(Role::Op, Method::DELETE, "/api/v2/pools/{pool_name}", pools::delete)
        .role(Role::Op, Method::GET, "/api/v2/connections", connections::list)
        .role(Role::Op, Method::POST, "/api/v2/connections", connections::post)
        .role(Role::Op, Method::PATCH, "/api/v2/connections", connections::bulk)
        .role(Role::Op, Method::GET, "/api/v2/connections/{connection_id}", connections::get)
        .role(Role::Op, Method::PATCH, "/api/v2/connections/{connection_id}", connections::patch)
        .role(Role::Op, Method::DELETE, "/api/v2/connections/{connection_id}", connections::delete)
        .role(Role::Op, Method::PATCH, "/api/v2/variables", variables::bulk)
        .viewer("/api/v2/dagStats", stats::dags)
        .viewer("/api/v2/dagTags", stats::tags)
        .viewer("/api/v2/dags/{dag_id}/tasks", tasks::list)
        .viewer("/api/v2/dags/{dag_id}/tasks/{task_id}", tasks::get)
        .viewer("/api/v2/dags/{dag_id}/dagRuns", runs::list)
        .role(Role::User, post.clone(), "/api/v2/dags/{dag_id}/dagRuns", runs::trigger)
        .viewer("/api/v2/dags/{dag_id}/dagRuns/{run_id}", runs::get)
        .role(Role::User, patch.clone(), "/api/v2/dags/{dag_id}/dagRuns/{run_id}", runs::patch)
        .role(Role::User, delete, "/api/v2/dags/{dag_id}/dagRuns/{run_id}", runs::delete)
        .role(Role::User, post.clone(), "/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear", runs::clear)
        .role(Role::User, post, "/api/v2/dags/{dag_id}/clearTaskInstances", instances::clear)
        .viewer("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", instances::list)
        .viewer("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", instances::get)
        .role(
            Role::User,
            patch.clone(),
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}",
            marks::patch,
        )
        .role(
            Role::User,
            patch,
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/dry_run",
            marks::dry_run,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/explain",
            explain::get,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped",
            instances::list_mapped,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}",
            instances::get_mapped,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}",
            logs::get,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/datasets",
            datasets::list,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/datasets/{dataset}/rows",
            datasets::rows,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries",
            xcoms::list,
        )
        .viewer(
            "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}",
            xcoms::get,
        )
}
