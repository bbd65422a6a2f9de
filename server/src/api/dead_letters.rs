//! Records that tasks rejected. Airflow has none: ours, beside its resources.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subak_core::hex;
use subak_store::access::Role;
use subak_store::read::{LETTER_STATES, LetterFilter, LetterRecord};

use super::paging::{List, Listed, Listing};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::dismiss;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};
use crate::replay::{Started, Wanted};

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    dag_id: Option<String>,
    dag_run_id: Option<String>,
    task_id: Option<String>,
    reason: Option<String>,
    state: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct ExportQuery {
    /// Those that came after this one; left out: from the oldest.
    after: Option<i64>,
}

/// The next dead letters of an export, the oldest first; none: that was all.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLettersExported")]
pub(super) struct Exported {
    dead_letters: Vec<Whole>,
}

/// Dead letters of one part of an export; each may have 1 MiB.
const EXPORTED_MOST: i64 = 20;

/// Which dead letters go through again; all conditions together, and at least one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    #[serde(default)]
    dead_letter_ids: Vec<i64>,
    dag_id: Option<String>,
    dag_run_id: Option<String>,
    task_id: Option<String>,
    reason: Option<String>,
    /// Of the runs that take them.
    conf: Option<Map<String, Value>>,
}

/// Which dead letters are dismissed; all conditions together, and at least one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DismissBody {
    #[serde(default)]
    dead_letter_ids: Vec<i64>,
    dag_id: Option<String>,
    dag_run_id: Option<String>,
    task_id: Option<String>,
    reason: Option<String>,
}

/// How many were dismissed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLettersDismissed")]
pub(super) struct Dismissed {
    dead_letters: u64,
}

/// A run that takes dead letters.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replay")]
struct ReplayView {
    dag_id: String,
    task_id: String,
    dag_run_id: String,
    dead_letters: i64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replays")]
pub(super) struct Replays {
    replays: Vec<ReplayView>,
}

impl Listed for View {
    const PLURAL: &'static str = "dead_letters";
}

/// A dead letter. Of a record of a topic `partition` and `offset` say where it was, of one of a file
/// or of another dataset `line` does.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(super) struct View {
    dead_letter_id: i64,
    dag_id: String,
    /// Null: the run was dropped.
    dag_run_id: Option<String>,
    task_id: String,
    map_index: i32,
    try_number: Option<i32>,
    /// The topic, the file, or the dataset.
    source: String,
    partition: Option<i32>,
    offset: Option<i64>,
    line: Option<i64>,
    reasons: Value,
    size_bytes: i64,
    /// `open`, `replayed`, `dismissed`, `superseded`.
    state: String,
    /// The run that takes it again, or did.
    replay_dag_run_id: Option<String>,
    /// The dead letter that the record was before it was rejected again.
    replay_of: Option<i64>,
    /// What it became, where it was rejected again.
    replayed_as: Option<i64>,
    timestamp: DateTime<Utc>,
}

