//! The command as its users run it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod bad_input;
mod browser;
mod connections;
mod dags;
mod deadletters;
mod errors;
mod far;
mod feeds;
mod kafka;
mod kills;
mod large_logs;
mod large_values;
mod mapped;
mod moving;
mod operators;
mod pools;
mod remote;
mod retail;
mod standalone;
mod test_command;
mod traces;

use std::process::{Command, Output};

/// The command without the caller's settings.
fn clean() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subak"));
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"SUBAK_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `subak` with these arguments, in a folder of nobody's.
fn subak(arguments: &[&str]) -> Output {
    clean().args(arguments).current_dir(std::env::temp_dir()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
