//! Files that do not parse.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subak_store::read::ImportError;

use super::paging::Part;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    limit: Option<i64>,
    offset: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Collection {
    import_errors: Vec<View>,
    total_entries: i64,
}

#[derive(Serialize)]
pub(super) struct View {
    import_error_id: i64,
    timestamp: DateTime<Utc>,
    filename: String,
    bundle_name: Option<String>,
    stack_trace: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let part = Part::of(query.limit, query.offset)?;
    let page = app.store.import_error_list(part.limit, part.offset).await?;
    let import_errors = page.items.into_iter().map(View::from).collect();
    Ok(Json(Collection { import_errors, total_entries: page.total }))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    let all = app.store.import_error_list(10_000, 0).await?.items;
    let found = all.into_iter().find(|error| number(&error.file) == id);
    found
        .map(|error| Json(View::from(error)))
        .ok_or_else(|| ApiError::NotFound(format!("/api/v2/importErrors/{id}")))
}

impl From<ImportError> for View {
    fn from(error: ImportError) -> Self {
        Self {
            import_error_id: number(&error.file),
            timestamp: error.occurred_at,
            filename: error.file,
            bundle_name: None,
            stack_trace: error.message,
        }
    }
}

/// A number for a file: Airflow's clients know import errors by number.
fn number(file: &str) -> i64 {
    let digest = Sha256::digest(file.as_bytes());
    let bytes = digest.first_chunk::<8>().copied().unwrap_or_default();
    // As many bits as a JavaScript number holds.
    i64::from_be_bytes(bytes) & ((1 << 53) - 1)
}
