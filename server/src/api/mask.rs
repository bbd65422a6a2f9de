//! `update_mask` of a PATCH: which fields of its body count.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::problem::{ApiError, FieldProblem};

/// The fields that count; none named: all.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Mask {
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Reads a field that null clears: null is `Some(None)`, and `None` is left out.
pub(super) fn clearable<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Mask {
    /// The mask of these fields.
    pub(crate) fn of(update_mask: Vec<String>) -> Self {
        Self { update_mask }
    }

    /// Refuses names that the body does not have.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        let Some(bad) = self.update_mask.iter().find(|it| !known.contains(&it.as_str())) else {
            return Ok(());
        };
        let msg = format!("`{bad}` is not one of `{}`", known.join("`, `"));
        Err(ApiError::Invalid(vec![FieldProblem::query("update_mask", msg)]))
    }

    /// Whether a field counts.
    pub(super) fn has(&self, field: &str) -> bool {
        self.update_mask.is_empty() || self.names(field)
    }

    /// Whether a field is named.
    pub(super) fn names(&self, field: &str) -> bool {
        self.update_mask.iter().any(|it| it == field)
    }
}
