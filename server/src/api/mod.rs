//! The REST API at `/api/v2`, in the shapes of Airflow 3.3: one file per resource.

mod assets;
mod backfills;
mod bounds;
mod bulk;
mod connections;
mod dags;
mod datasets;
mod dead_letters;
mod document;
mod event_logs;
mod explain;
mod import_errors;
mod instance_lists;
mod instances;
mod kept;
mod logs;
mod marks;
mod mask;
mod metrics;
mod monitor;
mod not_built;
mod paging;
mod pools;
mod ranges;
mod run_lists;
mod runs;
mod sources;
mod states;
mod stats;
mod tasks;
mod time;
mod tokens;
mod topics;
mod tries;
mod users;
mod variables;
mod versions;
mod waits;
mod workers;
mod xcoms;

use axum::handler::Handler;
use axum::http::Method;
pub(crate) use connections::Body as Connection;
pub(crate) use dags::remove as dag_remove;
pub(crate) use kept::{Kept, before_removal, tell};
pub(crate) use marks::checked;
pub(crate) use mask::Mask;
pub(crate) use monitor::health_at;
pub(crate) use not_built::all as not_built;
#[cfg(test)]
pub(crate) use not_built::is_one as is_not_built;
use subak_store::access::Role;
pub(crate) use variables::Body as Variable;

use crate::app::App;
use crate::openapi::Described;
use crate::router::{Access, Routes};

/// Operations of the API: each is in its description.
struct Operations(Routes);

impl Operations {
    fn viewer<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        self.role(Role::Viewer, Method::GET, path, handler)
    }

    fn sighted<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        Self(self.0.operation(Access::Sighted, Method::GET, path, None, handler))
    }

    /// Of somebody signed in: the handler knows the DAGs, and asks whether they may.
    fn asking<H, T>(self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        Self(self.0.operation(Access::Sighted, method, path, None, handler))
    }

    fn role<H, T>(self, role: Role, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        Self(self.0.operation(Access::Role(role), method, path, None, handler))
    }

    fn public<H, T>(self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, App> + Described<T>,
        T: 'static,
    {
        Self(self.0.operation(Access::Public, method, path, None, handler))
    }
}

pub(crate) fn routes(routes: Routes) -> Routes {
    let routes = not_built::routes(routes).viewer("/metrics", metrics::metrics);
    let all = Operations(routes)
        .public(Method::GET, "/api/v2/version", monitor::version)
        .public(Method::GET, "/api/v2/monitor/health", monitor::health)
        .role(Role::None, Method::GET, "/api/v2/openapi.json", document::get)
        .role(Role::None, Method::GET, "/api/v2/schemas/dag.json", sources::schema)
        .viewer("/api/v2/importErrors", import_errors::list)
        .viewer("/api/v2/importErrors/{import_error_id}", import_errors::get)
        .role(Role::Op, Method::GET, "/api/v2/eventLogs", event_logs::list)
        .role(Role::Op, Method::GET, "/api/v2/eventLogs/{event_log_id}", event_logs::get)
        .sighted("/api/v2/dagStats", stats::dags)
        .sighted("/api/v2/dagTags", stats::tags);
    accounts(ours(assets(backfills(task_instances(runs(dags(kept(all)))))))).0
}

/// DAGs, their tasks, versions and sources.
fn dags(all: Operations) -> Operations {
    all.sighted("/api/v2/dags", dags::list)
        .viewer("/api/v2/dags/{dag_id}", dags::get)
        .role(Role::Op, Method::PATCH, "/api/v2/dags/{dag_id}", dags::patch)
        .role(Role::Op, Method::DELETE, "/api/v2/dags/{dag_id}", dags::delete)
        .viewer("/api/v2/dags/{dag_id}/details", dags::details)
        .sighted("/api/v2/dags/{dag_id}/dagVersions", versions::list)
        .viewer("/api/v2/dags/{dag_id}/dagVersions/{version_number}", versions::get)
        .viewer(
            "/api/v2/dags/{dag_id}/dagVersions/{version_number}/diff/{other_version}",
            versions::diff,
        )
        .viewer("/api/v2/dagSources/{dag_id}", sources::get)
        .viewer("/api/v2/dags/{dag_id}/tasks", tasks::list)
        .viewer("/api/v2/dags/{dag_id}/tasks/{task_id}", tasks::get)
}

