//! How many runs DAGs have by state, and which tags there are.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_core::state::RunState;

use super::paging::{List, Listed, Listing, text};
use super::states;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct StatsQuery {
    #[serde(default)]
    dag_ids: Vec<String>,
}

/// Airflow's `DagStatsResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DagStatsResponse")]
pub(super) struct View {
    dag_id: String,
    dag_display_name: String,
    stats: Vec<Count>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DagStatsStateResponse")]
struct Count {
    #[schemars(schema_with = "states::run")]
    state: RunState,
    count: i64,
}

impl Listed for View {
    const PLURAL: &'static str = "dags";
}

/// A tag; in the answer it is its name alone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TagName")]
#[serde(transparent)]
pub(super) struct Tag(String);

impl Listed for Tag {
    const PLURAL: &'static str = "tags";
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct TagsQuery {
    tag_name_pattern: Option<String>,
    tag_name_prefix_pattern: Option<String>,
}

/// Runs by state, of the DAGs that are named or of all of them, as far as the caller may see them.
pub(super) async fn dags(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<StatsQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let mut all: BTreeMap<String, Vec<(RunState, i64)>> = BTreeMap::new();
    let sight = caller.sight();
    for (dag_id, state, count) in app.store.run_counts(&query.dag_ids, sight.as_deref()).await? {
        all.entry(dag_id).or_default().push((state, count));
    }
    let view = |(dag_id, known): (String, Vec<(RunState, i64)>)| {
        let count = |state: RunState| {
            let found = known.iter().find(|(it, _)| *it == state);
            Count { state, count: found.map_or(0, |(_, count)| *count) }
        };
        let states = [RunState::Queued, RunState::Running, RunState::Success, RunState::Failed];
        View {
            dag_display_name: dag_id.clone(),
            stats: states.into_iter().map(count).collect(),
            dag_id,
        }
    };
    Ok(Json(List::all(all.into_iter().map(view).collect())))
}

/// The tags of the DAGs that the caller may see.
pub(super) async fn tags(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<TagsQuery>,
) -> Result<Json<List<Tag>>, ApiError> {
    let mut all = app.store.tags(caller.sight().as_deref()).await?;
    let wanted = text(query.tag_name_pattern, query.tag_name_prefix_pattern);
    all.retain(|tag| wanted.takes(tag));
    if listing.descending(&["name"])? {
        all.reverse();
    }
    Ok(Json(List::part(all, listing.part).map(Tag)))
}
