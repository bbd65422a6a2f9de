//! Dead letters that nobody wants to be put through: they stay to be looked at until their runs are
//! dropped.

use subak_store::read::LetterFilter;
use subak_store::{NotReplayable, Store, StoreError};

/// Why nothing is dismissed.
#[derive(Debug, thiserror::Error)]
pub enum DismissError {
    #[error("say which: by ids, or by DAG, run, task or reason")]
    All,
    /// The message says what became of those that were asked for.
    #[error("{0}")]
    Nothing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Dismisses the dead letters that are asked for and open; returns how many.
pub async fn dismiss(store: &Store, filter: &LetterFilter) -> Result<u64, DismissError> {
    if filter.is_empty() {
        return Err(DismissError::All);
    }
    match store.letters_dismiss(filter).await? {
        0 => {
            let why = store.letters_not_replayable(filter).await?;
            Err(DismissError::Nothing(explained(&why)))
        }
        dismissed => Ok(dismissed),
    }
}

/// What became of dead letters of which none can be dismissed.
fn explained(why: &NotReplayable) -> String {
    if why.all == 0 {
        return "no dead letter is like that: see `subak deadletters list`".to_owned();
    }
    let taken = match (&why.taken_by, why.taken_range) {
        (Some(run), Some(range)) => format!(
            "in a replay, run `{run}`: they are replayed once it has loaded them; if it failed, replay \
             them again or give it up with `subak ranges abandon {range}`"
        ),
        _ => "in a replay".to_owned(),
    };
    let parts = [
        (why.replayed, "replayed already"),
        (why.taken, taken.as_str()),
        (why.unsettled, "of records that are not loaded yet: they are read anew with those"),
        (why.superseded, "superseded: their task was cleared, or has read them anew"),
        (why.dismissed, "dismissed already"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("nothing is open to be dismissed: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_nothing_was_dismissed_is_told_with_what_to_do() {
        let none = explained(&NotReplayable::default());
        assert_eq!(none, "no dead letter is like that: see `subak deadletters list`");
        let why = NotReplayable {
            all: 5,
            replayed: 2,
            taken: 3,
            taken_by: Some("replay__1".to_owned()),
            taken_range: Some(7),
            ..NotReplayable::default()
        };
        assert_eq!(
            explained(&why),
            "nothing is open to be dismissed: 2 replayed already; 3 in a replay, run `replay__1`: they \
             are replayed once it has loaded them; if it failed, replay them again or give it up with \
             `subak ranges abandon 7`"
        );
    }
}
