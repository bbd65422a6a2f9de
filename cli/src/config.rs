//! Settings that several subcommands share, from flags and environment.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use subak_store::{EncryptionKey, Storage, Store};

use crate::key;

/// Where the metadata database is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Metadata {
    /// PostgreSQL of the metadata; left out: the one that `subak standalone` runs in --data.
    #[arg(long, env = "SUBAK_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Folder of `subak standalone`.
    #[arg(long, env = "SUBAK_DATA", default_value = ".data", value_name = "FOLDER")]
    data: PathBuf,
    /// Where datasets and the rest of large logs are kept: a folder or file:// URL that all servers
    /// and workers reach; left out: `storage` in --data.
    #[arg(long, env = "SUBAK_STORAGE", value_name = "URL")]
    storage: Option<String>,
}

/// Written by `subak standalone` for the other subcommands; readable by its user only.
pub(crate) const STANDALONE_FILE: &str = "standalone.json";

/// Datasets and large logs, in the data folder.
pub(crate) const STORAGE_FOLDER: &str = "storage";

impl Metadata {
    /// The database's URL, if one was named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Returns the database's URL, or says how to name one.
    pub(crate) fn database_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.database_url {
            return Ok(url.clone());
        }
        let file = self.data.join(STANDALONE_FILE);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "no Subak runs on `{}`: start one with `subak standalone`, name a database with \
                 SUBAK_DATABASE_URL, or a server with --server",
                self.data.display()
            )
        })?;
        let standalone: Standalone =
            serde_json::from_str(&text).with_context(|| format!("reading `{}`", file.display()))?;
        Ok(standalone.database_url)
    }

    /// The address of standalone's pages, if it runs on the data folder.
    pub(crate) fn server_url(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.data.join(STANDALONE_FILE)).ok()?;
        serde_json::from_str(&text).ok().map(|standalone: Standalone| standalone.url)
    }

    /// Opens the storage for a server.
    pub(crate) async fn store_and_storage(&self) -> anyhow::Result<Store> {
        let store = self.store().await?;
        store.schema_check().await?;
        let installation = store.installation().await.context("reading the installation's id")?;
        let storage = Storage::open(&self.storage(), &installation.to_string())?;
        Ok(store.with_storage(storage))
    }

    /// Where the storage is.
    pub(crate) fn storage(&self) -> String {
        let inside = || self.data.join(STORAGE_FOLDER).display().to_string();
        self.storage.clone().unwrap_or_else(inside)
    }

    /// Connects to the metadata database.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let url = self.database_url()?;
        Store::connect(&url)
            .await
            .with_context(|| format!("connecting to {}", without_secret(&url)))
    }
}

/// Which key encrypts connections; all servers of an installation have the same.
#[derive(Clone, Args)]
pub(crate) struct KeySource {
    /// The key that encrypts connections: 64 hexadecimal digits.
    #[arg(skip = std::env::var("SUBAK_SECRET_KEY").ok())]
    secret_key: Option<String>,
    /// File of the key; left out: `SUBAK_SECRET_KEY`, or the key in the data folder.
    #[arg(long, env = "SUBAK_SECRET_KEY_FILE", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
}

impl KeySource {
    /// Reads the key, or says how to name one.
    pub(crate) fn load(&self, metadata: &Metadata) -> anyhow::Result<EncryptionKey> {
        if let Some(file) = &self.secret_key_file {
            return key::read(file);
        }
        if let Some(text) = &self.secret_key {
            return key::parse(text).context("in SUBAK_SECRET_KEY");
        }
        key::read(&metadata.data.join(key::KEY_FILE)).context(
            "no key to encrypt connections: name its file with SUBAK_SECRET_KEY_FILE; the servers need the same",
        )
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource")
            .field("secret_key_file", &self.secret_key_file)
            .finish_non_exhaustive()
    }
}

/// The machine's name, or a name that says that it has none.
pub(crate) fn machine_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// The address that signs in once.
pub(crate) fn sign_in_url(server: &str, secret: &str) -> String {
    format!("{server}{}", subak_server::auth::sign_in_path(secret))
}

/// Where a running `subak standalone` is to be found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standalone {
    pub(crate) database_url: String,
    /// Of the pages.
    pub(crate) url: String,
}

/// The URL without its password.
fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "the database".to_owned() };
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_secret("postgres://me:pa@ss@db/x"), "postgres://me@db/x");
        assert_eq!(without_secret("postgres://db/x"), "postgres://db/x");
    }
}
