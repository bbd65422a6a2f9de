//! The pages: handlers extract, ask the store, and hand values to `web`.

mod accounts;
mod api;
mod assets;
mod audit;
mod connections;
mod dag;
mod dag_details;
mod dags;
mod dead_letters;
mod drawn;
pub(crate) mod errors;
mod gantt;
mod grid;
mod home;
mod import_errors;
mod listing;
mod lists;
mod log_end;
mod log_search;
mod log_text;
mod map;
mod pools;
mod problems;
mod pulse;
mod run;
mod run_actions;
mod run_live;
mod run_rows;
mod runs;
mod task;
mod task_events;
mod task_live;
mod topics;
mod trigger;
mod variables;
mod versions;
mod viewer;
mod watch;
mod workers;

use axum::http::Method;
use subak_store::Pool;
use subak_store::access::Role;
use subak_store::read::{LetterRecord, Page, RunRecord};

use crate::router::Routes;

pub(crate) use lists::Lists;
pub(crate) use pulse::Watchers;
pub(crate) use run::View;
pub(crate) use run_rows::Chosen;
pub(crate) use viewer::language;
pub(crate) use watch::Part;

pub(crate) fn routes(routes: Routes) -> Routes {
    live(again(kept(overall(of_dags(routes)))))
}

/// What open lists hear of; below a path of its own, so that no name is taken by it.
fn live(routes: Routes) -> Routes {
    routes
        .sighted("/live/dags", lists::events::<dags::Listed>)
        .sighted("/live/runs", lists::events::<Page<RunRecord>>)
        .sighted("/live/dead-letters", lists::events::<Page<LetterRecord>>)
        .viewer("/live/pools", lists::events::<Page<Pool>>)
        .viewer("/live/topics", topics::events)
        .viewer("/live/workers", lists::events::<Page<workers::Seen>>)
}

/// What a form was sent to, and was shown at: whoever loads that again comes to the page that has the form.
fn again(routes: Routes) -> Routes {
    let get = Method::GET;
    routes
        .role(Role::User, get.clone(), "/dags/{dag_id}/runs", trigger::again)
        .role(Role::Op, get.clone(), "/connections/{connection_id}", connections::again)
        .role(Role::Op, get.clone(), "/connections/{connection_id}/test", connections::tested)
        .viewer("/pools/{pool_name}", pools::again)
        .viewer("/pools/{pool_name}/delete", pools::again)
        .role(Role::Op, get.clone(), "/variables/{variable_key}", variables::again)
        .role(Role::Admin, get, "/users/{username}/link", accounts::users_again)
}

/// DAGs, their runs and tasks.
fn of_dags(routes: Routes) -> Routes {
    let post = Method::POST;
    routes
        .sighted("/dags", dags::list)
        .viewer("/dags/{dag_id}", dag::show)
        .viewer("/dags/{dag_id}/events", dag::events)
        .role(Role::Op, post.clone(), "/dags/{dag_id}/pause", dag::pause)
        .role(Role::Op, post.clone(), "/dags/{dag_id}/delete", dag::delete)
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
        .viewer("/dags/{dag_id}/versions/{version_number}", versions::one)
        .viewer("/dags/{dag_id}/gantt", gantt::show)
        .viewer("/dags/{dag_id}/runs/{run_id}/gantt/events", gantt::events)
        .viewer("/dags/{dag_id}/grid", grid::show)
        .viewer("/dags/{dag_id}/grid/events", grid::events)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}", task::show)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/events", task_events::events)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/instances/events", map::events)
        .viewer("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/log", log_text::log)
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
}

/// What is about no single DAG.
fn overall(routes: Routes) -> Routes {
    routes
        .public(Method::GET, "/assets/{hash}/{name}", assets::get)
        .public(Method::GET, "/docs/errors/{kind}", errors::explain)
        .role(Role::None, Method::GET, "/docs/api", api::show)
        .sighted("/", home::show)
        .sighted("/home/events", lists::events::<home::Seen>)
        .sighted("/runs", runs::list)
        .role(Role::None, Method::POST, "/runs", runs::act)
        .viewer("/import-errors", import_errors::list)
        .viewer("/workers", workers::list)
        .role(Role::Op, Method::POST, "/workers/{worker}/drain", workers::drain)
        .role(Role::Op, Method::GET, "/audit", audit::list)
        .role(Role::Admin, Method::GET, "/users", accounts::users)
        .role(Role::Admin, Method::POST, "/users", accounts::user_add)
        .role(Role::Admin, Method::POST, "/users/{username}/role", accounts::user_role)
        .role(Role::Admin, Method::GET, "/users/{username}/grants", accounts::grants)
        .role(Role::Admin, Method::POST, "/users/{username}/grant", accounts::user_grant)
        .role(Role::Admin, Method::POST, "/users/{username}/revoke", accounts::user_revoke)
        .role(Role::Admin, Method::POST, "/users/{username}/link", accounts::user_link)
        .role(Role::Admin, Method::POST, "/users/{username}/disable", accounts::user_disable)
        .role(Role::Admin, Method::POST, "/users/{username}/enable", accounts::user_enable)
        .sighted("/tokens", accounts::tokens)
        .role(Role::None, Method::POST, "/tokens", accounts::token_add)
        .role(Role::None, Method::POST, "/tokens/{token_id}/revoke", accounts::token_revoke)
        .viewer("/topics", topics::list)
        .viewer("/topics/{connection_id}/{topic}", topics::show)
        .sighted("/dead-letters", dead_letters::list)
        .sighted("/dead-letters/{dead_letter_id}", dead_letters::show)
        .role(Role::User, Method::POST, "/dead-letters/replay", dead_letters::replay)
        .role(Role::User, Method::POST, "/dead-letters/dismiss", dead_letters::dismiss)
}

/// Connections, pools and variables.
fn kept(routes: Routes) -> Routes {
    let (get, post) = (Method::GET, Method::POST);
    routes
        .viewer("/pools", pools::list)
        .role(Role::Op, post.clone(), "/pools", pools::add)
        .role(Role::Op, post.clone(), "/pools/{pool_name}", pools::change)
        .role(Role::Op, post.clone(), "/pools/{pool_name}/delete", pools::remove)
        .role(Role::Op, get.clone(), "/variables", variables::list)
        .role(Role::Op, post.clone(), "/variables", variables::add)
        .role(Role::Op, post.clone(), "/variables/{variable_key}", variables::change)
        .role(Role::Op, post.clone(), "/variables/{variable_key}/delete", variables::remove)
        .role(Role::Op, get.clone(), "/connections", connections::list)
        .role(Role::Op, get.clone(), "/connections/new", connections::new)
        .role(Role::Op, get, "/connections/{connection_id}/edit", connections::edit)
        .role(Role::Op, post.clone(), "/connections", connections::add)
        .role(Role::Op, post.clone(), "/connections/{connection_id}", connections::change)
        .role(Role::Op, post.clone(), "/connections/{connection_id}/delete", connections::remove)
        .role(Role::Op, post, "/connections/{connection_id}/test", connections::test)
}
