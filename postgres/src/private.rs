//! A private PostgreSQL: start, addresses, stop, and the faults that tests inject.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::At;
use crate::folder::Folder;
use crate::process::Postmaster;
use crate::spawn::become_account;
use crate::{Binaries, Options, PostgresError, SUPERUSER, TcpPort, leftovers, temporary};

/// The port that names the socket where TCP is off.
const SOCKET_PORT: u16 = 5432;
/// Pause between two attempts to connect while PostgreSQL starts.
const CONNECT_EVERY: Duration = Duration::from_millis(4);

/// A PostgreSQL of this process's own. Dropped, it is shut down.
#[derive(Debug)]
pub struct PrivatePostgres {
    // Declared first: the postmaster ends before its folder is unlocked or removed.
    postmaster: Postmaster,
    folder: Folder,
    temporary: Option<TempDir>,
    options: Options,
    port: u16,
}

impl PrivatePostgres {
    /// Starts PostgreSQL in the folder, which is made if absent, and returns once it answers.
    pub async fn start(options: Options) -> Result<Self, PostgresError> {
        let (options, folder) = blocking(move || {
            let folder = Folder::prepare(&options)?;
            Ok((options, folder))
        })
        .await?;
        let port = match options.tcp {
            None => SOCKET_PORT,
            Some(TcpPort::Fixed(port)) => checked_port(port)?,
            Some(TcpPort::Free) => checked_port(0)?,
        };
        let postmaster = spawn(&folder, &options, port)?;
        let started = Self { postmaster, folder, temporary: None, options, port };
        started.ready().await?;
        if started.options.tcp.is_some() {
            started.set_password().await?;
        }
        Ok(started)
    }

    /// Starts one for a test: in a temporary folder, from the template, removed when dropped.
    pub async fn temporary() -> Result<Self, PostgresError> {
        Self::temporary_with(|options| options).await
    }

    /// Starts one for a test with further options.
    pub async fn temporary_with(
        with: impl FnOnce(Options) -> Options,
    ) -> Result<Self, PostgresError> {
        let folder = temporary::folder()?;
        let options = Options::new(folder.path()).from_template().set("shared_buffers", "32MB");
        let mut started = Self::start(with(options)).await?;
        started.temporary = Some(folder);
        Ok(started)
    }

