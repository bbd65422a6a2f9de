//! `csv.read`.

use std::path::PathBuf;
use std::sync::Arc;

use subak_core::operators::data::{CsvRead, OnBadRow};
use subak_task::{
    DatasetRef, DatasetStats, FileAccess, Operator, Source, TaskContext, TaskError, TaskOutput,
    bytes_text, rows_text,
};
use subak_tasks_csv::{CsvOptions, Layout};

use super::{csv_again, csv_copy};
use crate::csv::infer::{self, Declared};
use crate::dataset::reference;
use crate::dataset::statistics::{PREVIEW_ROWS, json_rows};
use crate::error::DataError;
use crate::location::{files, to_url};
use crate::runtime::run;

/// Offers CSV files as a dataset. Nothing is copied, unless bad rows are to be left out.
pub(crate) struct CsvReader;

/// Files, how they are read, and what their head shows.
pub(crate) struct Opened {
    pub files: Vec<PathBuf>,
    pub options: CsvOptions,
    pub bytes: u64,
    pub preview: Vec<serde_json::Value>,
}

impl Operator for CsvReader {
    const NAME: &'static str = "csv.read";
    type Params = CsvRead;

    async fn run(&self, params: CsvRead, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let on_bad_row = params.on_bad_row;
        let access = Arc::clone(&ctx.files);
        let opened = run(&ctx.cancel, async move { open(&params, &access) }).await?;
        ctx.log(format!(
            "{}: {}, {} columns",
            names(&opened.files),
            bytes_text(opened.bytes),
            opened.options.columns.len()
        ));
        if let Some(replay) = ctx.pipeline.replay().await? {
            return csv_again::replay(opened, ctx, on_bad_row, &replay).await;
        }
        match on_bad_row {
            OnBadRow::Fail => Ok(scan(opened, ctx)?),
            fate => csv_copy::copy(opened, ctx, fate).await,
        }
    }
}

/// Reads the files' heads.
fn open(params: &CsvRead, access: &FileAccess) -> Result<Opened, DataError> {
    let files = files(&params.path, access)?;
    let mut options = CsvOptions {
        delimiter: params.delimiter,
        quote: params.quote,
        header: params.header,
        null_values: params.null_values.clone(),
        columns: Vec::new(),
    };
    if params.header && !params.names.is_empty() {
        return Err(DataError::permanent(
            "`names` is for files without a header: remove it, or set `header: false`",
        ));
    }
    let types = params.columns.clone().unwrap_or_default();
    let head =
        infer::columns(&files, &mut options, &Declared { names: &params.names, types: &types })?;
    let preview = json_rows(&[infer::rows(&options, &head, PREVIEW_ROWS)?])?;
    let mut bytes = 0;
    for file in &files {
        bytes += file.metadata().map_err(|error| DataError::io("opening", file, error))?.len();
    }
    Ok(Opened { files, options, bytes, preview })
}

/// Hands the files on as they are.
fn scan(opened: Opened, ctx: &TaskContext) -> Result<TaskOutput, DataError> {
    let urls: Result<Vec<_>, _> = opened.files.iter().map(|file| to_url(file)).collect();
    let options = serde_json::to_value(&opened.options)
        .map_err(|error| DataError::permanent(format!("options of a CSV dataset: {error}")))?;
    let dataset = DatasetRef {
        name: ctx.identity.task_id.clone(),
        source: Source::Csv { urls: urls?, options },
        schema: reference::columns(&*opened.options.schema()?),
        provenance: Vec::new(),
    };
    let stats = DatasetStats {
        bytes: Some(opened.bytes),
        preview: opened.preview,
        ..DatasetStats::default()
    };
    Ok(TaskOutput { dataset: Some((dataset, stats)), ..TaskOutput::default() })
}

/// Names one file, or the first of many.
fn names(files: &[PathBuf]) -> String {
    match files {
        [] => "no file".to_owned(),
        [file] => file.display().to_string(),
        [file, others @ ..] => {
            format!("{} and {} more", file.display(), rows_text(others.len() as u64, "file"))
        }
    }
}

/// For the copying reader: the files' layout, all columns wanted.
impl Opened {
    pub(crate) fn layout(&self) -> Result<Arc<Layout>, DataError> {
        Ok(Arc::new(self.options.layout(None)?))
    }
}