/// Connections, pools and variables.
fn kept(all: Operations) -> Operations {
    use connections::Body as Connection;
    use pools::Body as Pool;
    use variables::Body as Variable;
    let one = "/api/v2/connections/{connection_id}";
    let all = all
        .role(Role::Op, Method::GET, "/api/v2/connections", connections::list)
        .role(Role::Op, Method::POST, "/api/v2/connections", kept::post::<Connection>)
        .role(Role::Op, Method::PATCH, "/api/v2/connections", kept::bulk::<Connection>)
        .role(Role::Op, Method::GET, one, kept::get::<Connection>)
        .role(Role::Op, Method::PATCH, one, kept::patch::<Connection>)
        .role(Role::Op, Method::DELETE, one, kept::delete::<Connection>)
        .role(
            Role::Op,
            Method::POST,
            "/api/v2/connections/{connection_id}/test",
            connections::test,
        );
    let one = "/api/v2/pools/{pool_name}";
    let all = all
        .viewer("/api/v2/pools", pools::list)
        .role(Role::Op, Method::POST, "/api/v2/pools", kept::post::<Pool>)
        .role(Role::Op, Method::PATCH, "/api/v2/pools", kept::bulk::<Pool>)
        .viewer(one, kept::get::<Pool>)
        .role(Role::Op, Method::PATCH, one, kept::patch::<Pool>)
        .role(Role::Op, Method::DELETE, one, kept::delete::<Pool>);
    let one = "/api/v2/variables/{variable_key}";
    all.role(Role::Op, Method::GET, "/api/v2/variables", variables::list)
        .role(Role::Op, Method::POST, "/api/v2/variables", kept::post::<Variable>)
        .role(Role::Op, Method::PATCH, "/api/v2/variables", kept::bulk::<Variable>)
        .role(Role::Op, Method::GET, one, kept::get::<Variable>)
        .role(Role::Op, Method::PATCH, one, kept::patch::<Variable>)
        .role(Role::Op, Method::DELETE, one, kept::delete::<Variable>)
}

fn runs(all: Operations) -> Operations {
    let one = "/api/v2/dags/{dag_id}/dagRuns/{run_id}";
    all.sighted("/api/v2/dags/{dag_id}/dagRuns", run_lists::list)
        .role(Role::User, Method::POST, "/api/v2/dags/{dag_id}/dagRuns", runs::trigger)
        .asking(Method::POST, "/api/v2/dags/{dag_id}/dagRuns/list", run_lists::batch)
        .viewer(one, runs::get)
        .role(Role::User, Method::PATCH, one, runs::patch)
        .role(Role::User, Method::DELETE, one, runs::delete)
        .role(Role::User, Method::POST, "/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear", runs::clear)
        .viewer("/api/v2/dags/{dag_id}/dagRuns/{run_id}/wait", waits::wait)
}

fn task_instances(all: Operations) -> Operations {
    /// Below the task instances of a run.
    macro_rules! below {
        ($path:literal) => {
            concat!("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", $path)
        };
    }
    let (user, patch) = (Role::User, Method::PATCH);
    all.role(user, Method::POST, "/api/v2/dags/{dag_id}/clearTaskInstances", instances::clear)
        .sighted(below!(""), instance_lists::list)
        .asking(Method::POST, below!("/list"), instance_lists::batch)
        .viewer(below!("/{task_id}"), instances::get)
        .role(user, patch.clone(), below!("/{task_id}"), marks::patch)
        .role(user, patch.clone(), below!("/{task_id}/dry_run"), marks::dry_run)
        .viewer(below!("/{task_id}/explain"), explain::get)
        .viewer(below!("/{task_id}/listMapped"), instance_lists::list_mapped)
        .viewer(below!("/{task_id}/tries"), tries::list)
        .viewer(below!("/{task_id}/tries/{task_try_number}"), tries::get)
        .viewer(below!("/{task_id}/{map_index}"), instances::get_mapped)
        .role(user, patch.clone(), below!("/{task_id}/{map_index}"), marks::patch_mapped)
        .role(user, patch, below!("/{task_id}/{map_index}/dry_run"), marks::dry_run_mapped)
        .viewer(below!("/{task_id}/{map_index}/tries"), tries::list_mapped)
        .viewer(below!("/{task_id}/{map_index}/tries/{task_try_number}"), tries::get_mapped)
        .viewer(below!("/{task_id}/logs/{try_number}"), logs::get)
        .viewer(below!("/{task_id}/logs/{try_number}/search"), logs::search)
        .sighted(below!("/{task_id}/xcomEntries"), xcoms::list)
        .viewer(below!("/{task_id}/xcomEntries/{key}"), xcoms::get)
        .viewer(below!("/{task_id}/datasets"), datasets::list)
        .viewer(below!("/{task_id}/datasets/{dataset}/rows"), datasets::rows)
}

