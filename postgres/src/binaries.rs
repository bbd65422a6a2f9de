//! Finds PostgreSQL's server binaries.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::PostgresError;
use crate::error::At;

/// A folder with `postgres` and `initdb`, and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub folder: PathBuf,
    /// What `postgres --version` says: `15.13`.
    pub version: String,
}

/// Where packages put the binaries, below each version's folder.
const PACKAGED: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/usr/libexec", "postgresql"), ("/usr", "pgsql-")];

impl Binaries {
    /// Finds the newest binaries of the machine, or those of major version `major`.
    pub(crate) fn find(major: Option<&str>, data: &Path) -> Result<Self, PostgresError> {
        let mut found = Vec::new();
        for folder in candidates() {
            let binaries = Self::at(folder)?;
            if major.is_none_or(|major| binaries.major() == major) {
                return Ok(binaries);
            }
            found.push(binaries.version);
        }
        match major {
            Some(major) if !found.is_empty() => Err(PostgresError::WrongVersion {
                data: data.to_owned(),
                made_by: major.to_owned(),
                found: found.join(", "),
            }),
            _ => Err(PostgresError::NoBinaries {
                looked: "`SUBAK_PG_BIN`, `/usr/lib/postgresql/*/bin`, `PATH`".to_owned(),
            }),
        }
    }

    /// Major version: `15`.
    #[must_use]
    pub fn major(&self) -> &str {
        self.version.split_once('.').map_or(&self.version, |(major, _)| major)
    }

    /// Path of a program among them, `psql` for one.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn at(folder: PathBuf) -> Result<Self, PostgresError> {
        let program = folder.join("postgres");
        let output = Command::new(&program).arg("--version").output().at("running", &program)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self { folder, version: version_in(&text).unwrap_or_default() })
    }
}

/// Takes `15.13` out of `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
}

/// Folders that hold both binaries, the preferred ones first.
fn candidates() -> Vec<PathBuf> {
    if let Some(chosen) = env::var_os("SUBAK_PG_BIN") {
        return complete(vec![PathBuf::from(chosen)]);
    }
    let mut folders: Vec<PathBuf> = PACKAGED.iter().flat_map(|(at, of)| versions(at, of)).collect();
    let path = env::var_os("PATH").unwrap_or_default();
    folders.extend(env::split_paths(&path));
    complete(folders)
}

/// `bin` folders of the versions under `parent`, newest first.
fn versions(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.parse().ok()?;
            let bin = entry.path().join("bin");
            Some((version, if bin.is_dir() { bin } else { entry.path() }))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

fn complete(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders
        .into_iter()
        .filter(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_packages_print() {
        let debian = "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n";
        assert_eq!(version_in(debian).as_deref(), Some("15.13"));
        assert_eq!(version_in("postgres (PostgreSQL) 18beta1").as_deref(), Some("18beta1"));
        assert_eq!(version_in("nothing here"), None);
    }

    #[test]
    fn another_version_than_the_folder_s_is_named_with_the_package() {
        let error = Binaries::find(Some("7"), Path::new("/data")).unwrap_err().to_string();
        assert!(error.contains("made by PostgreSQL 7"), "{error}");
        assert!(error.contains("apt-get install postgresql-7"), "{error}");
    }
}
