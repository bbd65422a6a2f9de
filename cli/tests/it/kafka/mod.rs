//! From a topic to a table, by the real product on a real broker: each record once.

mod formats;
mod kills;
mod ledger;
mod life;
mod loads;
mod mock;
mod options;
mod produce;
mod refused;
mod replays;
mod script;
mod topics;
mod world;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_the_ledger_is_written_has_loaded_nothing() -> anyhow::Result<()> {
    ledger::killed_while_it_is_written(&[]).await
}
