//! `subak dags list`.

use clap::Args;
use serde::Deserialize;
use subak_store::read::DagFilter;

use super::view::Dag;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output};
use crate::place::{At, Place};

/// Import errors that are told below the list.
const ERRORS: usize = 20;

/// Lists the DAGs that servers have loaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags list
  subak dags list --tag postgres --output json
  subak dags list --server https://subak.example.org")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Only DAGs with this tag; may be given several times.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Also DAGs whose file is gone.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

/// What is wrong with a DAG file.
#[derive(Deserialize)]
struct ImportError {
    #[serde(rename = "stack_trace")]
    message: String,
}

pub(crate) async fn run(options: Options) -> Outcome {
    let (dags, errors) = read(&options).await?;
    options.output.list(&dags)?;
    for error in errors.iter().filter(|_| !options.output.is_json()) {
        output::line(format!("\n{}", error.message.trim_end()))?;
    }
    Ok(Ended::Success)
}

async fn read(options: &Options) -> anyhow::Result<(Vec<Dag>, Vec<ImportError>)> {
    match options.place.open().await? {
        At::Database(store) => {
            let filter = DagFilter {
                tags: options.tag.clone(),
                with_stale: options.all,
                ..DagFilter::default()
            };
            let page = store.dag_list(&filter, i64::from(options.limit), 0).await?;
            let errors = store.import_error_list(ERRORS as i64, 0).await?.items.into_iter();
            let errors = errors.map(|it| ImportError { message: it.message }).collect();
            Ok((page.items.into_iter().map(Dag::from).collect(), errors))
        }
        At::Server(server) => {
            let mut query = vec![("exclude_stale", (!options.all).to_string())];
            query.extend(options.tag.iter().map(|tag| ("tags", tag.clone())));
            let dags = server.list(&["dags"], "dags", &query, options.limit.into()).await?;
            // Those who see single DAGs only are not told what is wrong with others.
            let errors = server.list(&["importErrors"], "import_errors", &[], ERRORS).await;
            Ok((dags.items, errors.map(|it| it.items).unwrap_or_default()))
        }
    }
}
