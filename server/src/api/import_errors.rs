//! Files that do not parse.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subak_store::read::ImportError;

use super::paging::{List, Listed, Listing};
use crate::app::App;
use crate::extract::{Json, Path};
use crate::problem::ApiError;

#[derive(Serialize)]
pub(super) struct View {
    import_error_id: i64,
    timestamp: DateTime<Utc>,
    filename: String,
    bundle_name: Option<String>,
    stack_trace: String,
}

impl Listed for View {
    const PLURAL: &'static str = "import_errors";
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let page = app.store.import_error_list(part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
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
