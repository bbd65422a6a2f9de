//! Puts a worker together.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::host::Host;
use crate::keeper::Keeper;
use crate::registry::Registry;
use crate::session::{Session, flush_logs};
use crate::spool::Spool;
use crate::state_folder::StateFolder;

/// A worker: it runs what the servers hand it.
pub struct Worker {
    config: Config,
}

impl Worker {
    /// Makes a worker; [`Worker::run`] starts it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Works until `stop`: then it takes no more tries, lets the running ones end within
    /// [`Config::drain`], reports them and returns. What could not be reported waits on disk.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        self.config.check()?;
        let folder = StateFolder::open(&self.config.state_folder)?;
        let (spool, left) = Spool::open(folder.spool()).context("opening the spool")?;
        let keeper = Keeper::start(self.config.keeper.clone(), Some(folder.share_lock()?))
            .context("starting the keeper")?;
        let keeper = Arc::new(keeper);
        let registry = Registry::built_in(self.config.grace);
        let datasets = subak_tasks_data::reader();
        let processes = Arc::clone(&keeper) as _;
        let host = Host::new(&self.config, registry, datasets, processes, keeper.mark())?;
        let config = Arc::new(self.config);
        let (session, logs) = Session::new(config, Arc::new(host), folder, spool, left)?;
        let flusher = tokio::spawn(flush_logs(logs));
        let result = session.run(stop).await;
        flusher.abort();
        result
    }
}
