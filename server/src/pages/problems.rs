//! What is wrong with a form that was sent, for the page that shows it again.

use subak_web::problem::in_words;
use subak_web::text::Text;

use crate::problem::{ApiError, FieldProblem};

/// Returns what was refused, in words; an error of any other kind stays one.
pub(super) fn of_form(error: ApiError, t: &Text) -> Result<Vec<String>, ApiError> {
    match error {
        ApiError::Invalid(fields) => {
            let words = |field: FieldProblem| {
                let msg = field.problem.map_or(field.msg, |problem| in_words(&problem, t));
                match field.loc.last() {
                    Some(name) if name != "body" => format!("{name} {msg}"),
                    _ => msg,
                }
            };
            Ok(fields.into_iter().map(words).collect())
        }
        ApiError::Conflict(problem) | ApiError::BadRequest(problem) => Ok(vec![problem]),
        other => Err(other),
    }
}
