//! Rows of datasets, for people: what the database holds of them, or what a worker reads of them now.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use subak_core::dag::model::Dag;
use subak_proto::{Preview, request::Kind};
use subak_store::read::DatasetRecord;
use tracing::warn;

use crate::engine::Engine;
use crate::gateway::{RequestError, Requests};

/// Rows that one answer has at most.
pub(crate) const ROWS_MOST: usize = 1_000;

/// Reads rows of datasets.
#[derive(Clone)]
pub(crate) struct Previews {
    engine: Engine,
    requests: Requests,
}

/// The first rows of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Value>,
    /// There are more than the database holds, and no worker could be asked for them.
    pub(crate) missing: Option<String>,
}

impl Previews {
    pub(crate) fn new(engine: Engine, requests: Requests) -> Self {
        Self { engine, requests }
    }

    /// The first `wanted` rows: from the database if it holds them, else a worker is asked, who has
    /// `patience` to answer. `dag` is the DAG of the run: secrets of its connections are hidden.
    pub(crate) async fn rows(
        &self,
        dataset: &DatasetRecord,
        dag: &Dag,
        wanted: usize,
        patience: Duration,
    ) -> Result<Rows, RequestError> {
        let wanted = wanted.min(ROWS_MOST);
        let kept = dataset.preview.as_array().map(Vec::as_slice).unwrap_or_default();
        let there = dataset.stats["rows"].as_u64();
        let is_all = there.is_some_and(|rows| kept.len() as u64 >= rows);
        if kept.len() >= wanted || is_all {
            let rows = kept.iter().take(wanted).cloned().collect();
            return Ok(Rows { rows, missing: None });
        }
        match self.ask(dataset, dag, wanted, patience).await {
            Ok(rows) => Ok(Rows { rows, missing: None }),
            Err(error) if kept.is_empty() => Err(error),
            Err(error) => Ok(Rows { rows: kept.to_vec(), missing: Some(error.to_string()) }),
        }
    }

    async fn ask(
        &self,
        dataset: &DatasetRecord,
        dag: &Dag,
        wanted: usize,
        patience: Duration,
    ) -> Result<Vec<Value>, RequestError> {
        let ids: BTreeSet<&String> = dag.tasks.iter().flat_map(|task| &task.connections).collect();
        let connections = self.engine.core.connections(ids).await.map_err(|error| {
            warn!(error = format!("{error:#}"), "the connections of a DAG could not be read");
            RequestError::Refused("the DAG's connections cannot be read: ask again".to_owned())
        })?;
        let kind = Kind::Preview(Preview {
            dataset: dataset.reference.to_string().into_bytes(),
            rows: u32::try_from(wanted).unwrap_or(u32::MAX),
        });
        let answer = self.requests.ask(&self.engine, kind, connections, patience).await?;
        match answer {
            Value::Array(mut rows) => {
                rows.truncate(wanted);
                Ok(rows)
            }
            _ => Err(RequestError::Refused("the worker's answer holds no rows".to_owned())),
        }
    }
}
