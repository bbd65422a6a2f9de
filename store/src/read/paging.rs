//! Lists that are read a part at a time, and counted whole.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};

use super::Page;
use crate::StoreError;

/// Reads a page: these columns (`SELECT …`) of what `of` adds, the tables and conditions, in the order that
/// `by` adds (`ORDER BY …`); and how many rows there are.
pub(crate) async fn page<T>(
    pool: &PgPool,
    columns: &str,
    of: impl Fn(&mut QueryBuilder<Postgres>),
    by: impl FnOnce(&mut QueryBuilder<Postgres>),
    (limit, offset): (i64, i64),
) -> Result<Page<T>, StoreError>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    let mut query = QueryBuilder::new(columns);
    of(&mut query);
    query.push(" ");
    by(&mut query);
    query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
    let items = query.build_query_as().fetch_all(pool).await?;
    let mut count = QueryBuilder::new("SELECT count(*)");
    of(&mut count);
    let total = count.build_query_scalar().fetch_one(pool).await?;
    Ok(Page { items, total })
}
