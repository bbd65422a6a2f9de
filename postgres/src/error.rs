//! What can go wrong, said so that a user knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A private PostgreSQL could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL on this machine (looked in {looked}): install it with \
         `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora) or \
         `apk add postgresql` (Alpine), or set `SUBAK_PG_BIN` to the folder of `postgres` and `initdb`"
    )]
    NoBinaries { looked: String },
    #[error(
        "`{}` was made by PostgreSQL {made_by}, but this machine has {found}: \
         `apt-get install postgresql-{made_by}`, or move it with `pg_upgrade`", data.display()
    )]
    WrongVersion { data: PathBuf, made_by: String, found: String },
    #[error(
        "PostgreSQL does not run as root and this machine has none of the accounts {tried}: \
         `useradd --system postgres`, or start as another user"
    )]
    NoAccount { tried: String },
    #[error(
        "account `{account}`, which PostgreSQL runs as, cannot enter `{}`, on the way to `{}`: \
         choose a folder that every account can reach (`/var/lib/subak`), or `chmod o+x` it",
        blocked.display(), folder.display()
    )]
    Unreachable { account: String, blocked: PathBuf, folder: PathBuf },
    #[error("`{}` is in use by another process: stop that one first", folder.display())]
    InUse { folder: PathBuf },
    #[error("process {pid} still uses `{}` and does not end: `kill -9 {pid}`", data.display())]
    Leftover { pid: i32, data: PathBuf },
    #[error("port {port} on 127.0.0.1 is taken: choose another, or stop what listens there")]
    PortTaken { port: u16 },
    #[error("`initdb` failed:\n{output}")]
    Initdb { output: String },
    #[error("PostgreSQL ended while starting ({status}); the end of its log `{}`:\n{tail}", log.display())]
    Ended { status: String, log: PathBuf, tail: String },
    #[error("PostgreSQL was not ready after {secs} s; the end of its log `{}`:\n{tail}", log.display())]
    NotReady { secs: u64, log: PathBuf, tail: String },
    #[error("{doing} `{}`", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{doing}")]
    Sql { doing: &'static str, source: sqlx::Error },
}

/// Names the file and what was done with it.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PostgresError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, PostgresError> {
        self.map_err(|source| PostgresError::Io { doing, path: path.to_owned(), source })
    }
}
