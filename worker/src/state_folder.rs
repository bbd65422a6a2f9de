//! The worker's folder: one worker at a time, told apart from others across restarts.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The keeper of a worker that has just died holds the lock until all is dead.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    id: String,
    former_session: Option<u64>,
    lock: File,
}

impl StateFolder {
    /// Takes the folder over. Who has the lock knows that the former worker and its processes are
    /// dead.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        // Results, logs and inputs of tasks lie below it: nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("making `{}`", path.display()))?;
        let lock = lock(path)?;
        let id = id(path).with_context(|| format!("reading `{}`", path.display()))?;
        let former = fs::read_to_string(path.join("session")).ok();
        let former_session = former.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        let scratch = path.join("scratch");
        // What tries of a dead worker left.
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        Ok(Self { path: path.to_owned(), id, former_session, lock })
    }

    /// Stable across restarts.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The last session that a worker of this folder had.
    pub(crate) fn former_session(&self) -> Option<u64> {
        self.former_session
    }

    /// Remembers the session for the next worker of this folder.
    pub(crate) fn set_session(&self, session: u64) -> io::Result<()> {
        let fresh = self.path.join("session.new");
        fs::write(&fresh, format!("{session:016x}\n"))?;
        fs::rename(fresh, self.path.join("session"))
    }

    /// Where finished tries wait.
    pub(crate) fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// The lock, to be shared with the keeper.
    pub(crate) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = path.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
    let lock = lock.with_context(|| format!("opening `{}`", file.display()))?;
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking `{}`", file.display()));
            }
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => bail!(
                "another worker uses the state folder `{}`: give each worker its own",
                path.display()
            ),
        }
    }
}

fn id(path: &Path) -> io::Result<String> {
    let file = path.join("id");
    match fs::read_to_string(&file) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = uuid::Uuid::new_v4().to_string();
            fs::write(&file, format!("{id}\n"))?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}
