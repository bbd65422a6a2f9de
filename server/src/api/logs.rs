//! Logs of tries.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use subak_core::ids::MapIndex;
use subak_store::read::{LogCursor, LogPart};

use super::runs::find;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

/// Parts read for one answer, about 1 MiB each; a continuation token leads to the rest.
const PARTS: usize = 4;
/// The same with `full_content`.
const PARTS_FULL: usize = 64;

#[derive(Deserialize)]
pub(super) struct LogQuery {
    full_content: Option<bool>,
    map_index: Option<i32>,
    token: Option<String>,
}

/// Airflow's `TaskInstancesLogResponse`.
#[derive(Serialize)]
struct Log {
    content: Vec<Message>,
    continuation_token: Option<String>,
}

#[derive(Serialize)]
struct Message {
    event: String,
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, i32)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let task = version.record.numbers.get(&task_id.as_str().into()).copied();
    let task = task.ok_or(ApiError::TaskNotFound(task_id))?;
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let mut cursor = match &query.token {
        None => LogCursor::default(),
        Some(token) => LogCursor::parse(token).ok_or_else(|| {
            let msg = "is not a continuation token of this server";
            ApiError::Invalid(vec![FieldProblem::query("token", msg)])
        })?,
    };
    let parts = if query.full_content == Some(true) { PARTS_FULL } else { PARTS };
    let mut lines = Vec::new();
    let mut more = true;
    for _ in 0..parts {
        let part: LogPart =
            app.store.log_read(run.run_key, task, map_index, try_number, cursor).await?;
        lines.extend(part.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        (cursor, more) = (part.next, part.more);
        if !more {
            break;
        }
    }
    Ok(answer(lines, more.then(|| cursor.to_string()), &headers))
}

/// JSON, JSON lines or text, as the client accepts.
fn answer(lines: Vec<String>, continuation_token: Option<String>, headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
    if accepts.starts_with("text/plain") {
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        return text.into_response();
    }
    let content: Vec<Message> = lines.into_iter().map(|event| Message { event }).collect();
    if accepts.starts_with("application/x-ndjson") {
        let rows = content.iter().filter_map(|message| serde_json::to_string(message).ok());
        let body: String = rows.map(|row| row + "\n").collect();
        let kind = HeaderValue::from_static("application/x-ndjson");
        return ([(header::CONTENT_TYPE, kind)], body).into_response();
    }
    Json(Log { content, continuation_token }).into_response()
}
