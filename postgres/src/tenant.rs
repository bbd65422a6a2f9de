//! A database for users' own tables: its role owns it, may enter no other, and is no superuser.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::{PostgresError, PrivatePostgres};

/// A database, and the role of the same name that owns it.
#[derive(Debug, Clone)]
pub struct Tenant {
    name: String,
    password: String,
}

impl PrivatePostgres {
    /// Makes a database and a role that owns it, unless they exist, and shuts the role out of every
    /// other database: who may write SQL there must not reach what else this PostgreSQL holds.
    ///
    /// `name` is an identifier of lower-case letters, digits and `_`.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant, PostgresError> {
        let password = self.role_password(name)?;
        let mut connection = self.connect("postgres").await?;
        let failed =
            |source| PostgresError::Sql { doing: "making a database with its own role", source };
        let role: (bool,) =
            sqlx::query_as("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(name)
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
        if !role.0 {
            let made = format!("CREATE ROLE \"{name}\"");
            connection.execute(AssertSqlSafe(made)).await.map_err(failed)?;
        }
        self.create_database(name).await?;
        let owned = format!(
            "ALTER ROLE \"{name}\" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';
             ALTER DATABASE \"{name}\" OWNER TO \"{name}\""
        );
        sqlx::raw_sql(AssertSqlSafe(owned)).execute(&mut connection).await.map_err(failed)?;
        // PUBLIC may connect to any database until it is told otherwise.
        let shut = "DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT datname FROM pg_database LOOP
                EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', name);
            END LOOP;
        END $$";
        connection.execute(shut).await.map_err(failed)?;
        // The next session finds it done; this one has nothing more to say.
        let _ = connection.close().await;
        Ok(Tenant { name: name.to_owned(), password })
    }

    /// The URL of a tenant's database on 127.0.0.1, password included; `None` where TCP is off.
    #[must_use]
    pub fn tenant_url(&self, tenant: &Tenant) -> Option<String> {
        let (port, Tenant { name, password }) = (self.tcp_port()?, tenant);
        Some(format!("postgres://{name}:{password}@127.0.0.1:{port}/{name}"))
    }

    /// The line that opens a tenant's database in a terminal, as its owner.
    #[must_use]
    pub fn tenant_psql_line(&self, tenant: &Tenant) -> String {
        let (socket, name) = (self.socket_dir().display(), &tenant.name);
        format!("psql -h {socket} -p {} -U {name} {name}", self.port())
    }
}
