//! DAG files that do not parse.

use axum::extract::State;
use axum::response::Html;
use serde::Deserialize;
use subak_web::format::Stamp;
use subak_web::import_errors::{ImportErrorRow, ImportErrorsPage};
use subak_web::pager::Pager;

use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::Query;
use crate::problem::ApiError;

/// Files of one page.
const PAGE: i64 = 25;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    offset: i64,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let (now, offset) = (clock::now(), query.offset.max(0));
    let page = app.store.import_error_list(PAGE, offset).await?;
    let pager = Pager::new(offset, page.items.len(), page.total, PAGE, |offset| {
        format!("/import-errors?offset={offset}")
    });
    let row = |it: subak_store::read::ImportError| ImportErrorRow {
        file: it.file,
        message: it.message,
        since: Stamp::new(it.occurred_at, now, viewer.t),
    };
    let rows = page.items.into_iter().map(row).collect();
    Ok(Html(ImportErrorsPage { frame: viewer.frame(), rows, pager }.page()))
}
