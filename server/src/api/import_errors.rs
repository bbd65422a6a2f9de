//! Files that do not parse.

use std::cmp::Ordering;

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subak_store::read::{ImportError, directed};

use super::paging::{List, Listed, Listing, text};
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ImportErrorResponse")]
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

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    filename: Option<String>,
    filename_pattern: Option<String>,
    filename_prefix_pattern: Option<String>,
    /// There are no bundles: no file is of one.
    bundle_name: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let wanted = text(query.filename_pattern, query.filename_prefix_pattern);
    let mut all = app.store.import_error_list(MOST, 0).await?.items;
    all.retain(|it| {
        query.bundle_name.is_none()
            && wanted.takes(&it.file)
            && query.filename.as_ref().is_none_or(|file| it.file == *file)
    });
    all.sort_by_key(|it| number(&it.file));
    listing.orders(ORDERS)?.sort(&mut all, |order, descending, a, b| match order {
        Order::Id | Order::Nothing => Ordering::Equal,
        Order::At => directed(Some(a.occurred_at), Some(b.occurred_at), descending),
        Order::File => directed(Some(&a.file), Some(&b.file), descending),
        Order::Message => directed(Some(&a.message), Some(&b.message), descending),
    });
    Ok(Json(List::part(all, listing.part).map(View::from)))
}

/// What they are ordered by.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Id,
    At,
    File,
    Message,
    /// What no file has.
    Nothing,
}

const ORDERS: &[(&str, Order)] = &[
    ("id", Order::Id),
    ("import_error_id", Order::Id),
    ("timestamp", Order::At),
    ("filename", Order::File),
    ("stacktrace", Order::Message),
    ("bundle_name", Order::Nothing),
];

/// Files with errors that are looked at.
const MOST: i64 = 10_000;

pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<View>, ApiError> {
    let all = app.store.import_error_list(MOST, 0).await?.items;
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
