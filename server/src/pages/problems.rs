//! What is wrong with a form that was sent, for the page that shows it again.

use subak_core::problem::Problem;
use subak_web::problem::in_words;
use subak_web::text::Text;

use crate::problem::{ApiError, FieldProblem};

/// Returns what was refused, in words; an error of any other kind stays one.
pub(super) fn of_form(error: ApiError, t: &Text) -> Result<Vec<String>, ApiError> {
    match error {
        ApiError::Invalid(fields) => {
            let words = |field: FieldProblem| {
                // What is wrong with a connection names its field itself.
                let is_whole = matches!(field.problem, Some(Problem::Connection(_)));
                let msg = field.problem.map_or(field.msg, |problem| in_words(&problem, t));
                match field.loc.last() {
                    Some(name) if name != "body" && !is_whole => format!("{name} {msg}"),
                    _ => msg,
                }
            };
            Ok(fields.into_iter().map(words).collect())
        }
        ApiError::Refused(problem) => Ok(vec![in_words(&problem, t)]),
        ApiError::Conflict(problem) | ApiError::BadRequest(problem) => Ok(vec![problem]),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use subak_core::state::RunState;
    use subak_web::text::ENGLISH;

    use super::*;
    use crate::engine::{CancelError, ClearError, DeleteError, MarkError};

    #[test]
    fn a_refusal_is_told_as_the_engine_tells_it() {
        let state = RunState::Success;
        let check = |problem: Problem, engine: &dyn std::error::Error| {
            let told = of_form(ApiError::Refused(problem), &ENGLISH).unwrap();
            assert_eq!(told, [engine.to_string()]);
        };
        check(Problem::RunEnded(state), &CancelError::Ended(state));
        check(Problem::RunActive(state), &DeleteError::Active(state));
        check(Problem::RunCancelled, &MarkError::Cancelled);
        check(Problem::NotCleared, &ClearError::HistoryGone);
        check(Problem::NotMarked, &MarkError::HistoryGone);
    }
}
