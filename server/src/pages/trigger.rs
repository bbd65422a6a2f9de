//! Starting a run from a form.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use subak_core::dag::model::Param;
use subak_core::ids::DagId;
use subak_store::read::{DagRecord, Orders, RunFilter, RunRecord};
use subak_web::dags::Paused;
use subak_web::problem::in_words;
use subak_web::text::Text;
use subak_web::trigger::{Field, TriggerPage, Wrong, conf_of_form, is_asked};
use subak_web::url;

use super::viewer::Viewer;
use crate::app::App;
use crate::audit::Trail;
use crate::clock;
use crate::engine::Trigger;
use crate::extract::{Form, Path, Query};
use crate::problem::ApiError;

type Given = HashMap<String, String>;

/// Of one's last runs, in which of them values to fill in with are looked for.
const LAST_RUNS: i64 = 20;

#[derive(Deserialize)]
pub(super) struct FormQuery {
    /// A run whose values stand in the form; left out: the viewer's last one by hand.
    from: Option<String>,
    /// The form has the defaults.
    #[serde(default)]
    defaults: bool,
}

pub(super) async fn form(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<FormQuery>,
) -> Result<Html<String>, ApiError> {
    let dag = find(&app, dag_id).await?;
    let from = match (query.from, query.defaults) {
        (_, true) => None,
        (Some(run_id), _) => {
            let found = app.store.run_get(&dag.dag_id, &run_id).await?;
            let dag_id = dag.dag_id.clone();
            Some(found.ok_or(ApiError::RunNotFound { dag_id, run_id })?)
        }
        (None, _) => last_by(&app, &viewer, &dag.dag_id).await?,
    };
    let mut page = page(&dag, &viewer, &Given::new(), Vec::new());
    if let Some(run) = from {
        let Value::Object(mut conf) = run.conf else { return Ok(Html(page.page())) };
        for field in &mut page.fields {
            if let Some(value) = conf.remove(&field.name) {
                field.fill(&value);
            }
        }
        if !conf.is_empty() {
            page.conf = Value::Object(conf).to_string();
        }
        let label = viewer.t.fill(viewer.t.filled_from, &run.run_id);
        page.filled_from = Some((label, format!("{}/trigger?defaults=true", page.dag_href)));
    }
    Ok(Html(page.page()))
}

/// The viewer's last run by hand that was given anything.
async fn last_by(app: &App, viewer: &Viewer, dag_id: &str) -> Result<Option<RunRecord>, ApiError> {
    let by_hand = RunFilter {
        dag_id: Some(dag_id.to_owned()),
        run_types: vec!["manual".to_owned()],
        orders: Orders::descending(),
        ..RunFilter::default()
    };
    let (runs, _) = app.store.runs_behind(&by_hand, None, LAST_RUNS).await?;
    let is_own = |run: &RunRecord| run.triggered_user.as_deref() == Some(viewer.name());
    // The last one decides: who went back to the defaults finds them.
    let last = runs.into_iter().find(is_own);
    Ok(last.filter(|run| run.conf.as_object().is_some_and(|conf| !conf.is_empty())))
}

pub(super) async fn submit(
    State(app): State<App>,
    viewer: Viewer,
    trail: Trail,
    Path(dag_id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Response, ApiError> {
    let dag = find(&app, dag_id).await?;
    let get = |key: &str| given.get(key).cloned();
    let (conf, mut wrong) = conf_of_form(dag.head.params_in_order(), get, viewer.t);
    wrong.extend(unfit(&dag, &conf, &wrong, viewer.t));
    if wrong.is_empty() {
        let refused = |said: String| Wrong { param: None, said };
        wrong = match start(&app, &viewer, &dag, conf, &given).await {
            Ok(run_id) => {
                trail.made_run(&dag.dag_id, &run_id);
                return Ok(Redirect::to(&url::run(&dag.dag_id, &run_id)).into_response());
            }
            Err(ApiError::Invalid(fields)) => {
                fields.into_iter().map(|field| refused(field.msg)).collect()
            }
            Err(ApiError::Conflict(problem)) => vec![refused(problem)],
            Err(other) => return Err(other),
        };
    }
    let html = page(&dag, &viewer, &given, wrong).page();
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response())
}

/// Holds the values that could be read against their params, as the engine will, and tells what is wrong
/// in the viewer's language.
fn unfit(dag: &DagRecord, conf: &Map<String, Value>, unread: &[Wrong], t: &Text) -> Vec<Wrong> {
    let wrong = |(name, param): (&String, &Param)| {
        if unread.iter().any(|it| it.param.as_ref() == Some(name)) {
            return None;
        }
        let problem = param.problem_of(conf.get(name))?;
        let said = format!("{} {}", Field::new(name, param).label(), in_words(&problem, t));
        Some(Wrong { param: Some(name.clone()), said })
    };
    dag.head.params_in_order().filter_map(wrong).collect()
}

async fn start(
    app: &App,
    viewer: &Viewer,
    dag: &DagRecord,
    conf: Map<String, Value>,
    given: &Given,
) -> Result<String, ApiError> {
    let wanted = Trigger {
        user: Some(viewer.name().to_owned()),
        // As on Airflow's form: templates that show dates have one.
        logical_date: Some(clock::now()),
        note: given.get("note").filter(|note| !note.trim().is_empty()).cloned(),
        ..Trigger::manual(DagId(dag.dag_id.clone()), "ui", Value::Object(conf))
    };
    app.actions.run_trigger(wanted).await
}

/// The form again: what was refused was sent to this address.
pub(super) async fn again(Path(dag_id): Path<String>) -> Redirect {
    Redirect::to(&format!("{}/trigger", url::dag(&dag_id)))
}

async fn find(app: &App, dag_id: String) -> Result<DagRecord, ApiError> {
    app.store.dag_get(&dag_id).await?.ok_or(ApiError::DagNotFound(dag_id))
}

/// The form, filled with what was given before.
fn page<'a>(
    dag: &DagRecord,
    viewer: &'a Viewer,
    given: &Given,
    wrong: Vec<Wrong>,
) -> TriggerPage<'a> {
    let field = |(name, param): (&String, &Param)| {
        let mut field = Field::new(name, param);
        if !wrong.is_empty() {
            field.value = given.get(&field.key).cloned().unwrap_or_default();
            field.is_wrong = wrong.iter().any(|it| it.param.as_ref() == Some(name));
        }
        field
    };
    let params = dag.head.params_in_order().filter(|(_, param)| is_asked(param));
    let text = |key: &str| given.get(key).cloned().unwrap_or_default();
    let (href, t) = (url::dag(&dag.dag_id), viewer.t);
    let paused = || Paused::new(t.trigger_held, &dag.dag_id, viewer.can_pause(), t);
    TriggerPage {
        frame: viewer.frame(),
        title: viewer.t.fill(viewer.t.trigger_title, &dag.dag_id),
        dag_id: dag.dag_id.clone(),
        action: format!("{href}/runs"),
        dag_href: href,
        fields: params.map(field).collect(),
        conf: text("conf"),
        note: text("note"),
        problems: wrong.into_iter().map(|it| it.said).collect(),
        paused: dag.is_paused.then(paused),
        filled_from: None,
    }
}
