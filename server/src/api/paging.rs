//! `limit`, `offset` and `order_by`.

use crate::problem::{ApiError, FieldProblem};

/// Airflow's default of a page and of its limit.
const DEFAULT: i64 = 50;
const MOST: i64 = 100;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) limit: i64,
    pub(super) offset: i64,
}

impl Part {
    /// Checks what the query says. A larger limit is cut, as Airflow does; 0 is the default.
    pub(super) fn of(limit: Option<i64>, offset: Option<i64>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(0);
        let offset = offset.unwrap_or(0);
        if limit < 0 {
            return Err(ApiError::Invalid(vec![FieldProblem::query("limit", "is below 0")]));
        }
        if offset < 0 {
            return Err(ApiError::Invalid(vec![FieldProblem::query("offset", "is below 0")]));
        }
        Ok(Self { limit: if limit == 0 { DEFAULT } else { limit.min(MOST) }, offset })
    }

    /// Returns the part of a list that is in memory.
    pub(super) fn of_list<T>(self, list: Vec<T>) -> Vec<T> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(0);
        list.into_iter().skip(offset).take(limit).collect()
    }
}

/// Returns field and direction of `order_by`: `-field` is descending.
pub(super) fn order(order_by: &[String]) -> Option<(&str, bool)> {
    let first = order_by.first()?;
    Some(first.strip_prefix('-').map_or((first.as_str(), false), |field| (field, true)))
}

/// A field that a list cannot be ordered by.
pub(super) fn bad_order(field: &str, known: &str) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::query(
        "order_by",
        format!("`{field}` is not one of {known}"),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_bounded() {
        assert_eq!(Part::of(None, None).unwrap(), Part { limit: 50, offset: 0 });
        assert_eq!(Part::of(Some(0), Some(7)).unwrap(), Part { limit: 50, offset: 7 });
        assert_eq!(Part::of(Some(1_000_000), None).unwrap().limit, 100);
        assert!(Part::of(Some(-1), None).is_err());
        assert!(Part::of(None, Some(-1)).is_err());
        assert_eq!(Part { limit: 2, offset: 1 }.of_list(vec![1, 2, 3, 4]), [2, 3]);
    }
}
