//! The audit log.

use axum::extract::State;
use axum::response::Html;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use subak_store::read::TextFilter;
use subak_store::{Audit, AuditFilter, AuditText};
use subak_web::audit::{self, AuditPage, AuditRow};
use subak_web::format::Stamp;
use subak_web::pager::Pager;
use subak_web::text::Text;
use subak_web::url::{self, encode};

use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::Query;
use crate::problem::ApiError;

/// Records of one page.
const PAGE: i64 = 50;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    dag: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    offset: i64,
}

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, ApiError> {
    let (now, t) = (clock::now(), viewer.t);
    let wanted = [
        (AuditText::DagId, &query.dag),
        (AuditText::Username, &query.user),
        (AuditText::Event, &query.event),
    ];
    let texts = wanted.map(|(column, part)| (column, TextFilter::containing(part.trim())));
    let filter = AuditFilter { texts: texts.into(), ..AuditFilter::default() };
    let offset = query.offset.max(0);
    let page = app.store.audit_list(&filter, PAGE, offset).await?;
    let pager = Pager::new(offset, page.items.len(), page.total, PAGE, |offset| {
        let [dag, user, event] = [&query.dag, &query.user, &query.event].map(|it| encode(it));
        format!("/audit?dag={dag}&user={user}&event={event}&offset={offset}")
    });
    let view = AuditPage {
        frame: viewer.frame(),
        rows: page.items.into_iter().map(|audit| row(audit, now, t)).collect(),
        pager,
        filter: audit::AuditFilter { dag: query.dag, user: query.user, event: query.event },
    };
    Ok(Html(view.page()))
}

fn row(audit: Audit, now: DateTime<Utc>, t: &'static Text) -> AuditRow {
    let (about, href) = match (&audit.dag_id, &audit.run_id, &audit.task_id) {
        (Some(dag), Some(run), Some(task)) => {
            let href = url::task(dag, run, task, audit.map_index.unwrap_or(-1));
            (format!("{dag} / {run} / {task}"), Some(href))
        }
        (Some(dag), Some(run), None) => (format!("{dag} / {run}"), Some(url::run(dag, run))),
        (Some(dag), ..) => (dag.clone(), Some(url::dag(dag))),
        _ => (audit.subject.clone().unwrap_or_default(), None),
    };
    let subject = audit.subject.filter(|_| href.is_some()).map(Value::from);
    let details = [
        (t.subject, subject),
        (t.before, audit.before),
        (t.after, audit.after),
        (t.request, audit.extra),
    ];
    let shown = |(name, value): (&'static str, Option<Value>)| Some((name, value?.to_string()));
    AuditRow {
        when: Stamp::new(audit.at, now, t),
        user: audit.username,
        via: audit.via,
        event: audit.event,
        about,
        href,
        details: details.into_iter().filter_map(shown).collect(),
    }
}
