//! Starting a run from a form.

use std::collections::HashMap;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::{Map, Value};
use subak_core::ids::DagId;
use subak_store::read::DagRecord;
use subak_web::trigger::{Field, TriggerPage, conf_of_form};
use subak_web::url;

use super::viewer::Viewer;
use crate::app::App;
use crate::engine::Trigger;
use crate::extract::Path;
use crate::problem::ApiError;

type Given = HashMap<String, String>;

pub(super) async fn form(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
) -> Result<Html<String>, ApiError> {
    let dag = find(&app, dag_id).await?;
    Ok(Html(page(&dag, &viewer, &Given::new(), Vec::new())))
}

pub(super) async fn submit(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Response, ApiError> {
    let dag = find(&app, dag_id).await?;
    let problems =
        match conf_of_form(dag.head.params.iter(), |key| given.get(key).cloned(), viewer.t) {
            Ok(conf) => match start(&app, &viewer, &dag, conf, &given).await {
                Ok(run_id) => {
                    return Ok(Redirect::to(&url::run(&dag.dag_id, &run_id)).into_response());
                }
                Err(ApiError::Invalid(fields)) => {
                    fields.into_iter().map(|field| field.msg).collect()
                }
                Err(ApiError::Conflict(problem)) => vec![problem],
                Err(other) => return Err(other),
            },
            Err(problems) => problems,
        };
    let html = page(&dag, &viewer, &given, problems);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response())
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
        note: given.get("note").filter(|note| !note.trim().is_empty()).cloned(),
        ..Trigger::manual(DagId(dag.dag_id.clone()), "ui", Value::Object(conf))
    };
    app.actions.run_trigger(wanted).await
}

async fn find(app: &App, dag_id: String) -> Result<DagRecord, ApiError> {
    app.store.dag_get(&dag_id).await?.ok_or(ApiError::DagNotFound(dag_id))
}

/// The form, filled with what was given before.
fn page(dag: &DagRecord, viewer: &Viewer, given: &Given, problems: Vec<String>) -> String {
    let field = |(name, param): (&String, _)| {
        let mut field = Field::new(name, param);
        if !problems.is_empty() {
            field.value = given.get(&field.key).cloned().unwrap_or_default();
        }
        field
    };
    let text = |key: &str| given.get(key).cloned().unwrap_or_default();
    let href = url::dag(&dag.dag_id);
    TriggerPage {
        frame: viewer.frame(),
        title: viewer.t.fill(viewer.t.trigger_title, &dag.dag_id),
        dag_id: dag.dag_id.clone(),
        action: format!("{href}/runs"),
        dag_href: href,
        fields: dag.head.params.iter().map(field).collect(),
        conf: text("conf"),
        note: text("note"),
        problems,
    }
    .page()
}
