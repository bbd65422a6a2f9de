//! Times that a machine's speed decided, made the same on every machine: for pages that are compared
//! with what was reviewed.

use subak_store::Store;

/// Sets the times of every run that has ended: it took 12.5 s, and its tries, one after the other,
/// a second each.
pub async fn times(store: &Store) -> anyhow::Result<()> {
    let began = "timestamptz '2026-11-20 03:00:00Z'";
    let runs = format!(
        "UPDATE run SET started_at = {began}, ended_at = {began} + interval '12.5 s'
         WHERE ended_at IS NOT NULL"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(runs)).execute(store.pool()).await?;
    let tries = format!(
        "UPDATE try_history h SET queued_at = t.at, started_at = t.at,
                ended_at = t.at + interval '1 s'
         FROM (SELECT run_key, token, {began}
                      + row_number() OVER (PARTITION BY run_key ORDER BY token)
                      * interval '2 s' AS at
               FROM try_history WHERE started_at IS NOT NULL) t
         WHERE (h.run_key, h.token) = (t.run_key, t.token)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(tries)).execute(store.pool()).await?;
    Ok(())
}
