//! DAG files that do not parse.

use axum::extract::State;
use axum::response::Html;
use subak_web::format::Stamp;
use subak_web::import_errors::{ImportErrorRow, ImportErrorsPage};

use super::listing::{NameQuery, PAGE};
use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::Query;
use crate::problem::ApiError;

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    let now = clock::now();
    let page = app.store.import_error_page(&query.wanted(), PAGE, query.offset()).await?;
    let (find, pager) = query.ways("/import-errors", page.items.len(), page.total);
    let row = |it: subak_store::read::ImportError| ImportErrorRow {
        file: it.file,
        message: it.message,
        since: Stamp::new(it.occurred_at, now, viewer.t),
    };
    let rows = page.items.into_iter().map(row).collect();
    Ok(Html(ImportErrorsPage { frame: viewer.frame(), find, rows, pager }.page()))
}
