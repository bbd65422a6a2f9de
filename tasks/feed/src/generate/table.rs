//! Records as a dataset.

use std::sync::Arc;

use arrow::json::ReaderBuilder;
use serde_json::json;
use subak_core::operators::feed::Generate;
use subak_task::{TaskContext, TaskError, TaskOutput};

use super::position::Position;
use super::profile;

/// Rows of a batch.
const ROWS: u64 = 8_192;

/// Makes the rows of this run.
pub(super) async fn run(params: &Generate, ctx: &TaskContext) -> Result<TaskOutput, TaskError> {
    let mut position = Position::begin(ctx).await?;
    let count = params
        .count
        .ok_or_else(|| TaskError::permanent("a dataset needs `count`: how many rows it has"))?;
    let (from, to) = (position.from, position.from.saturating_add(count));
    let schema = Arc::new(profile::schema(params.profile));
    let mut writer = ctx.datasets.writer(Arc::clone(&schema), ctx)?;
    let (profile, seed, cancel) = (params.profile, params.seed, ctx.cancel.clone());
    let progress = Arc::clone(&ctx.progress);
    let making = move || {
        let mut decoder = ReaderBuilder::new(schema)
            .with_coerce_primitive(true)
            .with_batch_size(usize::try_from(ROWS).unwrap_or(usize::MAX))
            .build_decoder()
            .map_err(TaskError::permanent)?;
        let mut next = from;
        while next < to {
            if cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let until = to.min(next + ROWS);
            let rows: Vec<_> = (next..until).map(|n| profile::record(profile, seed, n)).collect();
            decoder.serialize(&rows).map_err(TaskError::permanent)?;
            if let Some(batch) = decoder.flush().map_err(TaskError::permanent)? {
                writer.write(&batch)?;
            }
            next = until;
            progress.progress(next - from, 0, "rows made");
        }
        writer.finish(Vec::new())
    };
    let made = tokio::task::spawn_blocking(making).await;
    let dataset = made.map_err(|error| TaskError::permanent(format!("making rows: {error}")))??;
    position.next = to;
    position.keep(ctx).await?;
    ctx.log(format!("{count} rows made"));
    let value = json!({ "rows": count, "from": from, "next": to });
    Ok(TaskOutput { value: Some(value), dataset: Some(dataset), rows_rejected: 0 })
}
