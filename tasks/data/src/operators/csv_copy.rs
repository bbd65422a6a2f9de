//! `csv.read` with `on_bad_row: skip` or `dead_letter`: good rows are copied, bad ones never lost
//! from sight.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt};
use subak_core::operators::data::OnBadRow;
use subak_task::{
    BadRow, DatasetRef, DatasetStats, Rejected, TaskContext, TaskError, TaskOutput, rows_text,
};
use subak_tasks_csv::{BadRecord, Lines, OnBad};
use tokio::sync::mpsc;

use super::csv_read::Opened;
use crate::csv::scan::{Counters, CsvFiles};
use crate::dataset::ipc::{self, PartWriter};
use crate::error::DataError;
use crate::runtime::run;

/// Copies the rows that fit their columns.
pub(super) async fn copy(
    opened: Opened,
    ctx: &TaskContext,
    fate: OnBadRow,
) -> Result<TaskOutput, TaskError> {
    let counters = Arc::new(Counters::default());
    let files = CsvFiles {
        files: opened.files.clone(),
        layout: opened.layout()?,
        counters: Arc::clone(&counters),
        whole: None,
    };
    let (sender, rejected) = mpsc::channel(4);
    let name = ctx.identity.task_id.clone();
    let folder = ipc::folder(ctx)?;
    let copying = run(&ctx.cancel, copy_good(files, name, folder, sender));
    let mut rejects = Rejected::new(ctx, fate);
    let (dataset, ()) = tokio::try_join!(copying, take_rejected(rejected, &mut rejects))?;
    let good = counters.rows.load(Ordering::Relaxed);
    let count = rejects.finish(good);
    ctx.log(format!("{} copied", rows_text(good, "row")));
    Ok(TaskOutput { dataset: Some(dataset), rows_rejected: count, ..TaskOutput::default() })
}

/// Writes the good rows, in order, and hands the bad ones over.
async fn copy_good(
    files: CsvFiles,
    name: String,
    folder: PathBuf,
    rejected: mpsc::Sender<Vec<BadRecord>>,
) -> Result<(DatasetRef, DatasetStats), DataError> {
    let schema = Arc::clone(&files.layout.schema);
    let mut writer = PartWriter::new(&folder, 0, &schema)?;
    let mut chunks = files.in_order(OnBad::Collect)?.boxed();
    while let Some(parsed) = chunks.try_next().await? {
        for batch in &parsed.batches {
            writer.write(batch)?;
        }
        if !parsed.rejected.is_empty() && rejected.send(parsed.rejected).await.is_err() {
            return Err(DataError::permanent("the rejected rows could not be handed over"));
        }
    }
    ipc::dataset(&name, &folder, &schema, vec![writer.finish()?])
}

/// Finds the lines of rejected rows and hands them over.
async fn take_rejected(
    mut rejected: mpsc::Receiver<Vec<BadRecord>>,
    rejects: &mut Rejected<'_>,
) -> Result<(), TaskError> {
    let mut lines: HashMap<Arc<PathBuf>, Lines> = HashMap::new();
    while let Some(records) = rejected.recv().await {
        let mut letters: Vec<BadRow> = Vec::new();
        for record in records {
            if !lines.contains_key(&record.file) {
                lines.clear();
                lines.insert(
                    Arc::clone(&record.file),
                    Lines::open(&record.file).map_err(DataError::from)?,
                );
            }
            let line = match lines.get_mut(&record.file) {
                Some(lines) => lines.line_of(record.offset).map_err(DataError::from)?,
                None => 0,
            };
            letters.push(dead_letter(record, line));
        }
        rejects.take(letters).await?;
    }
    Ok(())
}

fn dead_letter(record: BadRecord, line: u64) -> BadRow {
    BadRow {
        source: record.file.display().to_string(),
        partition: 0,
        position: line.cast_signed(),
        reasons: record.reasons,
        raw: record.raw,
        ..BadRow::default()
    }
}