/// What tasks read and make.
fn assets(all: Operations) -> Operations {
    let events = "/api/v2/assets/events";
    all.sighted("/api/v2/assets", assets::list).sighted(events, assets::events).role(
        Role::User,
        Method::POST,
        events,
        assets::create_event,
    )
}

/// Spans of time whose runs are made up for.
fn backfills(all: Operations) -> Operations {
    let (put, post) = (Method::PUT, Method::POST);
    let (pause, unpause, cancel) = (
        "/api/v2/backfills/{backfill_id}/pause",
        "/api/v2/backfills/{backfill_id}/unpause",
        "/api/v2/backfills/{backfill_id}/cancel",
    );
    all.sighted("/api/v2/backfills", backfills::list)
        .asking(post.clone(), "/api/v2/backfills", backfills::create)
        .asking(post.clone(), "/api/v2/backfills/dry_run", backfills::dry_run)
        .sighted("/api/v2/backfills/{backfill_id}", backfills::get)
        .asking(put.clone(), pause, backfills::pause)
        .asking(put.clone(), unpause, backfills::unpause)
        .asking(put, cancel, backfills::cancel)
        // As `airflowctl` 0.1.5 spells them.
        .asking(post.clone(), pause, backfills::pause)
        .asking(post.clone(), unpause, backfills::unpause)
        .asking(post, cancel, backfills::cancel)
}

/// What Airflow has not.
fn ours(all: Operations) -> Operations {
    all.viewer("/api/v2/topics", topics::list)
        .viewer("/api/v2/topics/{connection_id}/{topic}", topics::get)
        .sighted("/api/v2/pipelines", topics::lags)
        .sighted("/api/v2/ranges", ranges::list)
        .role(Role::User, Method::POST, "/api/v2/ranges/{range_id}/replay", ranges::replay)
        .role(Role::Op, Method::POST, "/api/v2/ranges/{range_id}/abandon", ranges::abandon)
        .role(Role::Op, Method::POST, "/api/v2/ranges/{range_id}/release", ranges::release)
        .sighted("/api/v2/deadLetters", dead_letters::list)
        .sighted("/api/v2/deadLetters/export", dead_letters::export)
        .sighted("/api/v2/deadLetters/{dead_letter_id}", dead_letters::get)
        .role(Role::User, Method::POST, "/api/v2/deadLetters/replay", dead_letters::replay)
        .role(Role::User, Method::POST, "/api/v2/deadLetters/dismiss", dead_letters::dismiss)
}

/// Users, tokens and workers.
fn accounts(all: Operations) -> Operations {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let one = "/api/v2/users/{username}";
    let grants = "/api/v2/users/{username}/grants";
    all.role(Role::Admin, get.clone(), "/api/v2/users", users::list)
        .role(Role::Admin, post.clone(), "/api/v2/users", users::create)
        .role(Role::Admin, get.clone(), one, users::get)
        .role(Role::Admin, Method::PATCH, one, users::patch)
        .role(Role::Admin, post.clone(), "/api/v2/users/{username}/disable", users::disable)
        .role(Role::Admin, post.clone(), "/api/v2/users/{username}/enable", users::enable)
        .role(Role::Admin, post.clone(), grants, users::grant)
        .role(Role::Admin, delete.clone(), grants, users::revoke)
        .role(Role::Admin, post.clone(), "/api/v2/users/{username}/link", users::link)
        // Everybody their own: the handlers ask whose.
        .role(Role::None, get.clone(), "/api/v2/tokens", tokens::list)
        .role(Role::None, post.clone(), "/api/v2/tokens", tokens::create)
        .role(Role::None, delete, "/api/v2/tokens/{token_id}", tokens::revoke)
        .role(Role::Op, get, "/api/v2/workers", workers::list)
        .role(Role::Op, post, "/api/v2/workers/{worker}/drain", workers::drain)
}