/// A dead letter with its record: as text, or in hexadecimal digits where it is not UTF-8.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterWhole")]
pub(super) struct Whole {
    #[serde(flatten)]
    view: View,
    text: Option<String>,
    hex: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let filter = query.checked(&app, &caller).await?;
    let page = app.store.letter_list(&filter, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

/// Reads them with their records, one part after the other.
pub(super) async fn export(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    Query(ExportQuery { after }): Query<ExportQuery>,
) -> Result<Json<Exported>, ApiError> {
    let filter = query.checked(&app, &caller).await?;
    let some = app.store.letter_export(&filter, after.unwrap_or(0), EXPORTED_MOST).await?;
    let dead_letters = some.into_iter().map(|(letter, record)| Whole::new(letter, record));
    Ok(Json(Exported { dead_letters: dead_letters.collect() }))
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Whole>, ApiError> {
    let not_found = || ApiError::NotFound(format!("deadLetters/{id}"));
    let number = id.parse().map_err(|_| not_found())?;
    let found = app.store.letter_get(number).await?;
    let seen = found.filter(|(letter, _)| caller.may_with(&letter.dag_id, Role::Viewer));
    let (letter, record) = seen.ok_or_else(not_found)?;
    Ok(Json(Whole::new(letter, record)))
}

pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Json(body): Json<ReplayBody>,
) -> Result<Json<Replays>, ApiError> {
    let filter = LetterFilter {
        dag_id: body.dag_id,
        run_id: body.dag_run_id,
        task_id: body.task_id,
        reason: body.reason,
        ids: body.dead_letter_ids,
        ..LetterFilter::default()
    };
    if filter.is_empty() {
        let msg = "say which: by ids, or by DAG, run, task or reason";
        return Err(ApiError::Invalid(vec![FieldProblem::body("dead_letter_ids", msg)]));
    }
    let wanted = Wanted {
        filter,
        triggered_by: "rest_api",
        user: Some(caller.name().to_owned()),
        conf: body.conf.unwrap_or_default(),
    };
    let started = app.actions.replay(&app.store, &wanted).await?;
    trail.made_replays(&started);
    let view = |it: Started| ReplayView {
        dag_id: it.dag_id,
        task_id: it.task_id,
        dag_run_id: it.run_id,
        dead_letters: it.letters,
    };
    Ok(Json(Replays { replays: started.into_iter().map(view).collect() }))
}

/// Dismisses those that are open: they are not put through, and go with their runs.
pub(super) async fn dismiss(
    State(app): State<App>,
    trail: Trail,
    Json(body): Json<DismissBody>,
) -> Result<Json<Dismissed>, ApiError> {
    let filter = LetterFilter {
        dag_id: body.dag_id,
        run_id: body.dag_run_id,
        task_id: body.task_id,
        reason: body.reason,
        ids: body.dead_letter_ids,
        ..LetterFilter::default()
    };
    let dismissed = Dismissed { dead_letters: dismiss::dismiss(&app.store, &filter).await? };
    trail.after(&dismissed);
    Ok(Json(dismissed))
}

impl ListQuery {
    /// Returns the conditions, for what the caller may see; a DAG that does not exist is an error.
    async fn checked(self, app: &App, caller: &Caller) -> Result<LetterFilter, ApiError> {
        if let Some(bad) = self.state.as_deref().filter(|state| !LETTER_STATES.contains(state)) {
            let msg = format!("`{bad}` is not one of `{}`", LETTER_STATES.join("`, `"));
            return Err(ApiError::Invalid(vec![FieldProblem::query("state", msg)]));
        }
        if let Some(dag_id) = &self.dag_id {
            caller.must(dag_id, Role::Viewer)?;
            let known = app.store.dag_get(dag_id).await?;
            known.ok_or_else(|| ApiError::DagNotFound(dag_id.clone()))?;
        }
        Ok(LetterFilter {
            dag_id: self.dag_id,
            run_id: self.dag_run_id,
            task_id: self.task_id,
            reason: self.reason,
            state: self.state,
            ids: Vec::new(),
            within: caller.sight(),
        })
    }
}

impl Whole {
    fn new(letter: LetterRecord, record: Vec<u8>) -> Self {
        let (text, hex) = match String::from_utf8(record) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(hex::encode(bytes.as_bytes()))),
        };
        Self { view: letter.into(), text, hex }
    }
}

impl From<LetterRecord> for View {
    fn from(letter: LetterRecord) -> Self {
        let (of_topic, position) = (letter.is_of_topic, letter.position);
        Self {
            dead_letter_id: letter.id,
            dag_id: letter.dag_id,
            dag_run_id: letter.run_id,
            task_id: letter.task_id,
            map_index: letter.map_index,
            try_number: letter.try_number,
            source: letter.source,
            partition: of_topic.then_some(letter.partition),
            offset: of_topic.then_some(position),
            line: (!of_topic).then_some(position),
            reasons: letter.reasons,
            size_bytes: letter.size_bytes,
            state: letter.state,
            replay_dag_run_id: letter.replay_run_id,
            replay_of: letter.replay_of,
            replayed_as: letter.replayed_as,
            timestamp: letter.created_at,
        }
    }
}
