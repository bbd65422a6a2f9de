//! A run that replays dead letters: no file is read, but the rejected rows that were kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt};
use subak_core::letter::{Letter, Replay};
use subak_core::operators::data::OnBadRow;
use subak_task::{
    BadRow, DatasetRef, DatasetStats, RangeRef, Rejected, TaskContext, TaskError, TaskOutput,
    rows_text,
};
use subak_tasks_csv::OnBad;

use super::csv_read::Opened;
use crate::csv::scan::{Counters, CsvFiles};
use crate::dataset::ipc::{self, PartWriter};
use crate::error::DataError;
use crate::runtime::run;

/// Rows that were kept, one after the other in a file, and where each begins.
struct Kept {
    file: PathBuf,
    /// By the offset of the first byte; without the bytes.
    letters: HashMap<u64, Letter>,
}

/// Reads this task's dead letters of a replay, as its columns are now; of another task's it hands on
/// nothing.
pub(super) async fn replay(
    mut opened: Opened,
    ctx: &TaskContext,
    fate: OnBadRow,
    replay: &Replay,
) -> Result<TaskOutput, TaskError> {
    if replay.task != ctx.identity.task_id {
        let dataset = nothing(ctx, &opened.options.schema().map_err(DataError::from)?)?;
        ctx.log(format!("the run replays dead letters of {}: nothing is read", replay.task));
        return Ok(TaskOutput { dataset: Some(dataset), ..TaskOutput::default() });
    }
    let mut kept = keep(ctx, replay).await?;
    opened.options.header = false;
    let counters = Arc::new(Counters::default());
    let files = CsvFiles {
        files: vec![kept.file.clone()],
        layout: opened.layout()?,
        counters: Arc::clone(&counters),
        whole: None,
    };
    let (name, folder) = (ctx.identity.task_id.clone(), ipc::folder(ctx)?);
    let shown = RangeRef::new(&replay.range, &ctx.identity.dag_id, &replay.task);
    let (mut dataset, rejected) = run(&ctx.cancel, read(files, name, folder)).await?;
    dataset.0.provenance.push(shown.to_provenance());
    let mut rejects = Rejected::new(ctx, fate);
    let again = rejected.into_iter().filter_map(|record| {
        let letter = kept.letters.remove(&record.offset)?;
        Some(BadRow::again(Letter { raw: record.raw, ..letter }, record.reasons))
    });
    rejects.take(again.collect()).await?;
    let good = counters.rows.load(Ordering::Relaxed);
    let count = rejects.finish(good);
    ctx.log(format!("{} taken again", rows_text(good + count, "dead letter")));
    Ok(TaskOutput { dataset: Some(dataset), rows_rejected: count, ..TaskOutput::default() })
}

/// A dataset without rows.
pub(super) fn nothing(
    ctx: &TaskContext,
    schema: &arrow::datatypes::SchemaRef,
) -> Result<(DatasetRef, DatasetStats), DataError> {
    let folder = ipc::folder(ctx)?;
    let part = PartWriter::new(&folder, 0, schema)?.finish()?;
    ipc::dataset(&ctx.identity.task_id, &folder, schema, vec![part])
}

/// Writes the rows into a file of this try.
async fn keep(ctx: &TaskContext, replay: &Replay) -> Result<Kept, TaskError> {
    let path = ctx.scratch.join("replayed.csv");
    let failed = |error| DataError::io("writing", &path, error);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    let (mut letters, mut offset, mut after) = (HashMap::new(), 0, 0);
    loop {
        let asking = ctx.pipeline.letters(replay, after);
        let some = ctx.cancel.run_until_cancelled(asking).await;
        let some = some.unwrap_or_else(|| Err(TaskError::cancelled()))?;
        let Some(last) = some.last() else { break };
        after = last.id;
        for letter in some {
            let row = letter.raw.strip_suffix(b"\n").unwrap_or(&letter.raw);
            let row = row.strip_suffix(b"\r").unwrap_or(row);
            file.write_all(row).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
            let length = row.len() as u64 + 1;
            letters.insert(offset, Letter { raw: Vec::new(), ..letter });
            offset += length;
        }
    }
    file.flush().map_err(failed)?;
    Ok(Kept { file: path, letters })
}

type Read = ((DatasetRef, DatasetStats), Vec<subak_tasks_csv::BadRecord>);

async fn read(files: CsvFiles, name: String, folder: PathBuf) -> Result<Read, DataError> {
    let schema = Arc::clone(&files.layout.schema);
    let mut writer = PartWriter::new(&folder, 0, &schema)?;
    let mut rejected = Vec::new();
    let mut chunks = files.in_order(OnBad::Collect)?.boxed();
    while let Some(parsed) = chunks.try_next().await? {
        for batch in &parsed.batches {
            writer.write(batch)?;
        }
        rejected.extend(parsed.rejected);
    }
    Ok((ipc::dataset(&name, &folder, &schema, vec![writer.finish()?])?, rejected))
}
