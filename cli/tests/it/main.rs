//! The command as its users run it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod dags;
mod operators;

use std::process::{Command, Output};

/// Runs `subak` with these arguments, in a folder of nobody's and without the caller's settings.
fn subak(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subak"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SUBAK_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(std::env::temp_dir()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
