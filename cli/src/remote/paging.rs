//! Lists, read page by page.

use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Query, Server};

/// As many as a server gives at once.
const PAGE: usize = 100;

/// A list, or its beginning.
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Of all that there are.
    pub(crate) total: i64,
}

impl Server {
    /// Returns at most so many items of a list, which its answer calls `plural`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        plural: &str,
        query: &Query<'_>,
        most: usize,
    ) -> anyhow::Result<List<T>> {
        let mut list = List { items: Vec::new(), total: 0 };
        loop {
            let limit = PAGE.min(most - list.items.len());
            if limit == 0 {
                return Ok(list);
            }
            let mut query = query.to_vec();
            query.push(("limit", limit.to_string()));
            query.push(("offset", list.items.len().to_string()));
            let mut page: Value = self.get(path, &query).await?;
            let total = page["total_entries"].as_i64();
            let items = Vec::<T>::deserialize(page[plural].take()).map_err(|error| {
                anyhow::anyhow!("the list of {} is not as it is known here: {error}", self.name())
            })?;
            let is_last = items.len() < limit;
            list.items.extend(items);
            list.total = total.unwrap_or(0).max(i64::try_from(list.items.len()).unwrap_or(0));
            if is_last || total.is_some_and(|total| list.total >= total && is_whole(&list)) {
                return Ok(list);
            }
        }
    }
}

fn is_whole<T>(list: &List<T>) -> bool {
    i64::try_from(list.items.len()).is_ok_and(|read| read >= list.total)
}
