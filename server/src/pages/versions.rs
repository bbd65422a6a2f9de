//! A DAG's versions, the code of each, and what differs between two of them.

use axum::extract::State;
use axum::response::Html;
use serde::Deserialize;
use subak_core::text::unified_diff;
use subak_store::read::{DagRecord, VersionHead, VersionRecord};
use subak_web::format::Stamp;
use subak_web::versions::{
    Choice, Compare, Difference, VersionPage, VersionRow, VersionsPage, markup,
};
use subak_web::{source, url};

use super::listing::{NameQuery, PAGE};
use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

/// Versions that can be chosen in the form, the newest ones; an address may name any.
const CHOICES: i32 = 500;

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
    let dag = dag(&app, dag_id).await?;
    let href = url::versions(&dag.dag_id);
    let names = NameQuery::new(&query.name, query.offset);
    let list = app.store.version_page(dag.dag, &names.wanted(), PAGE, names.offset()).await?;
    let (find, pager) = names.ways(&href, list.items.len(), list.total);
    let chosen = query.from.zip(query.to);
    let diff = match chosen {
        Some((from, to)) => {
            let (old, new) = (version(&app, &dag, from).await?, version(&app, &dag, to).await?);
            let diff = unified_diff(&old.source, &new.source, &from.to_string(), &to.to_string());
            Some(Difference {
                title: t.fill(t.difference, format!("{from} → {to}")),
                diff: markup(&diff),
            })
        }
        None => None,
    };
    let row = |it: VersionHead| VersionRow {
        version: it.version,
        href: url::version(&dag.dag_id, it.version),
        file: it.file,
        tasks: it.tasks,
        made: Stamp::new(it.created_at, now, t),
        compare: (it.version > 1).then(|| url::compare(&dag.dag_id, it.version - 1, it.version)),
    };
    let page = VersionsPage {
        frame: viewer.frame(),
        find,
        dag_href: url::dag(&dag.dag_id),
        versions: list.items.into_iter().map(row).collect(),
        pager,
        compare: compare(&dag, chosen),
        diff,
        dag_id: dag.dag_id,
    };
    Ok(Html(page.page()))
}

/// One version with its code.
pub(super) async fn one(
    State(app): State<App>,
    viewer: Viewer,
    Path((dag_id, number)): Path<(String, i32)>,
) -> Result<Html<String>, ApiError> {
    let dag = dag(&app, dag_id).await?;
    let it = version(&app, &dag, number).await?;
    let is_newest = number == dag.version;
    let page = VersionPage {
        frame: viewer.frame(),
        dag_href: url::dag(&dag.dag_id),
        versions_href: url::versions(&dag.dag_id),
        version: number,
        newest: (!is_newest).then(|| url::version(&dag.dag_id, dag.version)),
        made: Stamp::new(it.created_at, clock::now(), viewer.t),
        file: it.file,
        tasks: it.model.tasks.len(),
        compare: compare(&dag, Some((number, dag.version)).filter(|_| !is_newest)),
        source: source::markup(&it.source),
        dag_id: dag.dag_id,
    };
    Ok(Html(page.page()))
}

/// The form that compares two versions, with these chosen; without any, the newest and the one before.
fn compare(dag: &DagRecord, chosen: Option<(i32, i32)>) -> Option<Compare> {
    let newest = dag.version;
    let (from, to) = chosen.unwrap_or(((newest - 1).max(1), newest));
    let oldest = (newest - CHOICES + 1).max(1);
    let mut versions: Vec<i32> = (oldest..=newest).rev().collect();
    versions.extend([from, to].into_iter().filter(|it| *it < oldest));
    versions.dedup();
    let choice = |version| Choice { version, is_from: version == from, is_to: version == to };
    let choices = versions.into_iter().map(choice).collect();
    (newest > 1).then(|| Compare { action: url::versions(&dag.dag_id), choices })
}

async fn dag(app: &App, dag_id: String) -> Result<DagRecord, ApiError> {
    app.store.dag_get(&dag_id).await?.ok_or(ApiError::DagNotFound(dag_id))
}

async fn version(app: &App, dag: &DagRecord, number: i32) -> Result<VersionRecord, ApiError> {
    let missing = || ApiError::NotFound(format!("version {number} of DAG {}", dag.dag_id));
    app.store.version_get(dag.dag, number).await?.ok_or_else(missing)
}
