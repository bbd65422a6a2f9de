//! What PostgreSQL says went wrong, for people: where, why, what to do, and whether to try again.

use std::fmt::Write as _;

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use subak_task::TaskError;

use crate::target::Target;

/// A statement as the user wrote it, so that the place of an error can be shown.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'a> {
    /// The whole text of the parameter.
    pub(crate) text: &'a str,
    /// Where in it, in bytes, the statement begins that was sent.
    pub(crate) start: usize,
    /// Characters that were sent before the statement.
    pub(crate) prefix: usize,
}

/// Turns a failure into what the user sees.
pub(crate) fn task_error(
    error: sqlx::Error,
    target: &Target,
    statement: Option<Statement<'_>>,
) -> TaskError {
    match error {
        sqlx::Error::Database(error) => {
            let error = error.downcast_ref::<PgDatabaseError>();
            let message = describe(error, target, statement);
            if is_transient(error.code()) {
                TaskError::transient(message)
            } else {
                TaskError::permanent(message)
            }
        }
        sqlx::Error::Io(error) => TaskError::transient(format!(
            "{target} cannot be reached: {error}\nwhat to do: see that PostgreSQL runs there, and \
                 that host and port of the connection are right"
        )),
        sqlx::Error::Tls(error) => TaskError::permanent(format!(
            "{target}: no encrypted connection: {error}; `sslmode` in the connection's extra says \
             what is asked"
        )),
        // The stream broke in the middle of a message.
        sqlx::Error::Protocol(error) => {
            TaskError::transient(format!("{target} cannot be understood: {error}"))
        }
        error => TaskError::permanent(format!("{target}: {error}")),
    }
}

/// Whether another try may fare better: connection, rollback, resources, locks, shutdown.
fn is_transient(code: &str) -> bool {
    const CLASSES: [&str; 3] = ["08", "40", "53"];
    const CODES: [&str; 4] = ["55P03", "57P01", "57P02", "57P03"];
    CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code)
}

/// What to do about it, where PostgreSQL does not say.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "set the right password with `subak connections add`",
        "28000" => "the server's pg_hba.conf must admit this user from here",
        "3D000" => "create the database, or name another in the connection",
        "53100" => "free space on PostgreSQL's disk; the transaction was rolled back",
        "53300" => "raise max_connections, or let fewer tasks run at once (a pool)",
        "55P03" => {
            "another transaction holds the lock: see pg_stat_activity; `lock_timeout` in the \
             connection's extra bounds the wait"
        }
        "57P03" => "it is starting or shutting down",
        "42501" => "grant the right to the connection's user",
        _ => return None,
    })
}

fn describe(error: &PgDatabaseError, target: &Target, statement: Option<Statement<'_>>) -> String {
    let code = error.code();
    let mut out = format!("{target}: {} (SQLSTATE {code})", error.message());
    let place = statement.and_then(|statement| place(error, statement));
    if let Some(place) = place {
        out.push_str(&place);
    }
    let context = error.r#where().map(|context| context.lines().take(3).collect::<Vec<_>>());
    let context = context.map(|lines| lines.join("; "));
    for (label, text) in [
        ("detail", error.detail()),
        ("where", context.as_deref()),
        ("hint", error.hint()),
        ("what to do", advice(code)),
    ] {
        if let Some(text) = text {
            let _ = write!(out, "\n{label}: {text}");
        }
    }
    out
}

/// Shows the line with a mark below the place.
fn place(error: &PgDatabaseError, statement: Statement<'_>) -> Option<String> {
    let Some(PgErrorPosition::Original(position)) = error.position() else { return None };
    // Positions count characters from 1, in what was sent.
    let within = position.checked_sub(1 + statement.prefix)?;
    let before: String = statement.text.get(statement.start..)?.chars().take(within).collect();
    let at = statement.start + before.len();
    let line_start = statement.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_number = statement.text[..at].matches('\n').count() + 1;
    let line = statement.text[line_start..].lines().next().unwrap_or_default();
    let column = statement.text[line_start..at].chars().count() + 1;
    let gutter = format!("{line_number} | ");
    let indent = " ".repeat(gutter.len() + column - 1);
    Some(format!(" at line {line_number}, column {column}:\n{gutter}{line}\n{indent}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        for code in ["08006", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57P03"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["28P01", "42P01", "42703", "23505", "22P02", "57014", "3D000", "42501"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
