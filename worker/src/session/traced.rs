//! The span of a try, for OpenTelemetry.

use std::time::{Duration, SystemTime};

use subak_proto::TryRef;
use subak_trace::{Ids, Kind, Span};
use uuid::Uuid;

use super::assigned::Assigned;
use crate::tries::{End, Ended};

/// The ids of a try's span; `None`: its run is none of a server.
pub(super) fn ids(run: &str, try_ref: TryRef) -> Option<Ids> {
    Some(Ids::of_try(Uuid::parse_str(run).ok()?, try_ref.token))
}

/// What is told of a try that has ended.
pub(super) fn span(of: &Assigned, ended: &Ended) -> Option<Span> {
    let identity = &of.this.ctx.identity;
    let is_error = !matches!(ended.end, End::Success(_) | End::Skipped);
    Some(Span {
        ids: ids(&identity.run_uuid, of.try_ref)?,
        kind: Kind::Internal,
        name: identity.task_id.clone().into(),
        began: instant(ended.started_micros),
        ended: instant(ended.ended_micros),
        attributes: vec![
            ("subak.dag.id", identity.dag_id.as_str().into()),
            ("subak.run.id", identity.run_id.as_str().into()),
            ("subak.task.id", identity.task_id.as_str().into()),
            ("subak.task.map_index", i64::from(identity.map_index).into()),
            ("subak.task.try_number", i64::from(identity.try_number).into()),
            ("subak.task.operator", of.this.task.task.operator.as_str().into()),
            ("subak.task.outcome", ended.end.word().into()),
        ],
        error: is_error.then(|| ended.error.clone()),
    })
}

fn instant(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.max(0).unsigned_abs())
}
