//! What ended tries leave: the ends of their logs, XComs, datasets, dead letters.

use serde_json::json;
use subak_core::template::XComKey;
use subak_core::xcom;
use subak_store::engine::EngineTx;
use subak_store::{NewDataset, NewLogChunk, NewScanCount, NewXCom, StoreError};

use crate::engine::Core;
use crate::engine::report::{Outcome, TryReport};

/// A log of one chunk up to this size lies in the history row.
const INLINE_LOG_BYTES: usize = 2_048;

/// Keeps last chunks of logs that do not fit into the history row.
pub(super) async fn record_chunks(core: &Core, reports: &[&TryReport]) -> Result<(), StoreError> {
    let chunks: Vec<NewLogChunk> = reports
        .iter()
        .filter_map(|report| {
            let log = report.log.as_ref().filter(|_| inline_log(report).is_none())?;
            Some(NewLogChunk {
                fence: report.fence,
                sequence: log.sequence,
                first_line: log.first_line,
                lines: log.lines,
                lz4: log.lz4.clone(),
            })
        })
        .collect();
    if chunks.is_empty() {
        return Ok(());
    }
    core.store.log_keep(&chunks).await
}

/// The log, where it is one small chunk that lies in the history row.
pub(super) fn inline_log(report: &TryReport) -> Option<&[u8]> {
    let log = report.log.as_ref()?;
    (log.sequence == 0 && log.lz4.len() <= INLINE_LOG_BYTES).then_some(&log.lz4)
}

/// Keeps what accepted tries hand on.
pub(super) async fn keep_results(
    tx: &mut EngineTx<'_>,
    installation: &str,
    accepted: &[&TryReport],
) -> Result<(), StoreError> {
    let (mut xcoms, mut datasets) = (Vec::new(), Vec::new());
    let (mut scans, mut letters) = (Vec::new(), Vec::new());
    for report in accepted {
        let key = report.fence.instance;
        // Only what has succeeded returns something, whatever a worker says.
        let has_result = matches!(report.outcome, Outcome::Success);
        let handed_on =
            report.xcoms.iter().filter(|xcom| has_result || xcom.key != XComKey::RETURN_VALUE);
        xcoms.extend(handed_on.map(|xcom| NewXCom {
            key,
            name: xcom.key.clone(),
            value: match xcom.large {
                // Nothing of it is to be hidden; null would mean that there is no value.
                Some(_) if xcom.value.is_null() => json!([]),
                _ => xcom.value.clone(),
            },
            shown: xcom.shown.clone(),
            large: xcom.large.map(|large| {
                let object = xcom::object(installation, key, report.fence.token);
                (object, i64::try_from(large.bytes).unwrap_or(i64::MAX))
            }),
        }));
        datasets.extend(report.datasets.iter().map(|dataset| NewDataset {
            key,
            name: dataset.name.clone(),
            reference: dataset.reference.clone(),
            stats: dataset.stats.clone(),
            preview: dataset.preview.clone(),
        }));
        scans.extend(report.scans.iter().map(|(task_id, rows)| NewScanCount {
            run: key.run,
            task_id: task_id.clone(),
            map_index: key.map_index.0,
            rows: i64::try_from(*rows).unwrap_or(i64::MAX),
        }));
        if report.dead_letters {
            letters.push(report.fence.token);
        }
    }
    tx.xcoms_put(&xcoms).await?;
    tx.datasets_put(&datasets).await?;
    tx.scans_count(&scans).await?;
    if !letters.is_empty() {
        tx.dead_letters_show(&letters).await?;
    }
    Ok(())
}
