//! Webhooks: JSON, signed, and what Slack and its like take. No redirect is followed, because a signed
//! message goes where the connection says.

use std::error::Error as _;
use std::sync::OnceLock;

use anyhow::{Context, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use serde_json::{Value, json};
use sha2::Sha256;
use subak_core::connection::{Fields, Slack, Webhook};

use super::message::Message;
use super::{ForGood, WITHIN};

/// `{"text": …}`, as Slack, Mattermost and others take it. The address itself is the secret.
pub(super) async fn slack(connection: &Fields, message: &Message) -> anyhow::Result<()> {
    let slack = read_slack(connection)?;
    let body = json!({ "text": message.text }).to_string();
    judged(post(&slack.url, slack.authority.as_deref(), &[], body).await?)
}

/// The message as JSON, with its signature if the connection has a password.
pub(super) async fn webhook(connection: &Fields, message: &Message) -> anyhow::Result<()> {
    let event = message.json["event"].as_str().unwrap_or_default();
    let status = tell(connection, event, &message.id.to_string(), message.json.to_string()).await?;
    judged(status)
}

/// An empty message, which Slack's address refuses as such and shows to nobody.
pub(super) async fn probe_slack(connection: &Fields) -> anyhow::Result<Value> {
    let slack = read_slack(connection)?;
    let status = post(&slack.url, slack.authority.as_deref(), &[], json!({}).to_string()).await?;
    if status != 400 {
        judged(status)?;
    }
    Ok(json!({ "server": "HTTP", "status": status }))
}

/// The event `ping`, signed like any other.
pub(super) async fn probe_webhook(connection: &Fields) -> anyhow::Result<Value> {
    let status = tell(connection, "ping", "0", json!({ "event": "ping" }).to_string()).await?;
    judged(status)?;
    Ok(json!({ "server": "HTTP", "status": status }))
}

fn read_slack(connection: &Fields) -> anyhow::Result<Slack> {
    Ok(Slack::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?)
}

async fn tell(
    connection: &Fields,
    event: &str,
    delivery: &str,
    body: String,
) -> anyhow::Result<u16> {
    let webhook = Webhook::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?;
    let mut headers = webhook.headers;
    headers.push(("X-Subak-Event".to_owned(), event.to_owned()));
    headers.push(("X-Subak-Delivery".to_owned(), delivery.to_owned()));
    if let Some(key) = &webhook.key {
        let signature = signature(key.as_bytes(), body.as_bytes())?;
        headers.push(("X-Subak-Signature".to_owned(), format!("sha256={signature}")));
    }
    post(&webhook.url, webhook.authority.as_deref(), &headers, body).await
}

/// Posts JSON; returns the status of the answer. Errors never quote the address: it may be a secret.
async fn post(
    address: &str,
    authority: Option<&str>,
    headers: &[(String, String)],
    body: String,
) -> anyhow::Result<u16> {
    let mut all = HeaderMap::new();
    all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let wrong = || ForGood(format!("the header `{name}` is none"));
        let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        all.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
    }
    let answer = client(authority)?.post(address).headers(all).body(body).send().await;
    Ok(answer.map_err(failure)?.status().as_u16())
}

/// What an answer says: another time may be better, or never.
fn judged(status: u16) -> anyhow::Result<()> {
    match status {
        200..300 => Ok(()),
        408 | 425 | 429 | 500.. => bail!("it answers {status}"),
        _ => bail!(ForGood(format!("it answers {status}"))),
    }
}

/// A client; the one that trusts this machine's roots alone is made once.
fn client(authority: Option<&str>) -> anyhow::Result<Client> {
    static PLAIN: OnceLock<Client> = OnceLock::new();
    let Some(file) = authority else {
        if let Some(client) = PLAIN.get() {
            return Ok(client.clone());
        }
        let client = builder().build().context("reading the machine's certificates")?;
        return Ok(PLAIN.get_or_init(|| client).clone());
    };
    let found = Certificate::from_pem_bundle(&super::authority(file)?)
        .map_err(|_| ForGood(format!("extra `ca`: `{file}` holds no certificates")))?;
    let builder = found.into_iter().fold(builder(), ClientBuilder::add_root_certificate);
    builder.build().context("reading the certificates")
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("subak/", env!("CARGO_PKG_VERSION")))
        .timeout(WITHIN)
        .redirect(Policy::none())
}

/// The cause, without the address.
fn failure(error: reqwest::Error) -> anyhow::Error {
    let is_for_good = error.is_builder();
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // The last one says most: `Connection refused`.
        cause = source.to_string();
        next = source.source();
    }
    match is_for_good {
        true => ForGood(format!("the address is not one of HTTP: {cause}")).into(),
        false => anyhow::anyhow!("it cannot be reached: {cause}"),
    }
}

/// HMAC-SHA256 in hexadecimal digits.
fn signature(key: &[u8], message: &[u8]) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(message);
    Ok(subak_core::hex::encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector of RFC 4231.
    #[test]
    fn signatures_are_those_of_the_standard() {
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?").unwrap(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
