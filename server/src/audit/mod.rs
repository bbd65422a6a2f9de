//! The audit log: whatever changes something by a page or by the API is recorded, with who asked for it.
//!
//! The gate does it for every route, so that none is forgotten; a handler adds how things were and how
//! they are. A record is made once the change is: what was refused is not in it.

mod events;
mod extra;

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use subak_store::{NewAudit, Store};
use tracing::error;

pub(crate) use events::EVENTS;
use events::TELL_NOTHING;

use crate::auth::Caller;
use crate::observe::RequestId;
use crate::problem::ApiError;
use crate::replay::Started;
use crate::router::BODY_BYTES_MOST;

/// What a handler tells of a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Change>>);

#[derive(Debug, Default)]
struct Change {
    before: Option<Value>,
    after: Option<Value>,
    /// A DAG and a run of it.
    run: Option<(String, String)>,
    /// What no part of the path names: `pool warehouse`.
    subject: Option<String>,
    is_none: bool,
}

/// A record that is made when its request has succeeded.
pub(crate) struct Pending {
    audit: NewAudit,
    trail: Trail,
}

impl Trail {
    /// How things were. Never with secrets.
    pub(crate) fn before(&self, value: impl Serialize) {
        self.change().before = told(value);
    }

    /// How things are now. Never with secrets.
    pub(crate) fn after(&self, value: impl Serialize) {
        self.change().after = told(value);
    }

    /// What was made, as the path names it once it is there: `pool`, `warehouse`.
    pub(crate) fn made(&self, kind: &str, name: impl Display) {
        self.change().subject = Some(format!("{kind} {name}"));
    }

    /// The run that was made.
    pub(crate) fn made_run(&self, dag_id: &str, run_id: &str) {
        let mut change = self.change();
        change.run = Some((dag_id.to_owned(), run_id.to_owned()));
        change.after = Some(json!({"dag_run_id": run_id}));
    }

    /// Runs that replay dead letters were made.
    pub(crate) fn made_replays(&self, started: &[Started]) {
        if let [one] = started {
            self.made_run(&one.dag_id, &one.run_id);
        }
        let one = |it: &Started| {
            json!({"dag_id": it.dag_id, "task_id": it.task_id, "dag_run_id": it.run_id,
                   "dead_letters": it.letters})
        };
        self.after(started.iter().map(one).collect::<Vec<_>>());
    }

    /// It was only asked what would change: there is nothing to record.
    pub(crate) fn nothing(&self) {
        self.change().is_none = true;
    }

    fn change(&self) -> std::sync::MutexGuard<'_, Change> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` for what is not there.
fn told(value: impl Serialize) -> Option<Value> {
    serde_json::to_value(value).ok().filter(|value| !value.is_null())
}

/// The trail of the request's caller: whoever changes something is signed in.
impl<S: Send + Sync> FromRequestParts<S> for Trail {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Caller::from_request_parts(parts, state).await?.trail)
    }
}

/// Notes what a request is about to change; `None` for one that only looks.
pub(crate) async fn begin(
    mut parts: Parts,
    body: Body,
    caller: Option<&Caller>,
) -> Result<(Request, Option<Pending>), ApiError> {
    let Some((event, caller)) = event_of(&parts).zip(caller) else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let body = to_bytes(body, BODY_BYTES_MOST).await.map_err(|_| ApiError::TooLarge)?;
    let mut audit = NewAudit {
        username: caller.name().to_owned(),
        via: caller.via(),
        event,
        request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
        extra: extra::extra(kind(&parts), &body, parts.uri.path()),
        ..NewAudit::default()
    };
    if let Ok(params) = RawPathParams::from_request_parts(&mut parts, &()).await {
        for (name, value) in &params {
            about(&mut audit, name, value);
        }
    }
    let pending = Pending { audit, trail: caller.trail.clone() };
    Ok((Request::from_parts(parts, Body::from(body)), Some(pending)))
}

impl Pending {
    /// Appends the record if the request has succeeded.
    pub(crate) async fn end(mut self, store: &Store, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            return;
        }
        let change = std::mem::take(&mut *self.trail.change());
        if change.is_none {
            return;
        }
        debug_assert!(
            change.before.is_some() || change.after.is_some() || tells_nothing(self.audit.event),
            "`{}` tells neither how it was nor how it is",
            self.audit.event,
        );
        (self.audit.before, self.audit.after) = (change.before, change.after);
        if let Some((dag_id, run_id)) = change.run {
            (self.audit.dag_id, self.audit.run_id) = (Some(dag_id), Some(run_id));
        }
        if change.subject.is_some() {
            self.audit.subject = change.subject;
        }
        // The change is made: that it is not on record is for the operator to know.
        if let Err(error) = store.audit_add(&self.audit).await {
            let NewAudit { event, username, .. } = &self.audit;
            error!(%error, event, username, "the audit log could not be written");
        }
    }
}

/// What the request's route is called, if it changes something.
fn event_of(parts: &Parts) -> Option<&'static str> {
    let path = parts.extensions.get::<MatchedPath>()?;
    let is_it = |(method, route, _): &&(&str, &str, &str)| {
        *method == parts.method.as_str() && *route == path.as_str()
    };
    EVENTS.iter().find(is_it).map(|(_, _, event)| *event)
}

fn tells_nothing(event: &str) -> bool {
    TELL_NOTHING.iter().any(|(it, _)| *it == event)
}

/// Notes what a part of the path names.
fn about(audit: &mut NewAudit, name: &str, value: &str) {
    match name {
        "dag_id" => audit.dag_id = Some(value.to_owned()),
        "run_id" | "dag_run_id" => audit.run_id = Some(value.to_owned()),
        "task_id" => audit.task_id = Some(value.to_owned()),
        "map_index" => audit.map_index = value.parse().ok(),
        other => {
            let kind = other.strip_suffix("name").or(other.strip_suffix("_id")).unwrap_or(other);
            let kind = kind.strip_suffix("_key").unwrap_or(kind).trim_end_matches('_');
            audit.subject = Some(format!("{} {value}", kind.replace('_', " ")));
        }
    }
}

fn kind(parts: &Parts) -> &str {
    parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default()
}
