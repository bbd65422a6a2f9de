//! How a query fails.

/// A query on the metadata database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the metadata database")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the metadata database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
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
