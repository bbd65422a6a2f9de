//! Folders of instances that live as long as a test.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use crate::error::At;
use crate::{PostgresError, leftovers};

const PREFIX: &str = "subak-pg-";

/// Makes a folder in the system's temporary folder, and removes those of processes that were killed.
pub(crate) fn folder() -> Result<TempDir, PostgresError> {
    let parent = std::env::temp_dir();
    sweep(&parent);
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(fs::Permissions::from_mode(0o711))
        .tempdir_in(&parent);
    folder.at("creating a folder in", &parent)
}

/// Removes folders whose lock nobody holds and in which no process works.
fn sweep(parent: &Path) {
    let uid = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir() && it.uid() == uid);
        // One without a lock file is just being made.
        let Some(lock) = ours.then(|| File::open(path.join("lock")).ok()).flatten() else {
            continue;
        };
        if lock.try_lock().is_ok() && leftovers::processes_in(&path.join("data")).is_empty() {
            // What cannot be removed now is looked at again next time.
            let _ = fs::remove_dir_all(&path);
        }
    }
}
