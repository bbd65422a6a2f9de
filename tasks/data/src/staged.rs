//! Writes a file whole or not at all: under a staging name, then renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use subak_task::TaskIdentity;

use crate::error::DataError;

/// A file being written; dropped before [`StagedFile::publish`], it leaves nothing behind.
pub(crate) struct StagedFile {
    target: PathBuf,
    staging: PathBuf,
    published: bool,
}

impl StagedFile {
    /// Makes the staging file beside `target`. Its name is the task's: a later try replaces it.
    pub(crate) fn create(target: &Path, task: &TaskIdentity) -> Result<(Self, File), DataError> {
        let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            DataError::permanent(format!("{} is not the name of a file", target.display()))
        })?;
        if target.is_dir() {
            return Err(DataError::permanent(format!(
                "{} is a folder: name the file to write",
                target.display()
            )));
        }
        let folder = folder(target);
        fs::create_dir_all(folder)
            .map_err(|error| DataError::io("making the folder", folder, error))?;
        let staging = folder
            .join(format!(".{name}.{}.{}.{}.part", task.run_uuid, task.task_id, task.map_index));
        let file =
            File::create(&staging).map_err(|error| DataError::io("writing", target, error))?;
        Ok((Self { target: target.to_owned(), staging, published: false }, file))
    }

    /// Puts the file on disk and gives it its name; returns its size.
    pub(crate) fn publish(mut self, file: &File) -> Result<u64, DataError> {
        self.put(file).map_err(|error| DataError::io("writing", &self.target, error))
    }

    fn put(&mut self, file: &File) -> io::Result<u64> {
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        fs::rename(&self.staging, &self.target)?;
        self.published = true;
        // The name survives a power failure only once the folder is on disk.
        File::open(folder(&self.target))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing is lost if it stays: the next try replaces it.
            let _ = fs::remove_file(&self.staging);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
