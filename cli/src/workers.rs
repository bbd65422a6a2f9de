//! `subak workers`: who runs tasks, and what lets them join.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_proto::JoinToken;
use subak_store::Store;

use crate::audit;
use crate::certificate;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Output, Row};
use crate::place::{At, Place};
use crate::remote::is_missing;
use crate::runs::with_engine;

/// Shows workers, and lets new ones join.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the workers that are joined.
    #[command(after_help = "Example:\n  subak workers list")]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Lets a worker take no more tasks; it ends when its running ones have, however long they take.
    #[command(after_help = "\
Example:
  subak workers drain night-shift     before its machine goes down

It does not come back by itself: start it again when the machine is back.")]
    Drain {
        #[command(flatten)]
        place: Place,
        /// As `subak workers list` shows it.
        name: String,
    },
    /// Makes a certificate for the servers, unless it is there already.
    ///
    /// Workers trust it by its fingerprint, which a join token carries: it needs no authority and no
    /// names. All servers have the same.
    #[command(after_help = "\
Example:
  subak workers certificate --folder /etc/subak/tls     makes workers.crt and workers.key")]
    Certificate {
        /// Folder of `workers.crt` and `workers.key`; made if absent.
        #[arg(long, value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Prints a token by which workers join. It carries the fingerprint of the servers' certificate.
    #[command(after_help = "\
Example:
  subak workers token --tls-certificate /etc/subak/tls/workers.crt > join-token
  Then, on the worker's machine:  SUBAK_JOIN_TOKEN_FILE=join-token subak worker --server https://…:8081")]
    Token {
        #[command(flatten)]
        place: Place,
        /// The servers' certificate, PEM.
        #[arg(long, env = "SUBAK_TLS_CERTIFICATE", value_name = "FILE")]
        tls_certificate: PathBuf,
        /// What the token is for.
        #[arg(long, default_value = "workers")]
        name: String,
        /// Days for which workers may join by it; left out: until `subak workers revoke`.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Lists the join tokens: their names, never the tokens themselves.
    #[command(after_help = "Example:\n  subak workers tokens")]
    Tokens {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Lets no worker join any more by the tokens of a name.
    #[command(after_help = "\
Example:
  subak workers revoke workers

Workers that have joined stay until they end; stop them to be rid of them.")]
    Revoke {
        #[command(flatten)]
        place: Place,
        /// As `subak workers tokens` shows it.
        name: String,
    },
}

/// Whoever makes join tokens decides whose machines run tasks.
const INSTEAD: &str = "join tokens are made where the servers are";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { place, output } => list(&place, output).await?,
        Command::Drain { place, name } => drain(&place, &name).await?,
        Command::Certificate { folder } => {
            let file = certificate::make(&folder)?;
            output::line(file.display())?;
        }
        Command::Token { place, tls_certificate, name, days } => {
            let fingerprint = certificate::fingerprint(&tls_certificate)?;
            let life = days.map(|days| DAY * days);
            let store = place.here(INSTEAD)?.store().await?;
            let secret = store.join_token_create(&name, life).await?;
            let of = audit::about("post_join_token", format!("join token {name}"));
            audit::add(&store, of, Value::Null, json!({"name": name, "days": days})).await?;
            let token =
                JoinToken { secret: secret.expose().to_owned(), certificate: Some(fingerprint) };
            output::line(token)?;
        }
        Command::Tokens { place, output } => tokens(place.here(INSTEAD)?, output).await?,
        Command::Revoke { place, name } => {
            let store = place.here(INSTEAD)?.store().await?;
            let revoked = store.join_token_revoke(&name).await?;
            if revoked > 0 {
                let of = audit::about("delete_join_token", format!("join token {name}"));
                let before = json!({"name": name, "tokens": revoked});
                audit::add(&store, of, before, Value::Null).await?;
            }
            match revoked {
                0 => bail!("no join token is named `{name}`: `subak workers tokens` lists them"),
                1 => output::line(format!("revoked a token named {name}"))?,
                many => output::line(format!("revoked {many} tokens named {name}"))?,
            }
        }
    }
    Ok(Ended::Success)
}

async fn drain(place: &Place, name: &str) -> anyhow::Result<()> {
    let is_joined = match place.open().await? {
        At::Database(store) => drain_here(&store, name).await?,
        At::Server(server) => {
            match server.act(Method::POST, &["workers", name, "drain"], &[]).await {
                Err(error) if is_missing(&error) => false,
                done => done.map(|_| true)?,
            }
        }
    };
    if !is_joined {
        bail!("no worker named `{name}` is joined: `subak workers list` shows them");
    }
    output::line(format!("{name} takes no more tasks, and ends when its running ones have"))?;
    Ok(())
}

/// The same, by the database; false if no worker of this name is joined.
async fn drain_here(store: &Store, name: &str) -> anyhow::Result<bool> {
    let mut before = store.workers().await?;
    before.retain(|it| it.worker == name);
    let drained = with_engine(store, async |engine| engine.worker_drain(name).await).await?;
    if drained == 0 {
        return Ok(false);
    }
    let of = audit::about("drain_worker", format!("worker {name}"));
    let before = json!({"draining": before.iter().all(|it| it.draining)});
    audit::add(store, of, before, json!({"draining": true})).await?;
    Ok(true)
}

/// A join token, without its secret.
#[derive(Serialize)]
struct Token {
    name: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Row for Token {
    const HEADING: &'static [&'static str] = &["name", "made", "expires", "revoked"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            output::instant(Some(self.created_at)),
            output::instant(self.expires_at),
            output::instant(self.revoked_at),
        ]
    }
}

async fn tokens(metadata: &Metadata, output: Output) -> anyhow::Result<()> {
    let all = metadata.store().await?.join_token_list().await?;
    let token = |it: subak_store::access::JoinTokenRow| Token {
        name: it.name,
        created_at: it.created_at,
        expires_at: it.expires_at,
        revoked_at: it.revoked_at,
    };
    output.list(&all.into_iter().map(token).collect::<Vec<_>>())
}

/// A worker that is joined; spelt as the API spells it.
#[derive(Serialize, Deserialize)]
struct Worker {
    worker: String,
    version: String,
    server: String,
    queues: Value,
    started_at: DateTime<Utc>,
    draining: bool,
}

impl Row for Worker {
    const HEADING: &'static [&'static str] =
        &["worker", "version", "server", "queues", "since", "state"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.worker.clone(),
            self.version.clone(),
            self.server.clone(),
            queues(&self.queues),
            output::instant(Some(self.started_at)),
            if self.draining { "draining" } else { "running" }.to_owned(),
        ]
    }
}

async fn list(place: &Place, output: Output) -> anyhow::Result<()> {
    let worker = |it: subak_store::WorkerRow| Worker {
        worker: it.worker,
        version: it.version,
        server: it.server,
        queues: it.queues,
        started_at: it.started_at,
        draining: it.draining,
    };
    let all = match place.open().await? {
        At::Database(store) => store.workers().await?.into_iter().map(worker).collect(),
        At::Server(server) => {
            server.list::<Worker>(&["workers"], "workers", &[], usize::MAX).await?.items
        }
    };
    output.list(&all)
}

/// `default=16, heavy=1`.
fn queues(value: &Value) -> String {
    let queues = value.as_array().into_iter().flatten();
    let named = queues.filter_map(|queue| Some((queue["queue"].as_str()?, &queue["slots"])));
    named.map(|(name, slots)| format!("{name}={slots}")).collect::<Vec<_>>().join(", ")
}
