//! Databases of users beside the product's own, and brokers: as connections that tasks name.

use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, PgPool};

use super::Stack;
use crate::kafka::Broker;

/// A database, to be asked and changed by tests.
#[derive(Debug, Clone)]
pub struct Database(PgPool);

impl Database {
    /// The first column of every row, as text.
    pub async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let sql = format!("SELECT value::text FROM ({sql}) AS asked (value)");
        let rows = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(&self.0).await;
        rows.context(sql)
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.texts(sql).await?;
        let row = rows.first().with_context(|| format!("no row: {sql}"))?;
        row.parse().with_context(|| format!("`{row}`: {sql}"))
    }

    /// Transactions of this database since it was made, also those that only looked.
    pub async fn transactions(&self) -> anyhow::Result<i64> {
        // A session tells of its transactions a while after them. Those of the caller do so now, or they
        // would count as somebody else's later.
        let mut sessions = Vec::new();
        while let Some(mut session) = self.0.try_acquire() {
            sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&mut *session).await?;
            sessions.push(session);
        }
        drop(sessions);
        self.number(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database
             WHERE datname = current_database()",
        )
        .await
    }

    /// Runs statements.
    pub async fn run(&self, sql: &str) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.0)
            .await
            .context(sql.to_owned())?;
        Ok(())
    }
}

impl Stack {
    /// The metadata database.
    #[must_use]
    pub fn metadata(&self) -> Database {
        Database(self.store.pool().clone())
    }

    /// Makes a database, and a connection of its name to it.
    pub async fn add_database(&self, name: &str) -> anyhow::Result<Database> {
        self.postgres.create_database(name).await?;
        self.connect_as(name, subak_postgres::SUPERUSER).await?;
        Ok(Database(PgPool::connect_with(self.postgres.connect_options(name)).await?))
    }

    /// Makes the connection to the database of its name, or makes it anew, for this role.
    pub async fn connect_as(&self, name: &str, role: &str) -> anyhow::Result<()> {
        let socket = self.postgres.socket_dir().display().to_string();
        let port = self.postgres.port().to_string();
        self.add_connection(&[
            name,
            "--host",
            &socket,
            "--port",
            &port,
            "--login",
            role,
            "--database",
            name,
        ])
        .await
    }

    /// Makes a connection to a broker.
    pub async fn add_broker(&self, name: &str, broker: &Broker) -> anyhow::Result<()> {
        self.add_connection(&[name, "--type", "kafka", "--host", broker.bootstrap()]).await
    }

    /// Adds a secured broker as the connection `name`, or replaces it, for this user and password.
    pub async fn add_secured(
        &self,
        name: &str,
        broker: &Broker,
        user: &str,
        password: &str,
        mechanism: &str,
    ) -> anyhow::Result<()> {
        let authority = broker.authority().context("the broker has no certificate")?;
        let authority = format!("ssl.ca.location={}", authority.display());
        let mechanism = format!("sasl.mechanism={mechanism}");
        let server = ["connections", "add", name, "--type", "kafka", "--host", broker.bootstrap()];
        let who =
            ["--login", user, "--password-stdin", "--extra", &mechanism, "--extra", &authority];
        let arguments = [&server[..], &who[..]].concat();
        let output = self.subak_with_input(&arguments, &format!("{password}\n")).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "adding a connection: {said}");
        Ok(())
    }

    async fn add_connection(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.subak(&[&["connections", "add"], arguments].concat()).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "adding a connection: {said}");
        Ok(())
    }
}
