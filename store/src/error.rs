//! How a query fails.

use sqlx::migrate::MigrateError;

/// A query on the metadata database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the metadata database: {}", plain(.0))]
    Database(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the metadata database: {}", not_migrated(.0))]
    Migrate(MigrateError),
    /// The schema is older than what this version needs.
    #[error(
        "the metadata database lacks {missing} of the {needed} migrations of this version of Subak: \
         bring it up to date with `subak db migrate`"
    )]
    OldSchema { missing: usize, needed: usize },
    /// No answer came in time: the network may be cut.
    #[error("the metadata database did not answer within {0:?}")]
    Silent(std::time::Duration),
    /// The storage URL refused or could not be reached.
    #[error(transparent)]
    Storage(#[from] crate::StorageError),
    /// A row that this version cannot read.
    #[error("{what} in the metadata database cannot be read")]
    Corrupt {
        what: String,
        #[source]
        source: serde_json::Error,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(error)
    }
}

/// An error in its own words. The driver's would end in the line of PostgreSQL's source that it came from,
/// and be there twice.
fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn not_migrated(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) => plain(error),
        MigrateError::ExecuteMigration(error, version) => {
            format!("migration {version}: {}", plain(error))
        }
        MigrateError::VersionMissing(version) => format!(
            "a newer version of Subak has been here (its migration {version} is not known to this \
             one), and the schema is its own: go on with that version, or a newer one"
        ),
        other => other.to_string(),
    }
}

impl StoreError {
    /// Whether the same transaction may succeed when it is tried again: a serialisation failure, a
    /// deadlock, or a connection that was lost.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
                matches!(&*code, "40001" | "40P01" | "55P03" | "57014" | "25P03")
                    || code.starts_with("08")
                    || code.starts_with("57P")
                    || code.starts_with("53")
            }),
            Self::Database(
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_),
            )
            | Self::Silent(_) => true,
            _ => false,
        }
    }

    /// Whether the database will never take one of the values: a character or number that it does
    /// not know, a key that is too long, a constraint.
    #[must_use]
    pub fn is_refused_value(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
            Self::Database(sqlx::Error::Encode(_)) => true,
            _ => false,
        }
    }

    /// Which key was there already, if that is what failed.
    #[must_use]
    pub fn duplicate(&self) -> Option<&str> {
        const UNIQUE_VIOLATION: &str = "23505";
        let Self::Database(sqlx::Error::Database(error)) = self else { return None };
        let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
        error.detail().filter(|_| error.code() == UNIQUE_VIOLATION)
    }

    /// The violated constraint, if that is what failed.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.constraint(),
            _ => None,
        }
    }
}
