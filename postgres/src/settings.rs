//! PostgreSQL's settings: small when idle, durable, quick to commit.
//!
//! They stand in a file of ours that `postgresql.conf` includes last; what a user sets with
//! `ALTER SYSTEM` still wins.

use std::fmt::Write as _;

/// Name of the file of ours.
pub(crate) const FILE: &str = "subak.conf";

/// Who may connect. The socket lies in a folder that only the account and root can enter, and both
/// could read the data files as well; over TCP a password is asked.
pub(crate) const HBA: &str = "\
# Written by subak at every start.
local all all trust
host all all 127.0.0.1/32 scram-sha-256
";

/// Each setting with its reason.
const SETTINGS: [(&str, &str, &str); 23] = [
    ("fsync", "on", "a commit is on disk"),
    ("synchronous_commit", "on", "before it is answered"),
    ("full_page_writes", "on", "and a torn page is mended"),
    ("shared_buffers", "128MB", "resident only as far as it is used; holds the live rows"),
    ("max_connections", "100", "several servers, a worker's tasks and a user's tools"),
    ("work_mem", "8MB", "sorts of the UI's lists stay in memory"),
    ("maintenance_work_mem", "64MB", "an index over millions of old runs"),
    ("jit", "off", "statements are short; compiling one costs more than it"),
    ("wal_level", "minimal", "no replicas: less is written"),
    ("max_wal_senders", "0", "needed by wal_level minimal"),
    ("wal_buffers", "8MB", "room for a group of commits"),
    ("checkpoint_timeout", "15min", "a page is written whole once per checkpoint: seldom"),
    ("max_wal_size", "2GB", "the same, by size"),
    ("min_wal_size", "160MB", "a few segments are kept for reuse: creating one stalls commits"),
    ("wal_writer_delay", "10ms", "a load need not wait for its own log: another core writes it"),
    ("wal_compression", "on", "halves the whole pages after a checkpoint"),
    ("max_logical_replication_workers", "0", "one idle process less"),
    ("max_worker_processes", "4", "parallel queries and autovacuum on a small machine"),
    ("autovacuum_max_workers", "2", "leave a core to the work"),
    ("password_encryption", "scram-sha-256", "for the port"),
    ("log_checkpoints", "off", "nothing a user can act on"),
    ("timezone", "UTC", "times in the database are UTC"),
    ("log_timezone", "UTC", "and so are those of its log"),
];

/// Returns the text of [`FILE`]. Later settings win.
pub(crate) fn text(extra: &[(String, String)]) -> String {
    let mut text = String::from(
        "# Written by subak at every start: use ALTER SYSTEM for settings of your own.\n\
         log_line_prefix = '%m [%p] '\nlc_messages = 'C'\ncluster_name = 'subak'\n",
    );
    for (name, value, reason) in SETTINGS {
        let _ = writeln!(text, "{name} = '{value}' # {reason}");
    }
    for (name, value) in extra {
        let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
    }
    text
}
