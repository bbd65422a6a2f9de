//! `parquet.read`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use subak_core::operators::data::ParquetRead;
use subak_task::{
    DatasetRef, DatasetStats, FileAccess, Operator, Source, TaskContext, TaskError, TaskOutput,
    bytes_text, rows_text,
};

use super::csv_again;
use crate::dataset::plain::{plain_batch, plain_schema};
use crate::dataset::statistics::{PREVIEW_ROWS, json_rows};
use crate::dataset::{parquet, reference};
use crate::error::DataError;
use crate::location::{files, to_url};
use crate::runtime::run;

/// Offers Parquet files as a dataset. Nothing is copied.
pub(crate) struct ParquetReader;

impl Operator for ParquetReader {
    const NAME: &'static str = "parquet.read";
    type Params = ParquetRead;

    async fn run(&self, params: ParquetRead, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
        let name = ctx.identity.task_id.clone();
        let access = Arc::clone(&ctx.files);
        let (dataset, stats) =
            run(&ctx.cancel, async move { scan(&params, name, &access) }).await?;
        ctx.log(format!(
            "{}: {}, {}, {} columns",
            params_text(&dataset),
            rows_text(stats.rows.unwrap_or_default(), "row"),
            bytes_text(stats.bytes.unwrap_or_default()),
            dataset.schema.len()
        ));
        if let Some(replay) = ctx.pipeline.replay().await? {
            ctx.log(format!("the run replays dead letters of {}: nothing is read", replay.task));
            let schema = reference::schema(&dataset)?;
            let dataset = Some(csv_again::nothing(ctx, &schema)?);
            return Ok(TaskOutput { dataset, ..TaskOutput::default() });
        }
        Ok(TaskOutput { dataset: Some((dataset, stats)), ..TaskOutput::default() })
    }
}

fn params_text(dataset: &DatasetRef) -> String {
    match &dataset.source {
        Source::Parquet { urls } if urls.len() == 1 => urls[0].clone(),
        Source::Parquet { urls } => rows_text(urls.len() as u64, "file"),
        _ => String::new(),
    }
}

fn scan(
    params: &ParquetRead,
    name: String,
    access: &FileAccess,
) -> Result<(DatasetRef, DatasetStats), DataError> {
    let files = files(&params.path, access)?;
    let mut first: Option<(&PathBuf, SchemaRef)> = None;
    let (mut rows, mut bytes) = (0, 0);
    let mut urls = Vec::new();
    for file in &files {
        let opened = parquet::open(file)?;
        let schema = plain_schema(opened.schema());
        rows += opened.metadata().file_metadata().num_rows().cast_unsigned();
        bytes += file.metadata().map_err(|error| DataError::io("opening", file, error))?.len();
        urls.push(to_url(file)?);
        match &first {
            None => first = Some((file, schema)),
            Some((first, expected)) => same_schema(first, expected, file, &schema)?,
        }
    }
    let (file, schema) = first.ok_or_else(|| DataError::permanent("no file to read"))?;
    let stats = DatasetStats {
        rows: Some(rows),
        bytes: Some(bytes),
        preview: preview(file, &schema)?,
        ..DatasetStats::default()
    };
    let dataset = DatasetRef {
        name,
        source: Source::Parquet { urls },
        schema: reference::columns(&schema),
        provenance: Vec::new(),
    };
    Ok((dataset, stats))
}

fn same_schema(
    first: &Path,
    expected: &SchemaRef,
    file: &Path,
    schema: &SchemaRef,
) -> Result<(), DataError> {
    let columns = |schema: &SchemaRef| -> Vec<String> {
        schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect()
    };
    let (left, right) = (columns(expected), columns(schema));
    if left == right {
        return Ok(());
    }
    Err(DataError::permanent(format!(
        "{} has the columns ({}), but {} has ({}): files read together must have the same",
        file.display(),
        right.join(", "),
        first.display(),
        left.join(", ")
    )))
}

fn preview(file: &Path, schema: &SchemaRef) -> Result<Vec<serde_json::Value>, DataError> {
    let places: Vec<usize> = (0..schema.fields().len()).collect();
    let Some(batch) = parquet::read(file, &places)?.next() else { return Ok(Vec::new()) };
    let batch = plain_batch(&batch?, schema)?;
    json_rows(&[batch.slice(0, batch.num_rows().min(PREVIEW_ROWS))])
}
