//! The data folder of standalone: private to its user.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use subak_store::EncryptionKey;

use crate::config::{STANDALONE_FILE, Standalone};
use crate::key;

/// The data folder, absolute.
pub(crate) struct DataFolder {
    path: PathBuf,
}

/// The longest path of a Unix socket, on every system.
const SOCKET_PATH_MOST: usize = 100;

impl DataFolder {
    /// Makes the folder if it is absent.
    pub(crate) fn prepare(path: &Path) -> anyhow::Result<Self> {
        // PostgreSQL may run as another user below it, and sees no file of it.
        let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
        let path = made
            .and_then(|()| fs::canonicalize(path))
            .with_context(|| format!("making the data folder `{}`", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the key that encrypts connections; drawn at the first start.
    pub(crate) fn secret_key(&self) -> anyhow::Result<EncryptionKey> {
        let file = self.path.join(key::KEY_FILE);
        if !file.exists() {
            self.write_private(key::KEY_FILE, key::draw().as_bytes())?;
        }
        key::read(&file)
    }

    /// The socket at which the worker joins: here, or in a private temporary folder where the path
    /// would be too long.
    pub(crate) fn socket(&self) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
        let path = self.path.join("workers.sock");
        if path.as_os_str().len() <= SOCKET_PATH_MOST {
            return Ok((path, None));
        }
        let folder = tempfile::tempdir().context("making a folder for the worker's socket")?;
        Ok((folder.path().join("workers.sock"), Some(folder)))
    }

    /// Tells the other subcommands where database and pages are.
    pub(crate) fn announce(&self, standalone: &Standalone) -> anyhow::Result<()> {
        self.write_private(STANDALONE_FILE, &serde_json::to_vec_pretty(standalone)?)
    }

    /// Takes that back. A file left behind names a database that does not answer, no harm.
    pub(crate) fn retract(&self) {
        let _ = fs::remove_file(self.path.join(STANDALONE_FILE));
    }

    /// Writes a file that only its user may read, whole or not at all.
    fn write_private(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let (temporary, file) = (self.path.join(format!(".{name}")), self.path.join(name));
        let write = || -> io::Result<()> {
            let _ = fs::remove_file(&temporary);
            let mut out =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            out.write_all(content)?;
            out.sync_all()?;
            fs::rename(&temporary, &file)
        };
        write().with_context(|| format!("writing `{}`", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_drawn_once_and_only_its_user_may_read_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = DataFolder::prepare(&place.path().join("data")).unwrap();
        let first = folder.secret_key().unwrap().id;
        assert_eq!(folder.secret_key().unwrap().id, first);
        let file = folder.path().join(key::KEY_FILE);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_long_path_has_its_socket_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let folder = DataFolder::prepare(&place.path().join("x".repeat(200))).unwrap();
        let (socket, temporary) = folder.socket().unwrap();
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MOST);
        assert!(temporary.is_some());
    }
}
