//! `csv.write`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv::{Writer, WriterBuilder};
use arrow::error::ArrowError;
use flate2::Compression;
use flate2::write::GzEncoder;
use subak_core::operators::data::CsvWrite;
use subak_task::{Operator, TaskContext, TaskError, TaskIdentity, TaskOutput};

use super::{BatchWriter, write_file};
use crate::error::DataError;
use crate::staged::StagedFile;

/// Writes a dataset into one CSV file, replaced whole.
pub(crate) struct CsvWriter;

impl Operator for CsvWriter {
    const NAME: &'static str = "csv.write";
    type Params = CsvWrite;

    async fn run(&self, params: CsvWrite, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let CsvWrite { input, path, .. } = params.clone();
        write_file(&input, &path, ctx, move |path, task, schema| {
            let mut writer = CsvFile::create(path, &params, task)?;
            // The header stands there even if no row follows.
            writer.write(&RecordBatch::new_empty(schema.clone()))?;
            Ok(writer)
        })
        .await
    }
}

/// A CSV file being written.
struct CsvFile {
    writer: Writer<Output>,
    staged: StagedFile,
    path: PathBuf,
}

/// The bytes' way to the disk.
enum Output {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl CsvFile {
    fn create(path: &Path, params: &CsvWrite, task: &TaskIdentity) -> Result<Self, DataError> {
        let delimiter =
            u8::try_from(params.delimiter).ok().filter(u8::is_ascii).ok_or_else(|| {
                DataError::permanent(format!(
                    "delimiter `{}` must be one ASCII character",
                    params.delimiter
                ))
            })?;
        let (staged, file) = StagedFile::create(path, task)?;
        let file = BufWriter::with_capacity(256 << 10, file);
        let output = if path.extension().is_some_and(|extension| extension == "gz") {
            Output::Gzip(Box::new(GzEncoder::new(file, Compression::default())))
        } else {
            Output::Plain(file)
        };
        let writer =
            WriterBuilder::new().with_header(params.header).with_delimiter(delimiter).build(output);
        Ok(Self { writer, staged, path: path.to_owned() })
    }
}

/// The writer of CSV hands an error of the file on as a text.
fn os_error(why: &str) -> Option<io::Error> {
    let (_, code) = why.rsplit_once("(os error ")?;
    Some(io::Error::from_raw_os_error(code.strip_suffix(')')?.parse().ok()?))
}

impl BatchWriter for CsvFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        self.writer.write(batch).map_err(|error| match error {
            ArrowError::IoError(_, error) => DataError::io("writing", &self.path, error),
            ArrowError::InvalidArgumentError(why) | ArrowError::CsvError(why) => {
                match os_error(&why) {
                    Some(error) => DataError::io("writing", &self.path, error),
                    None => DataError::permanent(format!(
                        "writing {}: {why}: turn nested columns into plain ones first (transform)",
                        self.path.display()
                    )),
                }
            }
            error => error.into(),
        })
    }

    fn finish(self: Box<Self>) -> Result<u64, DataError> {
        let Self { writer, staged, path } = *self;
        let file =
            writer.into_inner().finish().map_err(|error| DataError::io("writing", &path, error))?;
        staged.publish(&file)
    }
}

impl Output {
    fn finish(self) -> io::Result<File> {
        let buffered = match self {
            Self::Plain(buffered) => buffered,
            Self::Gzip(encoder) => encoder.finish()?,
        };
        buffered.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}
