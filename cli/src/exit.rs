//! How the command ends: one clear message on standard error, and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

/// What a subcommand comes to.
pub(crate) type Outcome = anyhow::Result<Ended>;

/// A subcommand that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Success,
    /// What was checked is wrong, and everything about it has been printed.
    Invalid,
    /// The run that was followed has failed.
    RunFailed,
}

/// Returns the exit code of an outcome, its error printed.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Ended::Success) => ExitCode::SUCCESS,
        Ok(Ended::Invalid) => ExitCode::from(1),
        Ok(Ended::RunFailed) => ExitCode::from(3),
        Err(error) => report(&error),
    }
}

/// Prints an error with its causes. A reader that closed the pipe is no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let closed = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if closed == Some(io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell if standard error is closed too.
    let _ = writeln!(io::stderr(), "error: {}", in_one_line(error));
    ExitCode::from(1)
}

/// The error and its causes; a cause that the text before it repeats is left out.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("writing: no room").context("saving `x`");
        assert_eq!(in_one_line(&error), "saving `x`: writing: no room");
    }
}
