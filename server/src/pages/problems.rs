//! What is wrong with a form that was sent, for the page that shows it again.

use crate::problem::ApiError;

/// Returns what was refused, in words; an error of any other kind stays one.
pub(super) fn of_form(error: ApiError) -> Result<Vec<String>, ApiError> {
    match error {
        ApiError::Invalid(fields) => {
            let words = |field: crate::problem::FieldProblem| match field.loc.last() {
                Some(name) if name != "body" => format!("{name} {}", field.msg),
                _ => field.msg,
            };
            Ok(fields.into_iter().map(words).collect())
        }
        ApiError::Conflict(problem) | ApiError::BadRequest(problem) => Ok(vec![problem]),
        other => Err(other),
    }
}
