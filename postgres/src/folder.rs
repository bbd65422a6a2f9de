//! The folder of an instance: its data, socket, password, log and the lock that says whose it is.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::Rng as _;
use rand::distr::Alphanumeric;
use tempfile::TempDir;

use crate::account::Account;
use crate::error::At;
use crate::spawn::become_account;
use crate::{Binaries, Options, PostgresError, SUPERUSER, leftovers, settings, template};

/// PostgreSQL refuses longer socket paths.
const SOCKET_PATH_MAX: usize = 107;
/// A log longer than this is set aside at the next start.
const LOG_MAX_BYTES: u64 = 8 << 20;

/// A prepared folder, locked for this process.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    socket: PathBuf,
    /// The socket's folder where the instance's own path is too long.
    _short_socket: Option<TempDir>,
    _lock: File,
    pub(crate) account: Account,
    pub(crate) binaries: Binaries,
    pub(crate) password: String,
}

impl Folder {
    /// Makes the folder, or checks an existing one, and takes its lock.
    pub(crate) fn prepare(options: &Options) -> Result<Self, PostgresError> {
        let root = make_root(&options.folder)?;
        let lock = lock(&root)?;
        let data = root.join("data");
        let account = Account::choose(&data)?;
        account.check_reaches(&data)?;
        leftovers::clear(&data)?;
        let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
        let binaries = Binaries::find(made_by.as_deref().map(str::trim), &data)?;
        if made_by.is_none() {
            make_data(&data, &account, &binaries, options.from_template)?;
        }
        let (socket, short_socket) = make_socket_folder(&root, &account)?;
        let password = password(&root.join("password"))?;
        let folder = Self {
            root,
            socket,
            _short_socket: short_socket,
            _lock: lock,
            account,
            binaries,
            password,
        };
        folder.write_settings(&options.settings)?;
        Ok(folder)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The password of a role, made when it is first asked for.
    pub(crate) fn role_password(&self, role: &str) -> Result<String, PostgresError> {
        password(&self.root.join(format!("password-{role}")))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Opens the log, a long one set aside first.
    pub(crate) fn open_log(&self) -> Result<File, PostgresError> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_MAX_BYTES) {
            fs::rename(&path, self.root.join("postgres.log.1")).at("setting aside", &path)?;
        }
        OpenOptions::new().create(true).append(true).open(&path).at("opening", &path)
    }

    /// Returns the log's last lines.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn write_settings(&self, extra: &[(String, String)]) -> Result<(), PostgresError> {
        let data = self.data();
        for (name, text) in
            [(settings::FILE, settings::text(extra)), ("pg_hba.conf", settings::HBA.to_owned())]
        {
            let path = data.join(name);
            fs::write(&path, text).at("writing", &path)?;
            self.account.own(&path)?;
        }
        let main = data.join("postgresql.conf");
        let include = format!("include_if_exists = '{}'", settings::FILE);
        let text = fs::read_to_string(&main).at("reading", &main)?;
        if !text.contains(&include) {
            fs::write(&main, format!("{text}\n{include}\n")).at("writing", &main)?;
        }
        Ok(())
    }
}

/// Makes the folder so that the account can pass through it and nobody can list it.
fn make_root(root: &Path) -> Result<PathBuf, PostgresError> {
    if !root.is_dir() {
        DirBuilder::new().recursive(true).mode(0o711).create(root).at("creating", root)?;
    }
    // PostgreSQL changes its working directory: its paths must be absolute.
    fs::canonicalize(root).at("resolving", root)
}

/// Takes the lock that ends with this process.
fn lock(root: &Path) -> Result<File, PostgresError> {
    let path = root.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.at("opening", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::InUse { folder: root.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error).at("locking", &path),
    }
}

/// Makes the data folder whole under another name first: a cut-off start leaves no half of one.
fn make_data(
    data: &Path,
    account: &Account,
    binaries: &Binaries,
    from_template: bool,
) -> Result<(), PostgresError> {
    let fresh = data.with_file_name("data.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).at("removing", &fresh)?;
    }
    if from_template {
        template::copy_to(&fresh, account, binaries)?;
    } else {
        initdb(&fresh, account, binaries)?;
    }
    if data.exists() {
        fs::remove_dir(data).at("replacing", data)?;
    }
    fs::rename(&fresh, data).at("naming", data)
}

/// Makes a cluster with `initdb`, as the account.
pub(crate) fn initdb(
    data: &Path,
    account: &Account,
    binaries: &Binaries,
) -> Result<(), PostgresError> {
    private_folder(data, account)?;
    let program = binaries.program("initdb");
    let mut command = Command::new(&program);
    command.arg("--pgdata").arg(data).args([
        "--username",
        SUPERUSER,
        "--auth=trust",
        "--encoding=UTF8",
        // Sorted by code point, which no upgrade of the C library changes; letters as in Unicode.
        "--lc-collate=C",
        "--lc-ctype=C.UTF-8",
        "--lc-messages=C",
    ]);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    become_account(&mut command, account);
    let output = command.output().at("running", &program)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(PostgresError::Initdb { output: String::from_utf8_lossy(&said).trim().to_owned() })
}

fn private_folder(path: &Path, account: &Account) -> Result<(), PostgresError> {
    if !path.is_dir() {
        DirBuilder::new().mode(0o700).create(path).at("creating", path)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).at("closing", path)?;
    account.own(path)
}

/// The socket lies in the instance's folder, or where that is too deep in a short one.
fn make_socket_folder(
    root: &Path,
    account: &Account,
) -> Result<(PathBuf, Option<TempDir>), PostgresError> {
    let beside = root.join("run");
    if fits(&beside) {
        private_folder(&beside, account)?;
        return Ok((beside, None));
    }
    let folder = tempfile::Builder::new().prefix("subak-").tempdir_in("/tmp");
    let folder = folder.at("creating a folder in", Path::new("/tmp"))?;
    private_folder(folder.path(), account)?;
    Ok((folder.path().to_owned(), Some(folder)))
}

fn fits(socket_folder: &Path) -> bool {
    socket_folder.as_os_str().len() + "/.s.PGSQL.65535".len() <= SOCKET_PATH_MAX
}

/// Reads a password, or makes one; only this process's account can read the file.
fn password(path: &Path) -> Result<String, PostgresError> {
    if let Ok(password) = fs::read_to_string(path)
        && !password.trim().is_empty()
    {
        return Ok(password.trim().to_owned());
    }
    let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{password}"));
    written.at("writing", path)?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_fits_up_to_the_kernel_s_limit() {
        assert!(fits(&PathBuf::from(format!("/{}", "a".repeat(91)))));
        assert!(!fits(&PathBuf::from(format!("/{}", "a".repeat(92)))));
    }
}
