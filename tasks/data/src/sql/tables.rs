//! Datasets as tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::datasource::file_format::options::ParquetReadOptions;
use datafusion::prelude::SessionContext;
use subak_task::{DatasetRef, ScanCounts, Source};

use super::ipc_table::IpcTable;
use crate::csv::scan::{Counters, CsvTable};
use crate::csv::whole::Whole;
use crate::dataset::{reader, reference};
use crate::error::DataError;

/// Tables of one query: name to dataset.
pub(crate) type Tables = BTreeMap<String, DatasetRef>;

/// Registers datasets as tables; what is read of CSV files is counted in
/// `counters`, and in `counts` once it was all of them.
pub(crate) async fn register(
    session: &SessionContext,
    tables: &Tables,
    counters: &Arc<Counters>,
    counts: &Arc<ScanCounts>,
) -> Result<(), DataError> {
    for (name, dataset) in tables {
        // A bare reference: a task id may hold dots and capitals.
        let table = datafusion::common::TableReference::bare(name.as_str());
        match &dataset.source {
            Source::Csv { urls, options } => {
                let options = reader::csv_options(options)?;
                let provider = CsvTable {
                    files: reference::paths(urls)?,
                    schema: options.schema()?,
                    options,
                    counters: Arc::clone(counters),
                    whole: Some(Whole {
                        dataset: dataset.name.clone(),
                        counts: Arc::clone(counts),
                    }),
                };
                session.register_table(table, Arc::new(provider))?;
            }
            Source::Ipc { urls } => {
                let provider = IpcTable::new(reference::paths(urls)?, reference::schema(dataset)?);
                session.register_table(table, Arc::new(provider))?;
            }
            Source::Parquet { urls } => {
                let options =
                    ParquetReadOptions { file_extension: "", ..ParquetReadOptions::default() };
                let view = session.read_parquet(urls.clone(), options).await?.into_view();
                session.register_table(table, view)?;
            }
        }
    }
    Ok(())
}
