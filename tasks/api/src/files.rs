//! Which folders tasks may read and write by path.
//!
//! A path may come from a param, so from anybody who may trigger the DAG; the worker's account can
//! open far more than that person should see. What a task's own program opens is not limited by this:
//! who writes DAG files is trusted.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::TaskError;

/// Folders that paths may lead into, and folders that they may not: of those around a file the
/// innermost decides.
#[derive(Debug, Clone)]
pub struct FileAccess {
    allowed: Vec<PathBuf>,
    refused: Vec<PathBuf>,
}

impl FileAccess {
    /// Access to `allowed` without `refused`. Relative folders are taken from the working folder;
    /// those that do not exist yet count as they are written.
    pub fn new(
        allowed: impl IntoIterator<Item = PathBuf>,
        refused: impl IntoIterator<Item = PathBuf>,
    ) -> io::Result<Self> {
        Ok(Self {
            allowed: allowed.into_iter().map(|path| resolve(&path)).collect::<io::Result<_>>()?,
            refused: refused.into_iter().map(|path| resolve(&path)).collect::<io::Result<_>>()?,
        })
    }

    /// Access to every folder that the account can open: where the caller is the account's owner.
    #[must_use]
    pub fn everywhere() -> Self {
        Self { allowed: vec![PathBuf::from("/")], refused: Vec::new() }
    }

    /// Checks where a path leads once links and `..` are followed; the file need not exist.
    pub fn check(&self, path: &Path) -> Result<(), TaskError> {
        let place = resolve(path).map_err(|error| {
            TaskError::permanent(format!("{} cannot be followed: {error}", path.display()))
        })?;
        let innermost = |folders: &[PathBuf]| {
            let around = folders.iter().filter(|folder| place.starts_with(folder));
            around.map(|folder| folder.components().count()).max()
        };
        let (allowed, refused) = (innermost(&self.allowed), innermost(&self.refused));
        if allowed.is_some() && allowed > refused {
            return Ok(());
        }
        let path = path.display();
        if refused.is_some() {
            return Err(TaskError::permanent(format!(
                "{path} is in a folder that Subak keeps for itself: name another"
            )));
        }
        let allowed: Vec<_> =
            self.allowed.iter().map(|folder| folder.display().to_string()).collect();
        Err(TaskError::permanent(format!(
            "{path} is outside of what tasks may read and write here ({}): move the file, or start \
             the worker with --files (SUBAK_FILES) naming its folder too",
            allowed.join(", ")
        )))
    }
}

/// The absolute path with the links of its existing part followed.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut existing = absolute.as_path();
    let mut rest = Vec::new();
    let mut found = loop {
        match existing.canonicalize() {
            Ok(found) => break found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere would be followed when the file is made.
                if existing.is_symlink() {
                    return Err(error);
                }
                let (Some(parent), Some(last)) =
                    (existing.parent(), existing.components().next_back())
                else {
                    return Err(error);
                };
                rest.push(last);
                existing = parent;
            }
            Err(error) => return Err(error),
        }
    };
    for part in rest.into_iter().rev() {
        match part {
            Component::Normal(name) => found.push(name),
            _ => return Err(io::Error::other("`..` behind a folder that does not exist")),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_innermost_folder_decides_once_links_are_followed() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        fs::create_dir_all(at("work/.data/demo")).unwrap();
        fs::create_dir_all(at("outside")).unwrap();
        fs::write(at("outside/secret.csv"), "").unwrap();
        symlink(at("outside"), at("work/link")).unwrap();
        symlink(at("outside/absent"), at("work/dangling.csv")).unwrap();
        let access =
            FileAccess::new([at("work"), at("work/.data/demo")], [at("work/.data")]).unwrap();

        let check = |path: &str, expected: &str| {
            let said =
                access.check(&at(path)).map_or_else(|error| error.message, |()| String::new());
            let fits = if expected.is_empty() { said.is_empty() } else { said.contains(expected) };
            assert!(fits, "{path}: `{said}`");
        };
        check("work/in.csv", "");
        check("work/new/folder/out.csv", "");
        check("work/.data/demo/in.csv", "");
        check("work/.data/secret.key", "keeps for itself");
        check("work/x/../.data/secret.key", "`..` behind");
        check("work/../outside/secret.csv", "outside of what tasks may read");
        check("outside/secret.csv", "start the worker with --files");
        check("work/link/secret.csv", "outside of what tasks");
        check("work/dangling.csv", "cannot be followed");
        check("workshop/in.csv", "outside of what tasks");
        assert!(FileAccess::everywhere().check(&at("outside/secret.csv")).is_ok());
    }
}
