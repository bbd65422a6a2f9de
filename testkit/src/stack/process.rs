//! One process of the product, and everything that it started.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;

/// A running process. Dropped, it is killed.
///
/// Each has a home folder of its own. Whatever it starts inherits the variable `HOME`, so all of it
/// is found by that, also what has left its process group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    home: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `binary` with `HOME` at `home`, which is made; its log is written beside that.
    pub(super) fn start(
        binary: &Path,
        home: PathBuf,
        arguments: &[&OsStr],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(&home)?;
        let log = home.with_extension("log");
        let child = command(binary, env)
            .args(arguments)
            .env("HOME", &home)
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting `{}`", binary.display()))?;
        Ok(Self { child, home, log })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with KILL, and reaps it. Returns what is left of it: its home and its log.
    pub fn kill(mut self) -> anyhow::Result<Remains> {
        anyhow::ensure!(
            self.child.try_wait()?.is_none(),
            "had ended by itself\n{}",
            self.log_tail()
        );
        self.child.kill()?;
        self.child.wait()?;
        Ok(Remains { home: self.home.clone() })
    }

    /// Asks it to end, with TERM.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let id = rustix::process::Pid::from_raw(self.id().cast_signed()).context("a process id")?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its log so far.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        const MOST: usize = 40;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(MOST)..].join("\n");
        format!("--- {}\n{tail}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a killed process may have left running.
#[derive(Debug)]
pub struct Remains {
    home: PathBuf,
}

impl Remains {
    /// Living processes that it started, each with its command line. A zombie has no environment.
    #[must_use]
    pub fn living(&self) -> Vec<String> {
        let mark = [b"HOME=", self.home.as_os_str().as_encoded_bytes()].concat();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter(|entry| {
                let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == mark)
            })
            .map(|entry| {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                format!("{} {line}", entry.file_name().display())
            })
            .collect()
    }
}

/// The command without the caller's settings.
pub(super) fn command(binary: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary);
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"SUBAK_")) {
        command.env_remove(name);
    }
    command.envs(env.iter().copied());
    command
}
