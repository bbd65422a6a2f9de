//! The dataset of a try whose operator has no formats of its own.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::Value;
use subak_task::{DatasetRef, DatasetStats, DatasetWriter, TaskContext, TaskError};

use super::ipc::{self, PartWriter};
use crate::error::DataError;

/// One file of Arrow IPC.
pub(crate) struct OwnDataset {
    name: String,
    folder: PathBuf,
    schema: SchemaRef,
    part: PartWriter,
}

impl OwnDataset {
    pub(crate) fn new(schema: SchemaRef, ctx: &TaskContext) -> Result<Self, DataError> {
        let folder = ipc::folder(ctx)?;
        let part = PartWriter::new(&folder, 0, &schema)?;
        Ok(Self { name: ctx.identity.task_id.clone(), folder, schema, part })
    }
}

impl DatasetWriter for OwnDataset {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TaskError> {
        Ok(self.part.write(batch)?)
    }

    fn finish(
        self: Box<Self>,
        provenance: Vec<Value>,
    ) -> Result<(DatasetRef, DatasetStats), TaskError> {
        let Self { name, folder, schema, part } = *self;
        let (mut dataset, stats) = ipc::dataset(&name, &folder, &schema, vec![part.finish()?])?;
        dataset.provenance = provenance;
        Ok((dataset, stats))
    }
}
