//! Commands on a server that is elsewhere, over real HTTP.

mod ways;
mod work;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::standalone::{self, Standalone};
use crate::{clean, stderr, stdout};

const PASSWORD: &str = "correct horse battery";

/// A Subak in a folder, and somebody's home elsewhere.
struct Far {
    subak: Standalone,
    url: String,
    home: TempDir,
    _place: TempDir,
}

impl Far {
    /// With users `ana` (op) and `vera` (viewer).
    fn start() -> Self {
        let place = standalone::place();
        let subak = Standalone::start(place.path());
        for (name, role) in [("ana", "op"), ("vera", "viewer")] {
            let mut add = standalone::command(place.path());
            add.args(["users", "add", name, "--role", role, "--password-stdin"]);
            let added = with_input(add, &format!("{PASSWORD}\n"));
            assert!(added.status.success(), "{}", stderr(&added));
        }
        let written = std::fs::read_to_string(place.path().join(".data/standalone.json")).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        let url = written["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { subak, url, home: tempfile::tempdir().unwrap(), _place: place }
    }

    /// A command of somebody with this home, at the server.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = at_home(self.home.path());
        command.args(arguments).env("SUBAK_SERVER", &self.url);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints that does what it is asked for.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// What a command says that does not.
    fn bad(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stdout(&output));
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
        stderr(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    fn login(&self, name: &str) -> String {
        let login = self.command(&["login", "--username", name, "--password-stdin"]);
        let done = with_input(login, &format!("{PASSWORD}\n"));
        assert!(done.status.success(), "{}", stderr(&done));
        stdout(&done)
    }
}

/// A command with a home of its own.
fn at_home(home: &std::path::Path) -> Command {
    let mut command = clean();
    command.current_dir(home).env("XDG_CONFIG_HOME", home).stdin(Stdio::null());
    command
}

fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
