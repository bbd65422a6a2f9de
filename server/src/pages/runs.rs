//! Runs of all DAGs: a list to search, and to act on several at once.

use axum::extract::{RawForm, State};
use axum::response::Html;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use subak_core::ids::RunKey;
use subak_store::access::Role;
use subak_store::read::{Orders, Page, RunFilter, RunRecord, TextFilter};
use subak_web::Badge;
use subak_web::dag::RunRow;
use subak_web::format::Stamp;
use subak_web::pager::Pager;
use subak_web::runs::{RunsFilter, RunsLive, RunsPage, RunsRow};
use subak_web::url::{self, encode};

use super::dag::who;
use super::lists::{self, List, LooksAt};
use super::problems;
use super::run_actions::RunAction;
use super::run_live::{since, took};
use super::viewer::Viewer;
use super::watch::Look;
use crate::app::App;
use crate::audit::Trail;
use crate::extract::Query;
use crate::problem::ApiError;

/// Runs of one page, and the most that an action is for.
const PAGE: i64 = 50;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct ListQuery {
    /// This DAG, and no other.
    #[serde(default)]
    dag: String,
    /// A part of DAGs' ids.
    #[serde(default)]
    name: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    offset: i64,
}

/// What came of an action on several.
#[derive(Default)]
struct Done {
    done: Option<String>,
    problems: Vec<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    page(&app, &viewer, query, Done::default()).await
}

/// Does something with the runs that are picked: what is refused says why, the rest is done.
pub(super) async fn act(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    RawForm(form): RawForm,
) -> Result<Html<String>, ApiError> {
    let mut query = ListQuery::default();
    let (mut picked, mut action) = (Vec::new(), None);
    for (name, value) in ::url::form_urlencoded::parse(&form) {
        match &*name {
            "pick" => picked.extend(value.parse().ok().map(RunKey)),
            "action" => action = RunAction::parse(&value),
            "dag" => query.dag = value.into_owned(),
            "name" => query.name = value.into_owned(),
            "run" => query.run = value.into_owned(),
            "state" => query.state = value.into_owned(),
            "kind" => query.kind = value.into_owned(),
            _ => {}
        }
    }
    let action =
        action.ok_or_else(|| ApiError::BadRequest("there is no such action".to_owned()))?;
    picked.truncate(usize::try_from(PAGE).unwrap_or(50));
    let t = viewer.t;
    let mut done = Done::default();
    let (mut before, mut changed) = (Vec::new(), Vec::new());
    let mut runs = app.store.runs_of(&picked).await?;
    // A run of a DAG that the viewer may not see is none.
    runs.retain(|run| viewer.may_with(&run.dag_id, Role::User));
    for (run, came) in runs.iter().zip(action.run_all(&app, &viewer, &runs).await) {
        let name = format!("{} {}", run.dag_id, run.run_id);
        match came {
            Ok(()) => {
                changed.push(json!({"dag_id": run.dag_id, "run_id": run.run_id}));
                before
                    .push(json!({"dag_id": run.dag_id, "run_id": run.run_id, "state": run.state}));
            }
            Err(ApiError::NotFound(_)) => done.problems.push(format!("{name}: {}", t.run_is_gone)),
            Err(error) => {
                let why = problems::of_form(error, t)?.join(" ");
                done.problems.push(format!("{name}: {why}"));
            }
        }
    }
    done.done = Some(match changed.len() {
        0 if done.problems.is_empty() => t.bulk_none.to_owned(),
        many => t.fill(t.bulk_done, many),
    });
    trail.before(before);
    trail.after(changed);
    page(&app, &viewer, query, done).await
}

async fn page(
    app: &App,
    viewer: &Viewer,
    query: ListQuery,
    done: Done,
) -> Result<Html<String>, ApiError> {
    let look = lists::now::<Page<RunRecord>>(app, viewer, &query).await?;
    let Done { done, problems } = done;
    let page = RunsPage {
        frame: viewer.frame(),
        filter: query.filter(),
        events: viewer.events(&query.address("/live/runs", query.offset.max(0)), look.print),
        live: live(&look, &query, viewer),
        done,
        problems,
    };
    Ok(Html(page.page()))
}

impl List for Page<RunRecord> {
    type Query = ListQuery;

    fn looks(app: &App) -> &LooksAt<Self> {
        &app.lists.runs
    }

    async fn find(app: &App, viewer: &Viewer, query: &ListQuery) -> Result<Self, ApiError> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let filter = RunFilter {
            within: viewer.sight(),
            dag_id: given(&query.dag),
            dag_text: TextFilter::containing(query.name.trim()),
            run_text: TextFilter::containing(query.run.trim()),
            states: given(&query.state).into_iter().collect(),
            run_types: given(&query.kind).into_iter().collect(),
            orders: Orders::descending(),
            ..RunFilter::default()
        };
        let mut found = app.store.run_list(&filter, PAGE, query.offset.max(0)).await?;
        // No list shows it, and it would be sent anew for it.
        found.items.iter_mut().for_each(|run| run.tasks_open = 0);
        Ok(found)
    }

    fn markup(look: &Look<Self>, query: &ListQuery, viewer: &Viewer) -> String {
        live(look, query, viewer).markup()
    }
}

fn live<'a>(look: &Look<Page<RunRecord>>, query: &ListQuery, viewer: &'a Viewer) -> RunsLive<'a> {
    let found = &look.it;
    RunsLive {
        frame: viewer.frame(),
        filter: query.filter(),
        rows: found.items.iter().map(|run| row(run, viewer, look.at)).collect(),
        pager: Pager::new(query.offset.max(0), found.items.len(), found.total, PAGE, |offset| {
            query.address("/runs", offset)
        }),
    }
}

impl ListQuery {
    /// The list at an offset, below an address.
    fn address(&self, at: &str, offset: i64) -> String {
        let [dag, name, run] = [&self.dag, &self.name, &self.run].map(|it| encode(it));
        let [state, kind] = [&self.state, &self.kind].map(|it| encode(it));
        format!("{at}?dag={dag}&name={name}&run={run}&state={state}&kind={kind}&offset={offset}")
    }

    fn filter(&self) -> RunsFilter {
        let Self { dag, name, run, state, kind, .. } = self.clone();
        RunsFilter { dag, name, run, state, kind }
    }
}

fn row(run: &RunRecord, viewer: &Viewer, now: DateTime<Utc>) -> RunsRow {
    let t = viewer.t;
    RunsRow {
        dag_href: url::dag(&run.dag_id),
        value: run.run_key.to_string(),
        can_act: viewer.may_with(&run.dag_id, Role::User),
        run: RunRow {
            href: url::run(&run.dag_id, &run.run_id),
            badge: Badge::run(run.state, t),
            run_type: run.run_type.clone(),
            who: who(run),
            started: run.started_at.map(|at| Stamp::new(at, now, t)),
            took: took(run.started_at, run.ended_at, now),
            since: since(run.started_at, run.ended_at),
            note: run.note.clone().unwrap_or_default(),
            run_id: run.run_id.clone(),
        },
        dag_id: run.dag_id.clone(),
    }
}
