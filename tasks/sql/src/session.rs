//! A session on the server: opened within a time, stopped from outside, watched for silence.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use subak_task::TaskError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::target::Target;

/// How many questions whether it still works may go unanswered in a row.
const WATCH_MISSES: u32 = 3;

/// Sets what the server knows of the settings; one round trip.
const SET: &str = "
SELECT set_config(name, wanted.value, false)
FROM unnest($1::text[], $2::text[]) AS wanted (name, value)
WHERE current_setting(name, true) IS NOT NULL";

/// An open connection and what identifies it on the server.
pub(crate) struct Session {
    pub(crate) db: PgConnection,
    backend: Backend,
}

/// A server process, seen from outside.
#[derive(Clone)]
pub(crate) struct Backend {
    target: Target,
    pid: i32,
    /// With the pid it names one process for ever.
    started: String,
}

impl Session {
    /// Connects and sets the session up.
    pub(crate) async fn open(target: &Target) -> Result<Self, TaskError> {
        let patience = target.connect_timeout;
        let opened = timeout(patience, open(target)).await;
        let (db, pid, started) = opened
            .map_err(|_| {
                let secs = patience.as_secs();
                TaskError::transient(format!("{target} did not answer within {secs} s"))
            })?
            .map_err(|error| target.failure(error))?;
        Ok(Self { db, backend: Backend { target: target.clone(), pid, started } })
    }

    /// Returns the server process, to watch and end it while the session is at work.
    pub(crate) fn backend(&self) -> Backend {
        self.backend.clone()
    }
}

async fn open(target: &Target) -> sqlx::Result<(PgConnection, i32, String)> {
    let mut db = PgConnection::connect_with(&target.options).await?;
    let (names, values): (Vec<String>, Vec<String>) = target.settings.iter().cloned().unzip();
    sqlx::query(SET).bind(names).bind(values).execute(&mut db).await?;
    let (pid, started) = sqlx::query_as(
        "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    )
    .fetch_one(&mut db)
    .await?;
    Ok((db, pid, started))
}

impl Backend {
    /// Does the session's work, unless the try is stopped or the server falls silent.
    ///
    /// Dropping a connection alone does not end its statement: the server process is told to.
    pub(crate) async fn guard<T>(
        &self,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T, TaskError>>,
    ) -> Result<T, TaskError> {
        tokio::select! {
            biased;
            result = work => result,
            () = cancel.cancelled() => {
                self.terminate().await;
                Err(TaskError::cancelled())
            }
            lost = self.lost() => Err(lost),
        }
    }

    /// Ends the server process and rolls its transaction back.
    async fn terminate(&self) {
        let terminate = async {
            let mut db = PgConnection::connect_with(&self.target.options).await?;
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE pid = $1 AND backend_start::text = $2",
            )
            .bind(self.pid)
            .bind(&self.started)
            .execute(&mut db)
            .await
        };
        // If that is not possible either, `client_connection_check_interval` ends it soon.
        if !matches!(timeout(self.target.connect_timeout, terminate).await, Ok(Ok(_))) {
            tracing::warn!(pid = self.pid, target = %self.target, "statement not stopped");
        }
    }

    /// Returns only when the server is away or no longer has the process.
    async fn lost(&self) -> TaskError {
        let mut misses = 0;
        loop {
            sleep(self.target.watch_every).await;
            match timeout(self.target.connect_timeout, self.exists()).await {
                Ok(Ok(true)) => misses = 0,
                Ok(Ok(false)) => {
                    // The session learns the reason itself, if its network is whole.
                    sleep(Duration::from_secs(5)).await;
                    return TaskError::transient(format!("{} lost the session", self.target));
                }
                _ => misses += 1,
            }
            if misses == WATCH_MISSES {
                return TaskError::transient(format!(
                    "{} is silent: it did not answer {WATCH_MISSES} times in a row",
                    self.target
                ));
            }
        }
    }

    /// Whether the server process still exists, asked on another session.
    pub(crate) async fn is_alive(&self, db: &mut PgConnection) -> Result<bool, TaskError> {
        self.exists_by(db).await.map_err(|error| self.target.failure(error))
    }

    async fn exists(&self) -> sqlx::Result<bool> {
        let mut db = PgConnection::connect_with(&self.target.options).await?;
        self.exists_by(&mut db).await
    }

    async fn exists_by(&self, db: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
             WHERE pid = $1 AND backend_start::text = $2)",
        )
        .bind(self.pid)
        .bind(&self.started)
        .fetch_one(db)
        .await
    }
}
