//! The pages: handlers extract, ask the store, and hand values to `web`.

mod assets;
mod connections;
mod dag;
mod dags;
mod dead_letters;
pub(crate) mod errors;
mod map;
mod pulse;
mod run;
mod run_live;
mod task;
mod task_events;
mod task_live;
mod topics;
mod trigger;
mod versions;
mod viewer;

use axum::http::Method;
use subak_store::access::Role;

use crate::router::Routes;

pub(crate) fn routes(routes: Routes) -> Routes {
    let post = Method::POST;
    routes
        .public(Method::GET, "/assets/{hash}/{name}", assets::get)
        .public(Method::GET, "/docs/errors/{kind}", errors::explain)
        .viewer("/", dags::list)
        .viewer("/dags/{dag_id}", dag::show)
        .role(Role::Op, post.clone(), "/dags/{dag_id}/pause", dag::pause)
        .role(Role::User, Method::GET, "/dags/{dag_id}/trigger", trigger::form)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs", trigger::submit)
        .viewer("/dags/{dag_id}/runs/{run_id}", run::show)
        .viewer("/dags/{dag_id}/runs/{run_id}/events", run::events)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs/{run_id}/cancel", run::cancel)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs/{run_id}/clear", run::clear)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs/{run_id}/mark", run::mark)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs/{run_id}/delete", run::delete)
        .role(Role::User, post.clone(), "/dags/{dag_id}/runs/{run_id}/note", run::note)
        .viewer("/dags/{dag_id}/versions", versions::show)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}", task::show)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/events", task_events::events)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/log", task::log)
        .role(
            Role::User,
            post.clone(),
            "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/clear",
            task::clear,
        )
        .role(
            Role::User,
            post.clone(),
            "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/mark",
            task::mark,
        )
        .role(Role::User, post, "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/note", task::note)
        .role(Role::Op, Method::GET, "/connections", connections::list)
        .role(Role::Op, Method::POST, "/connections/{connection_id}/test", connections::test)
        .viewer("/topics", topics::list)
        .viewer("/topics/{connection_id}/{topic}", topics::show)
        .viewer("/dead-letters", dead_letters::list)
        .viewer("/dead-letters/{dead_letter_id}", dead_letters::show)
        .role(Role::User, Method::POST, "/dead-letters/replay", dead_letters::replay)
}
