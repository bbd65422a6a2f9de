//! Webhooks: JSON, signed, and what Slack and its like take. One request on a connection of its own; no
//! redirect is followed, because a signed message goes where the connection says.

use anyhow::{Context, bail};
use sha2::{Digest as _, Sha256};
use subak_core::connection::{Fields, Slack, Webhook};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use url::Url;

use super::ForGood;
use super::line::{Line, connect, secure};
use super::message::Message;

/// SHA-256's.
const BLOCK_BYTES: usize = 64;
/// Of the line that says how it went.
const STATUS_BYTES_MOST: u64 = 4_096;

/// `{"text": …}`, as Slack, Mattermost and others take it. The address itself is the secret.
pub(super) async fn slack(connection: &Fields, message: &Message) -> anyhow::Result<()> {
    let slack = Slack::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?;
    let body = serde_json::json!({ "text": message.text }).to_string();
    post(&slack.url, &[], &body).await
}

/// The message as JSON, with its signature if the connection has a password.
pub(super) async fn webhook(connection: &Fields, message: &Message) -> anyhow::Result<()> {
    let webhook = Webhook::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?;
    let body = message.json.to_string();
    let event = message.json["event"].as_str().unwrap_or_default();
    let mut headers = webhook.headers;
    headers.push(("X-Subak-Event".to_owned(), event.to_owned()));
    headers.push(("X-Subak-Delivery".to_owned(), message.id.to_string()));
    if let Some(key) = &webhook.key {
        let signature = subak_core::hex::encode(&hmac(key.as_bytes(), body.as_bytes()));
        headers.push(("X-Subak-Signature".to_owned(), format!("sha256={signature}")));
    }
    post(&webhook.url, &headers, &body).await
}

/// Posts JSON. Errors never quote the address: it may be a secret.
async fn post(address: &str, headers: &[(String, String)], body: &str) -> anyhow::Result<()> {
    let wrong = || ForGood("the address is not one of HTTP".to_owned());
    let url = Url::parse(address).map_err(|_| wrong())?;
    let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or_else(wrong)?;
    let stream = connect(host.trim_matches(['[', ']']), port).await?;
    let stream: Box<dyn Line> = match url.scheme() {
        "https" => secure(stream, host).await?,
        _ => Box::new(stream),
    };
    let status = ask(stream, &request(&url, headers, body)).await?;
    match status {
        200..300 => Ok(()),
        408 | 425 | 429 | 500.. => bail!("it answers {status}"),
        _ => bail!(ForGood(format!("it answers {status}"))),
    }
}

fn request(url: &Url, headers: &[(String, String)], body: &str) -> String {
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let mut text = format!("POST {}{query} HTTP/1.1\r\nHost: {host}{port}\r\n", url.path());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!(
        "User-Agent: subak/{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        env!("CARGO_PKG_VERSION"),
        body.len(),
    ));
    text
}

/// Sends a request; returns the status of the answer.
async fn ask(stream: Box<dyn Line>, request: &str) -> anyhow::Result<u16> {
    let mut stream = BufReader::new(stream);
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    loop {
        let mut line = Vec::new();
        (&mut stream).take(STATUS_BYTES_MOST).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        let status: u16 = status
            .and_then(|it| it.trim().parse().ok())
            .context("it hung up, or speaks no HTTP")?;
        if status >= 200 {
            return Ok(status);
        }
        // Only an interim answer: the rest of its head, and then the real one.
        loop {
            let mut line = Vec::new();
            (&mut stream).take(STATUS_BYTES_MOST).read_until(b'\n', &mut line).await?;
            if line.len() <= 2 {
                break;
            }
        }
    }
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4231.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let hex = |bytes: [u8; 32]| subak_core::hex::encode(&bytes);
        assert_eq!(
            hex(hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = [0xaa; 131];
        assert_eq!(
            hex(hmac(&long, b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_request_has_its_path_and_no_more() {
        let url = Url::parse("https://hooks.example.org:8443/a b?c=d#e").unwrap();
        let text = request(&url, &[("X-A".to_owned(), "b".to_owned())], "{}");
        assert!(
            text.starts_with(
                "POST /a%20b?c=d HTTP/1.1\r\nHost: hooks.example.org:8443\r\nX-A: b\r\n"
            )
        );
        assert!(text.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\n{}"), "{text}");
    }
}
