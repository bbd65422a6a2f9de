//! A DAG's versions, and what differs between two of them.

use axum::extract::State;
use axum::response::Html;
use serde::Deserialize;
use subak_core::text::unified_diff;
use subak_web::format::Stamp;
use subak_web::url;
use subak_web::versions::{VersionRow, VersionsPage, markup};

use super::listing::{NameQuery, PAGE};
use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    offset: i64,
    /// What is compared.
    from: Option<i32>,
    to: Option<i32>,
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let found = app.store.dag_get(&dag_id).await?;
    let dag = found.ok_or_else(|| ApiError::DagNotFound(dag_id.clone()))?;
    let href = format!("{}/versions", url::dag(&dag_id));
    let names = NameQuery::new(&query.name, query.offset);
    let list = app.store.version_page(dag.dag, &names.wanted(), PAGE, names.offset()).await?;
    let (find, pager) = names.ways(&href, list.items.len(), list.total);
    let diff = match (query.from, query.to) {
        (Some(from), Some(to)) => {
            let source = async |number: i32| {
                let missing = || ApiError::NotFound(format!("version {number} of DAG {dag_id}"));
                let found = app.store.version_get(dag.dag, number).await?;
                Ok::<_, ApiError>(found.ok_or_else(missing)?.source)
            };
            let (old, new) = (source(from).await?, source(to).await?);
            let diff = unified_diff(&old, &new, &from.to_string(), &to.to_string());
            Some((t.fill(t.difference, format!("{from} → {to}")), markup(&diff)))
        }
        _ => None,
    };
    let row = |it: subak_store::read::VersionHead| VersionRow {
        version: it.version,
        file: it.file,
        tasks: it.tasks,
        made: Stamp::new(it.created_at, now, t),
        compare: (it.version > 1)
            .then(|| format!("{href}?from={}&to={}", it.version - 1, it.version)),
    };
    let page = VersionsPage {
        frame: viewer.frame(),
        find,
        dag_href: url::dag(&dag_id),
        versions: list.items.into_iter().map(row).collect(),
        pager,
        diff,
        dag_id: dag_id.clone(),
    };
    Ok(Html(page.page()))
}
