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
    if is_closed(error) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell if standard error is closed too.
    let _ = writeln!(io::stderr(), "error: {}", in_one_line(error));
    ExitCode::from(1)
}

/// Whether nobody reads what is printed, as text or as JSON.
fn is_closed(error: &anyhow::Error) -> bool {
    let text = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let json = || error.downcast_ref::<serde_json::Error>()?.io_error_kind();
    text.or_else(json) == Some(io::ErrorKind::BrokenPipe)
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

    /// A pipe that nobody reads.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_closed_the_pipe_is_no_error() {
        let text = writeln!(Closed, "x").unwrap_err();
        assert!(is_closed(&text.into()));
        let json = serde_json::to_writer_pretty(Closed, &[1]).unwrap_err();
        assert!(is_closed(&json.into()));
        let wrong = serde_json::from_str::<u8>("x").unwrap_err();
        assert!(!is_closed(&wrong.into()));
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("writing: no room").context("saving `x`");
        assert_eq!(in_one_line(&error), "saving `x`: writing: no room");
    }
}
