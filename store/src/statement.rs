//! The statements that the engine runs again and again, each declared with how it may read: a test
//! asserts the generic plan of every one, whatever size the tables have.

/// A statement of the engine.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    pub name: &'static str,
    pub sql: &'static str,
    pub reads: Reads,
}

/// How a statement may read the tables that grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// By index, with the first column of the index equal to something; or by a row's place.
    Points,
    /// Also from the early end of an index of timers, as far as its limit.
    Due,
    /// A whole table, from its first page to its last: asked so rarely that an index would cost more.
    Whole,
}

/// Declares statements. One that is declared is also in the module's list, and so in the test.
macro_rules! statements {
    ($($(#[$about:meta])* $reads:ident $name:ident = $sql:expr;)+) => {
        $($(#[$about])* const $name: &str = $sql;)+

        /// Every statement of this module.
        pub(crate) const STATEMENTS: &[crate::statement::Statement] = &[$(
            crate::statement::Statement {
                name: stringify!($name),
                sql: $name,
                reads: crate::statement::Reads::$reads,
            },
        )+];
    };
}
pub(crate) use statements;

/// Every statement of the engine.
#[must_use]
pub fn every_statement() -> Vec<Statement> {
    [
        crate::engine::statements(),
        crate::assets::STATEMENTS.to_vec(),
        crate::log_append::STATEMENTS.to_vec(),
        crate::notifications::STATEMENTS.to_vec(),
        crate::ranges::STATEMENTS.to_vec(),
        crate::replays::STATEMENTS.to_vec(),
        crate::results::STATEMENTS.to_vec(),
        crate::runs::STATEMENTS.to_vec(),
        crate::sessions::STATEMENTS.to_vec(),
        crate::timers::STATEMENTS.to_vec(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    /// A statement written where it is used would not be in the list.
    #[test]
    fn every_statement_of_the_engine_is_declared() {
        let sources = [
            ("against", include_str!("engine/against.rs")),
            ("apply", include_str!("engine/apply.rs")),
            ("backfills", include_str!("engine/backfills.rs")),
            ("claim", include_str!("engine/claim.rs")),
            ("create", include_str!("engine/create.rs")),
            ("delete", include_str!("engine/delete.rs")),
            ("fence", include_str!("engine/fence.rs")),
            ("joins", include_str!("engine/joins.rs")),
            ("past", include_str!("engine/past.rs")),
            ("pause", include_str!("engine/pause.rs")),
            ("pools", include_str!("engine/pools.rs")),
            ("reset", include_str!("engine/reset.rs")),
            ("log_append", include_str!("log_append.rs")),
            ("notifications", include_str!("notifications.rs")),
            ("results", include_str!("results.rs")),
            ("sessions", include_str!("sessions.rs")),
            ("timers", include_str!("timers.rs")),
        ];
        for (module, source) in sources {
            let packed: String = source.split_whitespace().collect();
            for call in ["sqlx::query(", "sqlx::query_as(", "sqlx::query_scalar("] {
                for (place, _) in packed.match_indices(call) {
                    let argument = &packed[place + call.len()..];
                    let declared = argument.starts_with(|c: char| c.is_ascii_uppercase())
                        || argument.starts_with("mutation::statement(")
                        || argument.starts_with("sql)");
                    assert!(declared, "{module}: {}", &argument[..argument.len().min(60)]);
                }
            }
        }
    }
}
