//! `subak workers`: who runs tasks, and what lets them join.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use serde_json::Value;
use subak_proto::JoinToken;

use crate::certificate;
use crate::config::Metadata;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};
use crate::runs::with_engine;

/// Shows workers, and lets new ones join.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the workers that are joined.
    List {
        #[command(flatten)]
        metadata: Metadata,
    },
    /// Lets a worker take no more tasks; it ends when its running ones have, however long they take.
    #[command(after_help = "\
Example:
  subak workers drain night-shift     before its machine goes down

It does not come back by itself: start it again when the machine is back.")]
    Drain {
        #[command(flatten)]
        metadata: Metadata,
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
        metadata: Metadata,
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
    Tokens {
        #[command(flatten)]
        metadata: Metadata,
    },
    /// Lets no worker join any more by the tokens of a name.
    #[command(after_help = "\
Example:
  subak workers revoke workers

Workers that have joined stay until they end; stop them to be rid of them.")]
    Revoke {
        #[command(flatten)]
        metadata: Metadata,
        /// As `subak workers tokens` shows it.
        name: String,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List { metadata } => list(&metadata).await?,
        Command::Drain { metadata, name } => drain(&metadata, &name).await?,
        Command::Certificate { folder } => {
            let file = certificate::make(&folder)?;
            output::line(file.display())?;
        }
        Command::Token { metadata, tls_certificate, name, days } => {
            let fingerprint = certificate::fingerprint(&tls_certificate)?;
            let life = days.map(|days| DAY * days);
            let secret = metadata.store().await?.join_token_create(&name, life).await?;
            let token =
                JoinToken { secret: secret.expose().to_owned(), certificate: Some(fingerprint) };
            output::line(token)?;
        }
        Command::Tokens { metadata } => tokens(&metadata).await?,
        Command::Revoke { metadata, name } => {
            match metadata.store().await?.join_token_revoke(&name).await? {
                0 => bail!("no join token is named `{name}`: `subak workers tokens` lists them"),
                1 => output::line(format!("revoked a token named {name}"))?,
                many => output::line(format!("revoked {many} tokens named {name}"))?,
            }
        }
    }
    Ok(Ended::Success)
}

async fn drain(metadata: &Metadata, name: &str) -> anyhow::Result<()> {
    let store = metadata.store().await?;
    let drained = with_engine(&store, async |engine| engine.worker_drain(name).await).await?;
    if drained == 0 {
        bail!("no worker named `{name}` is joined: `subak workers list` shows them");
    }
    output::line(format!("{name} takes no more tasks, and ends when its running ones have"))?;
    Ok(())
}

async fn tokens(metadata: &Metadata) -> anyhow::Result<()> {
    let mut table = Table::new(&["name", "made", "expires", "revoked"]);
    for token in metadata.store().await?.join_token_list().await? {
        table.row([
            token.name,
            output::instant(Some(token.created_at)),
            output::instant(token.expires_at),
            output::instant(token.revoked_at),
        ]);
    }
    table.print()?;
    Ok(())
}

async fn list(metadata: &Metadata) -> anyhow::Result<()> {
    let mut table = Table::new(&["worker", "version", "server", "queues", "since", "state"]);
    for worker in metadata.store().await?.workers().await? {
        table.row([
            worker.worker,
            worker.version,
            worker.server,
            queues(&worker.queues),
            output::instant(Some(worker.started_at)),
            if worker.draining { "draining" } else { "running" }.to_owned(),
        ]);
    }
    table.print()?;
    Ok(())
}

/// `default=16, heavy=1`.
fn queues(value: &Value) -> String {
    let queues = value.as_array().into_iter().flatten();
    let named = queues.filter_map(|queue| Some((queue["queue"].as_str()?, &queue["slots"])));
    named.map(|(name, slots)| format!("{name}={slots}")).collect::<Vec<_>>().join(", ")
}
