//! Logs of tries.

use std::future::ready;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{once, try_unfold};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subak_core::ids::MapIndex;
use subak_store::read::{LogCursor, LogPart};
use subak_store::{Store, StoreError};

use super::runs::find;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::openapi::Streamed;
use crate::problem::{ApiError, FieldProblem};
use crate::try_log::{Place, TryLog};

/// Parts read for one answer, about 1 MiB each; a continuation token leads to the rest. With
/// `full_content` all of them are written as they are read.
const PARTS: usize = 4;
/// Lines that a search finds for one answer.
const HITS: u32 = 100;
const HITS_MOST: u32 = 1000;

#[derive(Deserialize, JsonSchema)]
pub(super) struct LogQuery {
    full_content: Option<bool>,
    map_index: Option<i32>,
    token: Option<String>,
    /// Ours: a token comes with what is written last, too, by which the rest is read once it is there.
    live: Option<bool>,
}

/// Airflow's `TaskInstancesLogResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskInstancesLogResponse")]
pub(super) struct Log {
    content: Vec<Message>,
    continuation_token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StructuredLogMessage")]
struct Message {
    event: String,
}

pub(super) async fn get(
    State(app): State<App>,
    Path(names): Path<(String, String, String, i32)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Streamed<Log>, ApiError> {
    let log = log_of(&app, names, query.map_index).await?;
    let mut cursor = match &query.token {
        None => LogCursor::default(),
        Some(token) => LogCursor::parse(token).ok_or_else(bad_token)?,
    };
    let form = Form::accepted(&headers);
    if query.full_content == Some(true) {
        return Ok(form.whole(parts(log, app.store, cursor).await?).into());
    }
    let mut lines = Vec::new();
    let mut more = true;
    for _ in 0..PARTS {
        let part = log.read(&app.store, cursor).await?;
        lines.extend(part.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        (cursor, more) = (part.next, part.more);
        if !more {
            break;
        }
    }
    let goes_on = more || query.live == Some(true);
    Ok(form.page(lines, goes_on.then(|| cursor.to_string())).into())
}

fn bad_token() -> ApiError {
    let msg = "is not a continuation token of this server";
    ApiError::Invalid(vec![FieldProblem::query("token", msg)])
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct SearchQuery {
    /// What lines must have, in whichever case.
    text: String,
    map_index: Option<i32>,
    /// Lines of one answer; 100 if left out, 1000 at most.
    limit: Option<u32>,
    /// Where a former answer says that the search goes on.
    token: Option<String>,
}

/// Lines of a log that have a text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogSearchResponse")]
pub(super) struct Search {
    hits: Vec<Hit>,
    /// The search has not come to the log's end: with it as `token` it goes on, also after no hit.
    continuation_token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogSearchHit")]
struct Hit {
    /// The log's first line is 1.
    line: u64,
    /// What of the line is around the text.
    event: String,
}

/// Looks for a text in the whole log of a try. Ours: Airflow has it not.
pub(super) async fn search(
    State(app): State<App>,
    Path(names): Path<(String, String, String, i32)>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Search>, ApiError> {
    let log = log_of(&app, names, query.map_index).await?;
    let text = query.text.trim();
    if text.is_empty() {
        let problem = FieldProblem::query("text", "must not be empty");
        return Err(ApiError::Invalid(vec![problem]));
    }
    let after = match &query.token {
        None => Place::FIRST,
        Some(token) => Place::parse(token).ok_or_else(bad_token)?,
    };
    let most = query.limit.unwrap_or(HITS).clamp(1, HITS_MOST);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found = log.find(&app.store, text, after, most).await?;
    let hits = found.hits.into_iter().map(|it| Hit { line: it.place.line, event: it.text });
    let continuation_token = found.next.map(|it| it.to_string());
    Ok(Json(Search { hits: hits.collect(), continuation_token }))
}

/// Finds whose log it is; a try that there never was, or whose history was dropped, has none.
async fn log_of(
    app: &App,
    (dag_id, run_id, task_id, try_number): (String, String, String, i32),
    map_index: Option<i32>,
) -> Result<TryLog, ApiError> {
    let run = find(app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let task = version.record.numbers.get(&task_id.as_str().into()).copied();
    let task = task.ok_or_else(|| ApiError::TaskNotFound(task_id.clone()))?;
    let at = MapIndex(map_index.unwrap_or(MapIndex::NONE.0));
    let log = TryLog { run: run.run_key, task, map_index: at, try_number };
    if log.exists(&app.store).await? {
        return Ok(log);
    }
    let which = map_index.map_or_else(String::new, |index| format!("?map_index={index}"));
    Err(ApiError::NotFound(format!("{task_id}/logs/{try_number}{which}")))
}

/// The lines from there on, part by part as they are taken: memory holds two of them. The first
/// is read now, so that an error can still be answered as one.
async fn parts(
    log: TryLog,
    store: Store,
    from: LogCursor,
) -> Result<impl Stream<Item = Result<Vec<Vec<u8>>, StoreError>> + Send + 'static, StoreError> {
    let first = log.read(&store, from).await?;
    Ok(try_unfold(Some(first), move |part| {
        let store = store.clone();
        async move {
            let Some(LogPart { lines, next, more }) = part else { return Ok(None) };
            let after = if more { Some(log.read(&store, next).await?) } else { None };
            Ok(Some((lines, after)))
        }
    }))
}

/// How a log is written, as the client accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    JsonLines,
    Text,
}

impl Form {
    fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
        match accepts {
            text if text.starts_with("text/plain") => Self::Text,
            lines if lines.starts_with("application/x-ndjson") => Self::JsonLines,
            _ => Self::Json,
        }
    }

    fn kind(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Text => "text/plain; charset=utf-8",
        })
    }

    /// A part of a log, and where it goes on.
    fn page(self, lines: Vec<String>, continuation_token: Option<String>) -> Response {
        if self == Self::Json {
            let content = lines.into_iter().map(|event| Message { event }).collect();
            return Json(Log { content, continuation_token }).into_response();
        }
        let mut body = String::new();
        lines.iter().for_each(|line| self.add(line, &mut body));
        let mut response = ([(header::CONTENT_TYPE, self.kind())], body).into_response();
        // Lines have no place for it: as in Airflow it is in a header.
        if let Some(token) = continuation_token.and_then(|it| HeaderValue::try_from(it).ok()) {
            response.headers_mut().insert("airflow-continuation-token", token);
        }
        response
    }

    /// A whole log, written as it is read.
    fn whole(
        self,
        parts: impl Stream<Item = Result<Vec<Vec<u8>>, StoreError>> + Send + 'static,
    ) -> Response {
        let mut is_first = true;
        let written = parts.map_ok(move |lines| {
            let mut text = String::new();
            for line in &lines {
                if self == Self::Json && !std::mem::take(&mut is_first) {
                    text.push(',');
                }
                self.add(&String::from_utf8_lossy(line), &mut text);
            }
            text
        });
        let around = match self {
            Self::Json => [r#"{"content":["#, r#"],"continuation_token":null}"#],
            Self::JsonLines | Self::Text => ["", ""],
        };
        let [before, after] = around.map(|text| once(ready(Ok(text.to_owned()))));
        let body = Body::from_stream(before.chain(written).chain(after));
        ([(header::CONTENT_TYPE, self.kind())], body).into_response()
    }

    /// Adds one line.
    fn add(self, line: &str, to: &mut String) {
        let event = || json!({ "event": line }).to_string();
        match self {
            Self::Json => to.push_str(&event()),
            Self::JsonLines => to.push_str(&(event() + "\n")),
            Self::Text => {
                to.push_str(line);
                to.push('\n');
            }
        }
    }
}
