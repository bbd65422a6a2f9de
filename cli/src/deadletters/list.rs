//! `subak deadletters list`.

use clap::Args;
use subak_store::read::LetterFilter;

use super::Filter;
use super::view::Letter;
use crate::exit::{Ended, Outcome};
use crate::output::Output;
use crate::place::{At, Place};

/// Lists records that tasks rejected, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak deadletters list --dag user_registration --open
  subak deadletters list --reason 'not an e-mail address' --limit 100 --output json")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: Filter,
    /// Only those that were not replayed, dismissed or superseded.
    #[arg(long)]
    open: bool,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let state = options.open.then(|| "open".to_owned());
    let (letters, total) = match options.place.open().await? {
        At::Database(store) => {
            let filter = LetterFilter { state, ..options.filter.checked(&store).await? };
            let page = store.letter_list(&filter, i64::from(options.limit), 0).await?;
            (page.items.iter().map(Letter::from).collect(), page.total)
        }
        At::Server(server) => {
            let mut query = options.filter.query();
            query.extend(state.map(|state| ("state", state)));
            let most = options.limit.into();
            let list =
                server.list::<Letter>(&["deadLetters"], "dead_letters", &query, most).await?;
            (list.items, list.total)
        }
    };
    options.output.list(&letters)?;
    options.output.more(letters.len(), total)?;
    Ok(Ended::Success)
}
