//! What standalone prints once it is ready.

use std::path::PathBuf;
use std::time::Duration;

use subak_store::Store;
use subak_store::access::{Role, User};
use subak_store::read::DagFilter;

use crate::config::sign_in_url;
use crate::output;

/// How to reach everything.
#[derive(Clone)]
pub(crate) struct Announcement {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) data: PathBuf,
    pub(crate) dags: PathBuf,
    pub(crate) psql_line: String,
}

/// The user of the sign-in link.
const ADMIN: &str = "admin";
/// The link is good for so long, once.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

impl Announcement {
    /// Prints it, with a new sign-in link.
    pub(crate) async fn print(&self) -> anyhow::Result<()> {
        let link = self.store.sign_in_link_create(&self.admin().await?, LINK_LIFE).await?;
        let dags = self.store.dag_list(&DagFilter::default(), 1, 0).await?.total;
        let errors = self.store.import_error_list(1, 0).await?.total;
        output::line(format!("Subak {} runs, until Ctrl-C.", env!("CARGO_PKG_VERSION")))?;
        output::line(format!("  pages      {}", self.url))?;
        output::line(format!("  sign in    {}  (once)", sign_in_url(&self.url, link.expose())))?;
        output::line(format!("  warehouse  {}", self.psql_line))?;
        output::line(format!(
            "  DAG files  {}: {dags} loaded, {errors} with errors",
            self.dags.display()
        ))?;
        output::line(format!("  data       {}", self.data.display()))?;
        Ok(())
    }

    async fn admin(&self) -> anyhow::Result<User> {
        match self.store.user_named(ADMIN).await? {
            Some(user) => Ok(user),
            None => Ok(self.store.user_create(ADMIN, None, Role::Admin).await?),
        }
    }
}
