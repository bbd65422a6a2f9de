//! New data folders for tests: `initdb` once per version, then copies.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::At;
use crate::folder::initdb;
use crate::{Binaries, PostgresError};

/// Changes when `initdb`'s arguments do.
const RECIPE: u32 = 1;

/// Makes `data` a copy of the template, which is made first where it is missing.
pub(crate) fn copy_to(
    data: &Path,
    account: &Account,
    binaries: &Binaries,
) -> Result<(), PostgresError> {
    let template = template(account, binaries)?;
    copy(&template, data, account)
}

/// Returns the template of this version and account.
fn template(account: &Account, binaries: &Binaries) -> Result<PathBuf, PostgresError> {
    let cache = cache()?;
    let name = format!("{}-{}-{RECIPE}", binaries.version.replace('/', "_"), account.uid);
    let template = cache.join(&name);
    let lock = cache.join("lock");
    let guard = File::create(&lock).at("opening", &lock)?;
    guard.lock().at("locking", &lock)?;
    if !template.is_dir() {
        let fresh = cache.join(format!("{name}.new"));
        if fresh.exists() {
            fs::remove_dir_all(&fresh).at("removing", &fresh)?;
        }
        initdb(&fresh, account, binaries)?;
        fs::rename(&fresh, &template).at("naming", &template)?;
    }
    Ok(template)
}

/// Returns the cache's folder. It lies where other accounts could put one first: it must be ours.
fn cache() -> Result<PathBuf, PostgresError> {
    let uid = rustix::process::geteuid().as_raw();
    let cache = env::temp_dir().join(format!("subak-postgres-templates-{uid}"));
    match DirBuilder::new().mode(0o711).create(&cache) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).at("creating", &cache);
        }
        _ => {}
    }
    let owned = fs::symlink_metadata(&cache).is_ok_and(|it| it.is_dir() && it.uid() == uid);
    let owned = if owned { Ok(()) } else { Err(std::io::ErrorKind::PermissionDenied.into()) };
    owned.at("using a folder that is not this account's own", &cache)?;
    Ok(cache)
}

fn copy(from: &Path, to: &Path, account: &Account) -> Result<(), PostgresError> {
    DirBuilder::new().mode(0o700).create(to).at("creating", to)?;
    account.own(to)?;
    for entry in fs::read_dir(from).at("reading", from)? {
        let entry = entry.at("reading", from)?;
        let target = to.join(entry.file_name());
        if entry.file_type().at("reading", from)?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target).at("copying", &target)?;
            account.own(&target)?;
        }
    }
    Ok(())
}
