//! `parquet.write`.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use subak_core::operators::data::{ParquetCompression, ParquetWrite};
use subak_task::{Operator, TaskContext, TaskError, TaskIdentity, TaskOutput};

use super::{BatchWriter, write_file};
use crate::error::DataError;
use crate::staged::StagedFile;

/// Rows of a row group: what the writer holds in memory.
const ROW_GROUP_ROWS: usize = 250_000;

/// Writes a dataset into one Parquet file, replaced whole.
pub(crate) struct ParquetWriter;

impl Operator for ParquetWriter {
    const NAME: &'static str = "parquet.write";
    type Params = ParquetWrite;

    async fn run(&self, params: ParquetWrite, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let compression = params.compression;
        write_file(&params.input, &params.path, ctx, move |path, task, schema| {
            ParquetFile::create(path, compression, schema, task)
        })
        .await
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
