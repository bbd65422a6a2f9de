//! Deliberate faults, to see that the checker of the tests finds them.
//!
//! Only a build with the feature `mutate` has any; in every other one [`broken`] is constantly false.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// A report ends its task's try, whoever holds that.
    NoFence = 1,
    /// Runs are read, not locked.
    NoRunLock,
    /// A report is answered before its transaction is committed.
    AnswerBeforeCommit,
    /// Who locks a run does not see that its DAG is paused.
    NoPause,
}

#[cfg(feature = "mutate")]
static BROKEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Breaks one thing of this process, or with `None` mends it.
#[cfg(feature = "mutate")]
pub fn set(mutation: Option<Mutation>) {
    let number = mutation.map_or(0, |mutation| mutation as u8);
    BROKEN.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether this is broken.
#[cfg(feature = "mutate")]
#[must_use]
pub fn broken(mutation: Mutation) -> bool {
    BROKEN.load(std::sync::atomic::Ordering::SeqCst) == mutation as u8
}

/// Whether this is broken: never, in this build.
#[cfg(not(feature = "mutate"))]
#[must_use]
pub const fn broken(_: Mutation) -> bool {
    false
}

/// The statement, or the broken one that stands for it.
#[cfg(feature = "mutate")]
pub(crate) fn statement(sql: &'static str) -> &'static str {
    const FENCE: &str = "(live.session, live.token) = (want.session, want.token)";
    const PAUSED: &str = "dag_is_paused(r.dag)";
    let (sound, unsound) = if broken(Mutation::NoFence) {
        (FENCE, "live.session IS NOT NULL")
    } else if broken(Mutation::NoRunLock) {
        ("WHERE run.run_key = want.run_key FOR NO KEY UPDATE", "WHERE run.run_key = want.run_key")
    } else if broken(Mutation::NoPause) {
        (PAUSED, "false")
    } else {
        return sql;
    };
    // A test's process is short: nothing is gained by giving the text back.
    sql.replace(sound, unsound).leak()
}

/// The statement.
#[cfg(not(feature = "mutate"))]
pub(crate) const fn statement(sql: &'static str) -> &'static str {
    sql
}
