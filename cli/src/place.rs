//! Where a command looks: into the metadata database, or at a server that is elsewhere.

use anyhow::bail;
use clap::Args;
use subak_store::Store;

use crate::config::Metadata;
use crate::remote::{Elsewhere, Server};

/// The metadata database, or a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    metadata: Metadata,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// What was meant.
pub(crate) enum At {
    Database(Box<Store>),
    Server(Box<Server>),
}

impl Place {
    /// Opens what was meant.
    pub(crate) async fn open(&self) -> anyhow::Result<At> {
        match self.server()? {
            Some(server) => Ok(At::Server(Box::new(server))),
            None => Ok(At::Database(Box::new(self.metadata.store().await?))),
        }
    }

    /// The same, with the storage of large logs and values.
    pub(crate) async fn open_with_storage(&self) -> anyhow::Result<At> {
        match self.server()? {
            Some(server) => Ok(At::Server(Box::new(server))),
            None => Ok(At::Database(Box::new(self.metadata.store_and_storage().await?))),
        }
    }

    /// Returns the server that is meant, if it is one.
    pub(crate) fn server(&self) -> anyhow::Result<Option<Server>> {
        self.address()?.map(|url| self.elsewhere.connect(&url)).transpose()
    }

    /// The metadata, of a command that no server can be asked for; `instead` says what to do then.
    pub(crate) fn here(&self, instead: &str) -> anyhow::Result<&Metadata> {
        match self.address()? {
            None => Ok(&self.metadata),
            Some(url) => bail!(
                "this command works on the metadata database, and not at {url}: {instead}, or run it \
                 where the database is, with --database-url or without --server and SUBAK_SERVER"
            ),
        }
    }

    /// The metadata: only where it was found to be meant.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn address(&self) -> anyhow::Result<Option<String>> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let database = self.metadata.named();
        let is_flag = database.is_some() && database != set("SUBAK_DATABASE_URL").as_deref();
        match (self.elsewhere.named(), set("SUBAK_SERVER")) {
            (Some(_), _) if is_flag => {
                bail!("--server and --database-url are two places: name one")
            }
            (Some(url), _) => Ok(Some(url.to_owned())),
            (None, Some(_)) if is_flag => Ok(None),
            (None, Some(_)) if database.is_some() => bail!(
                "SUBAK_SERVER and SUBAK_DATABASE_URL are both set: say which with --server or \
                 --database-url, or unset one"
            ),
            (None, url) => Ok(url),
        }
    }
}
