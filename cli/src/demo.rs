//! `subak demo`: the retail pipeline, from a generated file to a table, watched in a browser; and, with a
//! broker beside it, the pipeline of users.

use std::fs::{self, DirBuilder};
use std::io::BufWriter;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use subak_core::ids::DagId;
use subak_server::engine::{Engine, Trigger};
use subak_store::Store;
use subak_worker::generate;

use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::place::At;
use crate::runs::follow::follow;
use crate::standalone::{self, Announcement, Parts};

/// Starts standalone, runs `retail_retention` on a generated file, and serves until Ctrl-C.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    standalone: standalone::Options,
    /// Ends after the run; the exit code is its result.
    #[arg(long)]
    exit: bool,
    /// Starts the pipeline of users, too: it needs connections `kafka_main` and `users_api`.
    #[arg(long)]
    users: bool,
    /// Rows of the generated file.
    #[arg(long, default_value_t = generate::RETAIL_ROWS)]
    rows: u64,
}

const DAG: &str = "retail_retention";
/// The pipeline of users, its end first.
const USERS: [&str; 3] = ["load_users", "clean_users", "produce_users"];
/// The same file at each start.
const SEED: u64 = 2010;

pub(crate) async fn run(options: Options) -> Outcome {
    let mut parts = Parts::start(&options.standalone).await?;
    let folder = parts.data().join("demo");
    let demo = Demo {
        store: parts.store().clone(),
        engine: parts.engine().clone(),
        announcement: parts.announcement(),
        psql_line: parts.psql_line().to_owned(),
        input: folder.join(format!("retail-{}.csv", options.rows)),
        output: folder.join("retail_retention.csv"),
        rows: options.rows,
        users: options.users,
    };
    let result = Arc::new(Mutex::new(Ended::Success));
    let (told, stop, exit) = (result.clone(), parts.stop().clone(), options.exit);
    parts.spawn("the demo", async move {
        *told.lock().unwrap_or_else(PoisonError::into_inner) = demo.run().await?;
        if !exit {
            stop.cancelled().await;
        }
        Ok(())
    });
    parts.serve().await?;
    let ended = *result.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ended)
}

struct Demo {
    store: Store,
    engine: Engine,
    announcement: Announcement,
    psql_line: String,
    input: PathBuf,
    output: PathBuf,
    rows: u64,
    users: bool,
}

impl Demo {
    async fn run(self) -> Outcome {
        self.announcement.print().await?;
        output::line("")?;
        let (input, rows) = (self.input.clone(), self.rows);
        tokio::task::spawn_blocking(move || generated(&input, rows)).await??;
        let conf = json!({"input": self.input, "output": self.output});
        let trigger = Trigger::manual(DagId(DAG.to_owned()), "cli", conf);
        let triggered = self.engine.run_trigger(trigger).await?;
        if self.users {
            for dag in USERS {
                self.engine.dag_pause(&DagId(dag.to_owned()), false).await?;
            }
            output::line("running the pipeline of users: from an API into table users, by Kafka")?;
        }
        drop(self.engine);
        output::line(format!("running {DAG} on {rows} rows, {}", self.input.display()))?;
        let ended = follow(&At::Database(Box::new(self.store)), DAG, &triggered.run_id).await?;
        if ended == Ended::Success {
            output::line("")?;
            table(&self.output)?.print()?;
            output::line("")?;
            output::line(format!("file   {}", self.output.display()))?;
            output::line(format!("table  {} -c 'TABLE {DAG}'", self.psql_line))?;
        }
        Ok(ended)
    }
}

/// Writes the file unless it is there, whole.
fn generated(file: &Path, rows: u64) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let writing = || format!("writing `{}`", file.display());
    let staged = file.with_extension("csv.part");
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(writing)?;
    let out = fs::File::create(&staged).with_context(writing)?;
    generate::retail(rows, SEED, BufWriter::new(out)).with_context(writing)?;
    fs::rename(&staged, file).with_context(writing)
}

/// The result as people read it; its fields hold no commas.
fn table(file: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(file).with_context(|| format!("reading `{}`", file.display()))?;
    let mut lines = text.lines();
    let mut table = Table::of(lines.next().unwrap_or_default().split(',').map(str::to_owned));
    for line in lines {
        table.row(line.split(',').map(str::to_owned));
    }
    Ok(table)
}
