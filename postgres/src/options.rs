//! How a private PostgreSQL is wanted.

use std::path::PathBuf;
use std::time::Duration;

/// What to start and where. `Options::new(folder)` suits `subak standalone`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds the data, the log, the password and, where its path is short enough, the socket. Made
    /// if absent.
    pub folder: PathBuf,
    /// Whether, and where, it also listens on 127.0.0.1.
    pub tcp: Option<TcpPort>,
    /// Settings beyond, or instead of, the built-in ones: `("work_mem", "16MB")`.
    pub settings: Vec<(String, String)>,
    /// Copies a new data folder from a cache, made once per version; `initdb` takes two seconds.
    /// For tests: all copies share one system identifier.
    pub from_template: bool,
    /// How long a start may take; recovery after a crash is part of it.
    pub start_timeout: Duration,
    /// How long a stop waits for sessions to end before it ends them.
    pub stop_timeout: Duration,
}

/// A port on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpPort {
    /// Any that is free.
    Free,
    /// This one; an error if it is taken.
    Fixed(u16),
}

impl Options {
    /// Returns the options of a lasting instance in `folder`, on a Unix socket only.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            tcp: None,
            settings: Vec::new(),
            from_template: false,
            start_timeout: Duration::from_secs(120),
            stop_timeout: Duration::from_secs(20),
        }
    }

    /// Also listens on a port of 127.0.0.1, with a generated password.
    #[must_use]
    pub fn tcp(mut self, port: TcpPort) -> Self {
        self.tcp = Some(port);
        self
    }

    /// Sets a setting of PostgreSQL; the last value given wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Copies a new data folder from a cache.
    #[must_use]
    pub fn from_template(mut self) -> Self {
        self.from_template = true;
        self
    }
}
