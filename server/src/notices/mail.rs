//! Mails: STARTTLS by default, TLS from the first byte on port 465, or none where the connection says so.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mail};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use serde_json::{Value, json};
use subak_core::connection::{Fields, Smtp, SmtpTls};

use super::message::Message;
use super::{ForGood, WITHIN, authority};

pub(super) async fn send(
    connection: &Fields,
    to: &[String],
    message: &Message,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let smtp = read(connection)?;
    if to.is_empty() {
        bail!(ForGood("a mail needs `to`: addresses that it goes to".to_owned()));
    }
    let mail = written(&smtp, to, message, now)?;
    transport(&smtp)?.send(mail).await.map_err(failure)?;
    Ok(())
}

/// Connects and signs in, and sends nothing.
pub(super) async fn probe(connection: &Fields) -> anyhow::Result<Value> {
    let smtp = read(connection)?;
    if !transport(&smtp)?.test_connection().await.map_err(failure)? {
        bail!("the mail server hangs up");
    }
    let encryption = match smtp.tls {
        SmtpTls::StartTls => "STARTTLS",
        SmtpTls::Implicit => "TLS",
        SmtpTls::None => "none",
    };
    Ok(json!({ "server": "SMTP", "encryption": encryption, "user": smtp.login }))
}

fn read(connection: &Fields) -> anyhow::Result<Smtp> {
    Ok(Smtp::new(connection.clone()).map_err(|why| ForGood(why.to_string()))?)
}

fn transport(smtp: &Smtp) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let tls = match smtp.tls {
        SmtpTls::Implicit => Tls::Wrapper(parameters(smtp)?),
        SmtpTls::StartTls => Tls::Required(parameters(smtp)?),
        SmtpTls::None => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .hello_name(ClientId::Domain("subak".to_owned()))
        .timeout(Some(WITHIN))
        .tls(tls);
    let (Some(login), Some(password)) = (&smtp.login, &smtp.password) else {
        return Ok(builder.build());
    };
    if smtp.tls == SmtpTls::None && !is_here(&smtp.host) {
        bail!(ForGood("a password is not sent without TLS: leave `tls: none` out".to_owned()));
    }
    Ok(builder.credentials(Credentials::new(login.clone(), password.clone())).build())
}

/// The certificate must be good for the host, by the roots of this machine or the connection's own.
fn parameters(smtp: &Smtp) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(smtp.host.trim_matches(['[', ']']).to_owned());
    if let Some(file) = &smtp.authority {
        let certificate = Certificate::from_pem(&authority(file)?);
        let certificate = certificate
            .map_err(|_| ForGood(format!("extra `ca`: `{file}` holds no certificates")))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().context("TLS")
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What people are told of it; what a server refuses for good it refuses the next time, too.
fn failure(error: lettre::transport::smtp::Error) -> anyhow::Error {
    let is_for_good = error.is_permanent();
    let text = format!("{:#}", anyhow::Error::from(error));
    match is_for_good {
        true => ForGood(format!("the mail server refuses it: {text}")).into(),
        false => anyhow::anyhow!("the mail server: {text}"),
    }
}

fn written(
    smtp: &Smtp,
    to: &[String],
    message: &Message,
    now: DateTime<Utc>,
) -> anyhow::Result<Mail> {
    let address = |text: &str| {
        text.parse().map_err(|_| ForGood(format!("`{text}` is no address that mails go to")))
    };
    let mut builder = Mail::builder()
        .from(Mailbox::new(Some("Subak".to_owned()), address(&smtp.from)?))
        .subject(format!("[Subak] {}", message.subject))
        .date(now.into())
        // The same thing, sent twice, can be told.
        .message_id(Some(format!("<{}.{}>", message.id, smtp.from)))
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN);
    for one in to {
        builder = builder.to(Mailbox::new(None, address(one)?));
    }
    Ok(builder.body(message.text.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_who_what_and_when_and_no_line_ends_a_header() {
        let smtp = Smtp {
            host: "localhost".to_owned(),
            port: 25,
            login: None,
            password: None,
            from: "subak@example.com".to_owned(),
            tls: SmtpTls::None,
            authority: None,
        };
        let message = Message {
            id: 7,
            subject: "käse\r\nBcc: eve@example.com".to_owned(),
            text: "one\n.\ntwo\n".to_owned(),
            json: Value::Null,
        };
        let now = "2026-11-20T01:02:03Z".parse().unwrap();
        let mail = written(&smtp, &["ana@example.com".to_owned()], &message, now).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.contains("From: Subak <subak@example.com>"), "{head}");
        assert!(head.contains("Message-ID: <7.subak@example.com>"), "{head}");
        assert!(head.contains("Fri, 20 Nov 2026 01:02:03 +0000"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        let wrong = written(&smtp, &["nobody".to_owned()], &message, now).unwrap_err();
        assert!(wrong.is::<ForGood>(), "{wrong}");
    }
}
