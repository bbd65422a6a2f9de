//! Arrow IPC files, LZ4-compressed: what tasks hand on.

use std::fs::{self, DirBuilder, File};
use std::io::BufWriter;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::{FileReader, FileReaderBuilder};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use subak_task::{DatasetRef, DatasetStats, Source, TaskContext};

use super::plain::{plain_batch, plain_schema};
use super::reference;
use super::statistics::Statistics;
use crate::error::DataError;
use crate::location::{to_path, to_url};

/// Writes one file of a dataset, made when the first rows come.
pub(crate) struct PartWriter {
    path: PathBuf,
    schema: SchemaRef,
    file: Option<FileWriter<BufWriter<File>>>,
    statistics: Statistics,
}

/// A written file; without a path if it would have no rows.
pub(crate) struct Part {
    path: Option<PathBuf>,
    statistics: Statistics,
}

impl PartWriter {
    /// Writes the `number`th file of a dataset under `folder`.
    pub(crate) fn new(folder: &Path, number: usize, schema: &SchemaRef) -> Result<Self, DataError> {
        let schema = plain_schema(schema);
        Ok(Self {
            path: folder.join(format!("part-{number:05}.arrow")),
            statistics: Statistics::new(Arc::clone(&schema))?,
            schema,
            file: None,
        })
    }

    /// Adds a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = plain_batch(batch, &self.schema)?;
        self.statistics.add(&batch)?;
        self.file()?.write(&batch)?;
        Ok(())
    }

    /// Puts the file on disk.
    pub(crate) fn finish(mut self) -> Result<Part, DataError> {
        let Some(mut writer) = self.file.take() else {
            return Ok(Part { path: None, statistics: self.statistics });
        };
        writer.finish()?;
        let file =
            writer.into_inner()?.into_inner().map_err(|error| self.failed(error.into_error()))?;
        file.sync_all().map_err(|error| self.failed(error))?;
        Ok(Part { path: Some(self.path), statistics: self.statistics })
    }

    fn file(&mut self) -> Result<&mut FileWriter<BufWriter<File>>, DataError> {
        if self.file.is_none() {
            let file = File::create(&self.path).map_err(|error| self.failed(error))?;
            let options = IpcWriteOptions::default()
                .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
            let buffered = BufWriter::with_capacity(256 << 10, file);
            self.file = Some(FileWriter::try_new_with_options(buffered, &self.schema, options)?);
        }
        self.file.as_mut().ok_or_else(|| DataError::permanent("the file was not made"))
    }

    fn failed(&self, error: std::io::Error) -> DataError {
        DataError::io("writing", &self.path, error)
    }
}

/// Makes the folder that a try's dataset goes to, empty.
pub(crate) fn folder(ctx: &TaskContext) -> Result<PathBuf, DataError> {
    let folder = to_path(&ctx.storage)?;
    let failed = |error| DataError::io("making the folder", &folder, error);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    // A group may be given to servers that read the storage; nobody else sees the rows.
    DirBuilder::new().recursive(true).mode(0o750).create(&folder).map_err(failed)?;
    Ok(folder)
}

/// Puts parts together, in their order, into the dataset of task `name`.
pub(crate) fn dataset(
    name: &str,
    folder: &Path,
    schema: &SchemaRef,
    parts: Vec<Part>,
) -> Result<(DatasetRef, DatasetStats), DataError> {
    let schema = plain_schema(schema);
    let mut statistics = Statistics::new(Arc::clone(&schema))?;
    let mut urls = Vec::new();
    let mut bytes = 0;
    for mut part in parts {
        statistics.merge(&mut part.statistics)?;
        if let Some(path) = part.path {
            bytes +=
                path.metadata().map_err(|error| DataError::io("looking at", &path, error))?.len();
            urls.push(to_url(&path)?);
        }
    }
    let sync = |error| DataError::io("writing", folder, error);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(sync)?;
    let dataset = DatasetRef {
        name: name.to_owned(),
        source: Source::Ipc { urls },
        schema: reference::columns(&schema),
        provenance: Vec::new(),
    };
    Ok((dataset, statistics.finish(bytes)?))
}

/// Opens a file to read the columns at `places`.
pub(crate) fn open(path: &Path, places: Vec<usize>) -> Result<FileReader<File>, DataError> {
    let file = File::open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            DataError::permanent(format!(
                "the dataset {} is gone: its run's retention has ended, or it was removed; clear the task that made it",
                path.display()
            ))
        } else {
            DataError::io("opening", path, error)
        }
    })?;
    Ok(FileReaderBuilder::new().with_projection(places).build(file)?)
}
