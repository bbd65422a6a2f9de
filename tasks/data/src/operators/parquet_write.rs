//! `parquet.write`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use subak_core::operators::data::{ParquetCompression, ParquetWrite};
use subak_task::{Operator, TaskContext, TaskError, TaskIdentity, TaskOutput};

use super::{BatchWriter, write_dataset};
use crate::dataset::reference;
use crate::error::DataError;
use crate::location::permitted;
use crate::runtime::run;
use crate::staged::StagedFile;
use crate::text::{bytes_text, rows_text};

/// Rows of a row group: what the writer holds in memory.
const ROW_GROUP_ROWS: usize = 250_000;

/// Writes a dataset into one Parquet file, replaced whole.
pub(crate) struct ParquetWriter;

impl Operator for ParquetWriter {
    const NAME: &'static str = "parquet.write";
    type Params = ParquetWrite;

    async fn run(&self, params: ParquetWrite, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let dataset = reference::dataset(&params.input)?;
        let path = permitted(&params.path, &ctx.files)?;
        let target = path.clone();
        let identity = (*ctx.identity).clone();
        let counts = Arc::clone(&ctx.counts);
        let (rows, bytes) = run(&ctx.cancel, async move {
            write_dataset(dataset, counts, |stream| {
                Ok(Box::new(ParquetFile::create(
                    &target,
                    params.compression,
                    &stream.schema,
                    &identity,
                )?))
            })
            .await
        })
        .await?;
        ctx.log(format!(
            "{} written to {} ({})",
            rows_text(rows, "row"),
            path.display(),
            bytes_text(bytes)
        ));
        Ok(TaskOutput {
            value: Some(json!({"path": path, "rows": rows, "bytes": bytes})),
            ..TaskOutput::default()
        })
    }
}

/// A Parquet file being written.
struct ParquetFile {
    writer: ArrowWriter<File>,
    staged: StagedFile,
    path: PathBuf,
}

impl ParquetFile {
    fn create(
        path: &Path,
        compression: ParquetCompression,
        schema: &SchemaRef,
        task: &TaskIdentity,
    ) -> Result<Self, DataError> {
        let compression = match compression {
            ParquetCompression::None => Compression::UNCOMPRESSED,
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let (staged, file) = StagedFile::create(path, task)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|error| failed(path, error))?;
        Ok(Self { writer, staged, path: path.to_owned() })
    }
}

impl BatchWriter for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        self.writer.write(batch).map_err(|error| failed(&self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<u64, DataError> {
        let Self { writer, staged, path } = *self;
        let file = writer.into_inner().map_err(|error| failed(&path, error))?;
        staged.publish(&file)
    }
}

fn failed(path: &Path, error: ParquetError) -> DataError {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => DataError::io("writing", path, *error),
            Err(inner) => DataError::permanent(format!("writing {}: {inner}", path.display())),
        },
        error => DataError::permanent(format!("writing {}: {error}", path.display())),
    }
}
