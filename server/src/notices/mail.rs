//! Mails by SMTP (RFC 5321): STARTTLS by default, TLS from the first byte on port 465, or none where the
//! connection says so. A crate for it would change features of crates below DataFusion, and have it
//! compiled again.

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use subak_core::connection::{Fields, Smtp, SmtpTls};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};

use super::ForGood;
use super::line::{Line, connect, secure};
use super::message::Message;

/// Servers speak in lines of 512 bytes; some say more.
const LINE_BYTES_MOST: u64 = 4_096;
/// Of one reply.
const LINES_MOST: usize = 100;
/// Of base64, as mails have it.
const WIDTH: usize = 76;

pub(super) async fn send(
    connection: &Fields,
    to: &[String],
    message: &Message,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let smtp = Smtp::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?;
    if to.is_empty() {
        bail!(ForGood("a mail needs `to`: addresses that it goes to".to_owned()));
    }
    let mut talk = Talk::open(&smtp).await?;
    if let (Some(login), Some(password)) = (&smtp.login, &smtp.password) {
        if smtp.tls == SmtpTls::None && !is_here(&smtp.host) {
            bail!(ForGood("a password is not sent without TLS: leave `tls: none` out".to_owned()));
        }
        let secret = STANDARD.encode(format!("\0{login}\0{password}"));
        talk.ask(&format!("AUTH PLAIN {secret}"), 235).await.context("signing in")?;
    }
    talk.ask(&format!("MAIL FROM:<{}>", smtp.from), 250).await?;
    for address in to {
        talk.ask(&format!("RCPT TO:<{address}>"), 250).await?;
    }
    talk.ask("DATA", 354).await?;
    talk.write(&written(&smtp, to, message, now)).await?;
    talk.ask(".", 250).await?;
    // It is kept by now, whatever becomes of the farewell.
    let _ = talk.ask("QUIT", 221).await;
    Ok(())
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A conversation with a mail server.
struct Talk {
    line: BufStream<Box<dyn Line>>,
}

impl Talk {
    /// Connects and greets, with TLS as the connection has it.
    async fn open(smtp: &Smtp) -> anyhow::Result<Self> {
        let stream = connect(&smtp.host, smtp.port).await?;
        let stream: Box<dyn Line> = match smtp.tls {
            SmtpTls::Implicit => secure(stream, &smtp.host).await?,
            SmtpTls::StartTls | SmtpTls::None => Box::new(stream),
        };
        let mut talk = Self { line: BufStream::new(stream) };
        talk.reply(220).await?;
        talk.ask("EHLO subak", 250).await?;
        if smtp.tls == SmtpTls::StartTls {
            talk.ask("STARTTLS", 220).await.context("the mail server offers no TLS")?;
            // What somebody in between may have sent ahead is not read.
            let stream = secure(talk.line.into_inner(), &smtp.host).await?;
            talk = Self { line: BufStream::new(stream) };
            talk.ask("EHLO subak", 250).await?;
        }
        Ok(talk)
    }

    async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.line.write_all(text.as_bytes()).await?;
        Ok(self.line.flush().await?)
    }

    async fn ask(&mut self, command: &str, expected: u16) -> anyhow::Result<()> {
        self.write(&format!("{command}\r\n")).await?;
        self.reply(expected).await
    }

    /// Reads a reply of one line or several.
    async fn reply(&mut self, expected: u16) -> anyhow::Result<()> {
        for _ in 0..LINES_MOST {
            let mut line = Vec::new();
            (&mut self.line).take(LINE_BYTES_MOST).read_until(b'\n', &mut line).await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code: u16 = line
                .get(..3)
                .and_then(|code| code.parse().ok())
                .context("the mail server hung up, or speaks no SMTP")?;
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let said = line.trim();
            return match code {
                code if code == expected || (expected == 250 && code == 251) => Ok(()),
                500.. => Err(ForGood(format!("the mail server refuses it: {said}")).into()),
                _ => bail!("the mail server says: {said}"),
            };
        }
        bail!("the mail server does not come to an end")
    }
}

/// The mail, its text as base64: no line of it can be taken for the end.
fn written(smtp: &Smtp, to: &[String], message: &Message, now: DateTime<Utc>) -> String {
    let encoded = STANDARD.encode(&message.text);
    let lines: Vec<&str> = (0..encoded.len())
        .step_by(WIDTH)
        .map(|at| &encoded[at..encoded.len().min(at + WIDTH)])
        .collect();
    [
        format!("From: Subak <{}>", smtp.from),
        format!("To: {}", to.join(",\r\n ")),
        format!("Subject: {}", header(&format!("[Subak] {}", message.subject))),
        format!("Date: {}", now.to_rfc2822()),
        // The same thing, sent twice, can be told.
        format!("Message-ID: <{}.{}>", message.id, smtp.from),
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
        String::new(),
        lines.join("\r\n"),
        String::new(),
    ]
    .join("\r\n")
}

/// A header's value: words of RFC 2047 where it is not plain.
fn header(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.len() <= WIDTH {
        return text.to_owned();
    }
    // 45 bytes are 60 characters of base64; a word may have 75 in all.
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars().filter(|c| !c.is_control()) {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > 45) {
            words.push(String::new());
        }
        words.last_mut().expect("there is one from the start").push(c);
    }
    let words = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    words.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_or_encoded() {
        assert_eq!(header("[Subak] run of shop failed"), "[Subak] run of shop failed");
        assert_eq!(header("käse\r\nBcc: x"), "=?utf-8?B?a8Okc2VCY2M6IHg=?=");
        let long = header(&"x".repeat(200));
        assert!(long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }
}
