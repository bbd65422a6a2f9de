//! Notes what successful tasks have made, in the transaction that records their ends. A DAG without
//! outlets costs nothing.

use subak_core::dag::model::Asset;
use subak_core::state::TaskState;
use subak_store::NewAssetEvent;
use subak_store::engine::{EngineTx, HistoryRow};

use super::Work;

impl Work<'_> {
    /// Notes the assets of task instances whose ends are about to be written.
    pub(super) async fn note_assets(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        if self.runs.values().all(|work| !work.plan.has_outlets) {
            return Ok(());
        }
        let rows = self.apply.history.iter();
        let made: Vec<NewAssetEvent> = rows.flat_map(|row| self.made_by(row)).collect();
        if !made.is_empty() {
            tx.asset_events_put(&made).await?;
        }
        Ok(())
    }

    /// Nothing is made by somebody's mark.
    fn made_by(&self, row: &HistoryRow) -> Vec<NewAssetEvent> {
        if row.state != TaskState::Success || row.cause.is_some() {
            return Vec::new();
        }
        let plan = self.runs.get(&row.key.run).map(|work| &work.plan);
        let task = plan.and_then(|plan| Some(plan.spec(plan.task(row.key.task)?)));
        let outlets = task.map(|task| task.outlets.as_slice()).unwrap_or_default();
        let event = |asset: &Asset| NewAssetEvent {
            key: row.key,
            name: asset.name.clone(),
            uri: asset.uri.clone(),
        };
        outlets.iter().map(event).collect()
    }
}
