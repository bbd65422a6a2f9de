//! `GET …/dagRuns/{run}/wait`: lines of JSON until a run has ended, as Airflow writes them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use futures::stream::try_unfold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subak_core::ids::MapIndex;
use subak_core::state::RunState;
use subak_store::StoreError;
use subak_store::read::RunRecord;
use tokio::time::sleep;

use super::runs::find;
use super::states;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::openapi::Streamed;
use crate::problem::{ApiError, FieldProblem};

/// A run is looked at no more often.
const OFTEN: Duration = Duration::from_millis(100);

#[derive(Deserialize, JsonSchema)]
pub(super) struct WaitQuery {
    /// Seconds between two looks.
    #[schemars(extend("exclusiveMinimum" = 0))]
    interval: f64,
    /// Tasks whose results are told at the end.
    #[serde(default)]
    result: Vec<String>,
}

/// A line.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RunLook")]
pub(super) struct Look {
    #[schemars(schema_with = "states::run")]
    state: RunState,
    /// By task; of a mapped one, a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Map<String, Value>>,
}

pub(super) async fn wait(
    State(app): State<App>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(query): Query<WaitQuery>,
) -> Result<Streamed<Look>, ApiError> {
    let interval = Duration::try_from_secs_f64(query.interval).ok().filter(|it| !it.is_zero());
    let Some(interval) = interval else {
        let msg = "is a number of seconds, above 0";
        return Err(ApiError::Invalid(vec![FieldProblem::query("interval", msg)]));
    };
    let run = find(&app, &dag_id, &run_id).await?;
    let stop = app.stop.clone();
    let lines = try_unfold(Some(run), move |run| {
        let (app, tasks, stop) = (app.clone(), query.result.clone(), stop.clone());
        async move {
            let Some(run) = run else { return Ok::<_, StoreError>(None) };
            let has_ended = run.state.is_final();
            let results = match has_ended && !tasks.is_empty() {
                true => Some(results(&app, &run, &tasks).await?),
                false => None,
            };
            let line = json!(Look { state: run.state, results }).to_string() + "\n";
            if has_ended {
                return Ok(Some((line, None)));
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(Some((line, None))),
                () = sleep(interval.max(OFTEN)) => {}
            }
            let now = app.store.run_get(&run.dag_id, &run.run_id).await?;
            Ok(Some((line, now)))
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response().into())
}

/// What the tasks returned.
async fn results(
    app: &App,
    run: &RunRecord,
    tasks: &[String],
) -> Result<Map<String, Value>, StoreError> {
    let version = app.versions.of_run(run).await?;
    let number = |task: &String| version.record.numbers.get(&task.as_str().into()).copied();
    let numbers: Vec<i32> = tasks.iter().filter_map(number).collect();
    let found = app.store.results_of(run.run_key, &numbers).await?;
    let mut all = Map::new();
    for task in tasks {
        let of = |it: &&(i32, MapIndex, Value)| Some(it.0) == number(task);
        let values: Vec<_> = found.iter().filter(of).collect();
        let shown = match values.as_slice() {
            [] => continue,
            [(_, index, value)] if index.is_none() => value.clone(),
            several => several.iter().map(|it| it.2.clone()).collect(),
        };
        all.insert(task.clone(), shown);
    }
    Ok(all)
}
