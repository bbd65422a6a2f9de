//! Tells people of ends: mails, messages to Slack, webhooks. What is to be told lies in the database;
//! each is sent by itself, tried again later and later, and given up after a day. Nothing of the engine
//! waits for it.

mod mail;
mod message;
mod post;

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::join_all;
use serde_json::Value;
use subak_core::connection::{Fields, fields};
use subak_store::Notification;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock;
use crate::engine::{Core, Engine};
use message::Message;

/// What other servers have left is found this late at most, and what commands have whose news were lost.
const LOOK: Duration = Duration::from_secs(30);
/// Notifications that are sent at once.
const AT_ONCE: i64 = 16;
/// For one of them, connecting included.
const WITHIN: Duration = Duration::from_secs(30);

/// An error that another time would bring again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ForGood(String);

/// Sends what is due until it is told to stop.
pub(crate) async fn run(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let core = engine.core();
    loop {
        let wait = match send_due(core).await {
            Ok(wait) => wait,
            Err(error) => {
                warn!(error = format!("{error:#}"), "notifications could not be looked for");
                LOOK
            }
        };
        select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = core.notices_left() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Sends everything that is due; returns how long nothing else is.
async fn send_due(core: &Core) -> anyhow::Result<Duration> {
    loop {
        let due = core.asked(core.store.notifications_take(AT_ONCE)).await?;
        if due.is_empty() {
            break;
        }
        join_all(due.iter().map(|one| send(core, one))).await;
    }
    let next = core.asked(core.store.notification_next()).await?;
    let millis = next.map(|millis| u64::try_from(millis).unwrap_or(0));
    Ok(millis.map_or(LOOK, |millis| Duration::from_millis(millis).clamp(WAIT_LEAST, LOOK)))
}

/// Not sooner, whatever the clocks say.
const WAIT_LEAST: Duration = Duration::from_millis(200);

async fn send(core: &Core, one: &Notification) {
    let id = one.id;
    let sent = tokio::time::timeout(WITHIN, deliver(core, one)).await;
    let sent = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {WITHIN:?}")));
    let noted = match sent {
        Ok(()) => {
            debug!(notification.id = id, "sent by `{}`", one.connection);
            core.asked(core.store.notification_sent(id)).await
        }
        Err(error) => {
            let for_good = error.downcast_ref::<ForGood>().is_some();
            let text = format!("{error:#}");
            let failed = core.asked(core.store.notification_failed(id, &text, for_good)).await;
            failed.map(|given_up| {
                let what = if given_up { "given up" } else { "tried again later" };
                warn!(
                    notification.id = id,
                    dag.id = one.dag_id,
                    run.id = one.run_id,
                    error = text,
                    "a notification by `{}` could not be sent, and is {what}",
                    one.connection
                );
            })
        }
    };
    if let Err(error) = noted {
        // It is due again in two minutes.
        warn!(notification.id = id, error = format!("{error:#}"), "it could not be noted");
    }
}

async fn deliver(core: &Core, one: &Notification) -> anyhow::Result<()> {
    let connection = connection(core, &one.connection).await?;
    let message = Message::of(one);
    match connection.conn_type.as_str() {
        "smtp" => mail::send(&connection, &one.recipients, &message, clock::now()).await,
        "slack" => post::slack(&connection, &message).await,
        "webhook" => post::webhook(&connection, &message).await,
        other => bail!(ForGood(format!(
            "connection `{}` is of type `{other}`: it is to be smtp, slack or webhook",
            one.connection
        ))),
    }
}

/// Tests a connection by which people are told, from here: servers send, not workers. Of a mail server
/// nobody gets a mail; a webhook is sent the event `ping`. What is said holds no address and no secret.
pub async fn probe(value: &Value, patience: Duration) -> anyhow::Result<Value> {
    let connection = fields(value)?;
    let asked = async {
        match connection.conn_type.as_str() {
            "smtp" => mail::probe(&connection).await,
            "slack" => post::probe_slack(&connection).await,
            "webhook" => post::probe_webhook(&connection).await,
            other => bail!("a connection of type `{other}` tells nobody"),
        }
    };
    let answer = tokio::time::timeout(patience, asked).await;
    answer.unwrap_or_else(|_| bail!("no answer within {patience:?}"))
}

/// Whether people are told by connections of a type.
#[must_use]
pub fn tells(conn_type: &str) -> bool {
    matches!(conn_type, "smtp" | "slack" | "webhook")
}

/// The certificates of a connection's own authority.
fn authority(file: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("extra `ca`: reading `{file}`"))
}

async fn connection(core: &Core, name: &str) -> anyhow::Result<Fields> {
    let found = core.connections([&name.to_owned()]).await?;
    let Some(found) = found.first() else {
        // Somebody may add it.
        bail!("connection `{name}` does not exist: add it with `subak connections add`");
    };
    let value = serde_json::from_slice(&found.value).context("reading the connection")?;
    Ok(fields(&value)?)
}