    /// The URL of a database on the Unix socket, for sqlx and for `psql`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let socket = percent_encoded(&self.socket_dir().to_string_lossy());
        let database = percent_encoded(database);
        format!("postgres://{SUPERUSER}@{socket}:{}/{database}", self.port)
    }

    /// The URL of a database on 127.0.0.1, password included; `None` where TCP is off.
    #[must_use]
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        let port = self.tcp_port()?;
        let database = percent_encoded(database);
        Some(format!("postgres://{SUPERUSER}:{}@127.0.0.1:{port}/{database}", self.password()))
    }

    /// Options that connect to a database on the Unix socket.
    #[must_use]
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_dir())
            .port(self.port)
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            // One of the statements sets a password.
            .disable_statement_logging()
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.folder.socket()
    }

    /// The port that names the Unix socket, and that of 127.0.0.1 where TCP is on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        self.options.tcp.map(|_| self.port)
    }

    /// The superuser's password over TCP.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.folder.password
    }

    pub(crate) fn role_password(&self, role: &str) -> Result<String, PostgresError> {
        self.folder.role_password(role)
    }

    /// Process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.postmaster.pid()
    }

    /// The binaries that run.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.folder.binaries
    }

    /// Path of PostgreSQL's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.log()
    }

    /// Makes a database unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), PostgresError> {
        const DOING: &str = "creating a database";
        let mut connection = self.connect("postgres").await?;
        let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        let created = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await;
        match created {
            // 23505: somebody else is creating it at this moment.
            Err(error) if !matches!(code(&error).as_deref(), Some("42P04" | "23505")) => {
                Err(PostgresError::Sql { doing: DOING, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Waits until the postmaster ends, whatever ends it.
    pub async fn ended(&self) -> ExitStatus {
        self.postmaster.wait().await
    }

    /// Starts PostgreSQL again whenever it ends by itself, until `stop`.
    ///
    /// A server that has just started and ends again is given a pause, longer each time.
    pub async fn supervise(&mut self, stop: &CancellationToken) {
        let mut pause = Duration::from_millis(100);
        loop {
            let since = Instant::now();
            let status = tokio::select! {
                () = stop.cancelled() => return,
                status = self.ended() => status,
            };
            warn!(status = %status, "PostgreSQL ended, starting it again");
            if since.elapsed() > Duration::from_secs(60) {
                pause = Duration::from_millis(100);
            }
            while let Err(error) = self.restart().await {
                warn!(error = %error, "PostgreSQL did not start, will try again");
                pause = (pause * 2).min(Duration::from_secs(10));
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Shuts down: running transactions are rolled back, sessions closed, everything written.
    pub async fn stop(&self) {
        let patience = self.options.stop_timeout;
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            self.postmaster.signal(signal);
            if timeout(patience, self.postmaster.wait()).await.is_ok() {
                return;
            }
            warn!(pid = self.pid(), "PostgreSQL does not end, asking more firmly");
        }
    }

    /// Kills the postmaster as a crash would (SIGKILL) and reaps it. Its backends end by themselves.
    pub async fn kill(&self) {
        self.postmaster.signal(Signal::KILL);
        self.postmaster.wait().await;
    }

    /// Ends all at once, without a checkpoint (SIGQUIT): the next start recovers from the log.
    pub async fn stop_immediately(&self) {
        self.postmaster.signal(Signal::QUIT);
        self.postmaster.wait().await;
    }

    /// Stops, unless it has ended, and starts again: same folder, same addresses.
    pub async fn restart(&mut self) -> Result<(), PostgresError> {
        let since = Instant::now();
        if self.postmaster.ended().is_none() {
            self.stop().await;
        }
        let data = self.folder.data();
        blocking(move || leftovers::clear(&data)).await?;
        self.postmaster = spawn(&self.folder, &self.options, self.port)?;
        self.ready().await?;
        info!(duration_ms = since.elapsed().as_millis(), "PostgreSQL restarted");
        Ok(())
    }

    /// Opens a connection on the Unix socket.
    pub async fn connect(&self, database: &str) -> Result<PgConnection, PostgresError> {
        PgConnection::connect_with(&self.connect_options(database))
            .await
            .map_err(|source| PostgresError::Sql { doing: "connecting to PostgreSQL", source })
    }

    /// Returns once it accepts connections: it is asked, not presumed.
    async fn ready(&self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + self.options.start_timeout;
        let options = self.connect_options("postgres");
        while Instant::now() < deadline {
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                let _ = connection.close().await;
                return Ok(());
            }
            if let Some(status) = self.postmaster.ended() {
                return Err(self.start_failed(status));
            }
            sleep(CONNECT_EVERY).await;
        }
        Err(PostgresError::NotReady {
            secs: self.options.start_timeout.as_secs(),
            log: self.log(),
            tail: self.folder.log_tail(),
        })
    }

    fn start_failed(&self, status: ExitStatus) -> PostgresError {
        let tail = self.folder.log_tail();
        match self.tcp_port() {
            Some(port) if tail.contains("could not create any TCP/IP sockets") => {
                PostgresError::PortTaken { port }
            }
            _ => PostgresError::Ended { status: status.to_string(), log: self.log(), tail },
        }
    }

    async fn set_password(&self) -> Result<(), PostgresError> {
        let mut connection = self.connect("postgres").await?;
        let statement = format!("ALTER ROLE {SUPERUSER} PASSWORD '{}'", self.password());
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .map_err(|source| PostgresError::Sql { doing: "setting the password", source })?;
        Ok(())
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // A temporary one is thrown away: nothing needs to be written any more.
        let signal = if self.temporary.is_some() { Signal::QUIT } else { Signal::INT };
        self.postmaster.signal(signal);
        if !self.postmaster.wait_blocking(self.options.stop_timeout) {
            self.postmaster.signal(Signal::KILL);
            self.postmaster.wait_blocking(self.options.stop_timeout);
        }
    }
}

fn spawn(folder: &Folder, options: &Options, port: u16) -> Result<Postmaster, PostgresError> {
    let program = folder.binaries.program("postgres");
    let log = folder.open_log()?;
    let listen = if options.tcp.is_some() { "127.0.0.1" } else { "" };
    let mut command = Command::new(&program);
    command.arg("-D").arg(folder.data());
    command.arg("-c").arg(format!("unix_socket_directories={}", folder.socket().display()));
    command.arg("-c").arg(format!("listen_addresses={listen}"));
    command.arg("-c").arg(format!("port={port}"));
    command.arg("-c").arg("unix_socket_permissions=0700");
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.stdout(log.try_clone().at("opening", &folder.log())?).stderr(log);
    become_account(&mut command, &folder.account);
    Postmaster::start(command).at("starting", &program)
}

/// Returns the port if it is free; 0 stands for any.
fn checked_port(port: u16) -> Result<u16, PostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|_| PostgresError::PortTaken { port })
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PostgresError> + Send + 'static,
) -> Result<T, PostgresError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
