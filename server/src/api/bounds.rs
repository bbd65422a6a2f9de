//! Bounds of instants and durations: `logical_date_gte`, `duration_lt`, … in a query or a body.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};
use subak_store::read::{Bound, Bounded, Edge, Side};
use url::form_urlencoded;

use super::time;
use crate::openapi::{Operation, Parameter, Schemas, Taken};
use crate::problem::{ApiError, FieldProblem};

/// What of runs is bounded by their lists, of task instances by theirs, and by bodies of both. When a row
/// changed last is asked for in queries alone, as in Airflow.
const OF: [(&str, Bounded); 5] = [
    ("run_after", Bounded::RunAfter),
    ("logical_date", Bounded::LogicalDate),
    ("start_date", Bounded::Started),
    ("end_date", Bounded::Ended),
    ("duration", Bounded::Duration),
];
const OF_RUNS: [(&str, Bounded); 6] =
    [OF[0], OF[1], OF[2], OF[3], OF[4], ("updated_at", Bounded::RunUpdated)];
const OF_INSTANCES: [(&str, Bounded); 6] =
    [OF[0], OF[1], OF[2], OF[3], OF[4], ("updated_at", Bounded::Updated)];

/// What is bounded of the runs of `XComs`.
const OF_XCOMS: [(&str, Bounded); 2] = [OF[0], OF[1]];

/// What is bounded of a DAG's newest run.
const OF_NEWEST: [(&str, Bounded); 2] =
    [("dag_run_start_date", Bounded::Started), ("dag_run_end_date", Bounded::Ended)];

/// On which side.
const SIDES: [(&str, Side); 4] =
    [("_gte", Side::AtLeast), ("_gt", Side::Above), ("_lte", Side::AtMost), ("_lt", Side::Below)];

/// Extractors of the bounds that a query sets.
macro_rules! bounds {
    ($($(#[$doc:meta])* $name:ident: $of:ident;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) Vec<Bound>);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                in_query(parts, &$of).map(Self)
            }
        }

        impl Taken for $name {
            fn take(operation: &mut Operation, _: &mut Schemas) {
                parameters(operation, &$of);
            }
        }
    )+};
}

bounds! {
    /// Of runs.
    RunBounds: OF_RUNS;
    /// Of task instances.
    InstanceBounds: OF_INSTANCES;
    /// Of the runs of what tasks handed on.
    XComBounds: OF_XCOMS;
    /// Of each DAG's newest run.
    NewestRunBounds: OF_NEWEST;
}

/// The same as fields of a body.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct BodyBounds(BTreeMap<String, Value>);

impl JsonSchema for BodyBounds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bounds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let fields: Map<String, Value> =
            fields(&OF).map(|(name, schema)| (name, schema.into())).collect();
        json_schema!({ "type": "object", "properties": fields, "additionalProperties": false })
    }
}

impl BodyBounds {
    /// Returns the bounds; what is none of them is a field that the body must not have.
    pub(super) fn read(self) -> Result<Vec<Bound>, ApiError> {
        let invalid =
            |key: &str, msg: String| ApiError::Invalid(vec![FieldProblem::body(key, msg)]);
        let mut bounds = Vec::new();
        for (key, value) in self.0 {
            let (of, side) = named(&OF, &key)
                .ok_or_else(|| invalid(&key, "is not a field of this body".to_owned()))?;
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            let at = edge(of, &text).map_err(|msg| invalid(&key, msg))?;
            bounds.push(Bound { of, side, at });
        }
        Ok(bounds)
    }
}

fn in_query(parts: &Parts, of: &[(&str, Bounded)]) -> Result<Vec<Bound>, ApiError> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let mut bounds = Vec::new();
    for (key, value) in form_urlencoded::parse(query) {
        let Some((of, side)) = named(of, &key) else { continue };
        let at = edge(of, &value)
            .map_err(|msg| ApiError::Invalid(vec![FieldProblem::query(&key, msg)]))?;
        bounds.push(Bound { of, side, at });
    }
    Ok(bounds)
}

fn parameters(operation: &mut Operation, of: &[(&str, Bounded)]) {
    for (name, schema) in fields(of) {
        operation.query.push(Parameter { name, schema, required: false });
    }
}

fn fields(of: &[(&str, Bounded)]) -> impl Iterator<Item = (String, Schema)> {
    of.iter().flat_map(|(name, of)| {
        let schema = match of {
            Bounded::Duration => json_schema!({ "type": "number" }),
            _ => json_schema!({ "type": "string", "format": "date-time" }),
        };
        SIDES.iter().map(move |(end, _)| (format!("{name}{end}"), schema.clone()))
    })
}

fn named(of: &[(&str, Bounded)], key: &str) -> Option<(Bounded, Side)> {
    SIDES.iter().find_map(|(end, side)| {
        let field = key.strip_suffix(end)?;
        let (_, of) = of.iter().find(|(name, _)| *name == field)?;
        Some((*of, *side))
    })
}

fn edge(of: Bounded, text: &str) -> Result<Edge, String> {
    if of == Bounded::Duration {
        let seconds = text.parse().ok().filter(|seconds: &f64| seconds.is_finite());
        return seconds.map(Edge::Seconds).ok_or_else(|| format!("`{text}` is not a number"));
    }
    let at = time::parse(text).map(Edge::Instant);
    at.ok_or_else(|| format!("`{text}` is not an instant as RFC 3339 writes it"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(query: &str) -> Result<Vec<Bound>, ApiError> {
        let (mut parts, ()) = Request::get(format!("/x?{query}")).body(()).unwrap().into_parts();
        RunBounds::from_request_parts(&mut parts, &()).await.map(|bounds| bounds.0)
    }

    #[tokio::test]
    async fn a_query_bounds_instants_and_durations() {
        let found = read("start_date_gte=2026-11-20T00:00:00Z&limit=3&duration_lt=1.5").await;
        let found = found.unwrap();
        assert_eq!((found[0].of, found[0].side), (Bounded::Started, Side::AtLeast));
        assert_eq!((found[1].of, found[1].at), (Bounded::Duration, Edge::Seconds(1.5)));
        let found = read("updated_at_gt=2026-11-20T00:00:00Z").await.unwrap();
        assert_eq!((found[0].of, found[0].side), (Bounded::RunUpdated, Side::Above));
        assert!(read("start_date_gte=noon").await.is_err());
        assert!(read("duration_gt=NaN").await.is_err());
    }

    #[test]
    fn a_body_bounds_them_too_and_has_nothing_else() {
        let body = |text: &str| serde_json::from_str::<BodyBounds>(text).unwrap().read();
        assert_eq!(body(r#"{"end_date_lt": "2026-11-20", "duration_gt": 3}"#).unwrap().len(), 2);
        assert_eq!(body(r#"{"end_date_lt": null}"#).unwrap(), []);
        assert!(body(r#"{"updated_at_gte": "2026-11-20"}"#).is_err());
    }
}
