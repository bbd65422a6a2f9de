//! Where notifications end up in tests: a web server and a mail server on loopback, which keep what they
//! are sent, and refuse as they are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::BufStream;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// A request that a web server was sent.
#[derive(Debug, Clone)]
pub struct Posted {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A mail that a mail server was sent.
#[derive(Debug, Clone, Default)]
pub struct Mailed {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and text.
    pub data: String,
}

/// A server on loopback; it ends when it is dropped.
#[derive(Debug)]
pub struct Sink<T> {
    port: u16,
    received: mpsc::UnboundedReceiver<T>,
    answers: Answers,
    serving: AbortHandle,
}

/// What is answered to the next ones, before all is well.
type Answers = Arc<Mutex<VecDeque<&'static str>>>;

impl Posted {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

impl<T> Sink<T> {
    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next ones are refused with this: `503 Busy` of a web server, `451 later` of a mail server.
    pub fn refuse(&self, answers: &[&'static str]) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answers);
    }

    /// Waits for the next thing that it is sent, also if it is refused.
    pub async fn next(&mut self) -> anyhow::Result<T> {
        let received =
            tokio::time::timeout(std::time::Duration::from_secs(60), self.received.recv());
        received.await.context("nothing was sent")?.context("the sink has ended")
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How a sink encrypts.
#[derive(Clone)]
pub enum Encryption {
    None,
    /// From the first byte.
    Implicit(Certificate),
    /// A mail server's, once it is asked to.
    StartTls(Certificate),
}

/// A certificate for `localhost`, signed by itself.
#[derive(Clone)]
pub struct Certificate {
    acceptor: TlsAcceptor,
    file: Arc<tempfile::NamedTempFile>,
}

impl Certificate {
    /// Makes one.
    pub fn new() -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), made.cert.pem())?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), file: Arc::new(file) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// The file that whoever trusts it names.
    #[must_use]
    pub fn path(&self) -> String {
        self.file.path().display().to_string()
    }
}

/// Bytes both ways.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Starts a web server.
pub async fn web() -> anyhow::Result<Sink<Posted>> {
    web_with(Encryption::None).await
}

/// Starts a web server, with encryption or without.
pub async fn web_with(encryption: Encryption) -> anyhow::Result<Sink<Posted>> {
    serve(move |stream, answers, sent| {
        let encryption = encryption.clone();
        async move { post(opened(stream, &encryption).await?, &answers, &sent).await }
    })
    .await
}

/// Starts a mail server, without encryption.
pub async fn mail() -> anyhow::Result<Sink<Mailed>> {
    mail_with(Encryption::None).await
}

/// Starts a mail server, with encryption or without. It knows everybody whose password is `hunter22`.
pub async fn mail_with(encryption: Encryption) -> anyhow::Result<Sink<Mailed>> {
    serve(move |stream, answers, sent| {
        let encryption = encryption.clone();
        async move {
            let line = opened(stream, &encryption).await?;
            converse(line, &encryption, &answers, &sent).await
        }
    })
    .await
}

/// A connection as it begins.
async fn opened(stream: TcpStream, encryption: &Encryption) -> anyhow::Result<Box<dyn Line>> {
    Ok(match encryption {
        Encryption::Implicit(certificate) => Box::new(certificate.acceptor.accept(stream).await?),
        Encryption::None | Encryption::StartTls(_) => Box::new(stream),
    })
}

async fn serve<T, F>(
    each: impl Fn(TcpStream, Answers, mpsc::UnboundedSender<T>) -> F + Send + 'static,
) -> anyhow::Result<Sink<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (sent, received) = mpsc::unbounded_channel();
    let answers = Answers::default();
    let shared = Arc::clone(&answers);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that hangs up is none of the server's business.
            tokio::spawn(each(stream, Arc::clone(&shared), sent.clone()));
        }
    });
    Ok(Sink { port, received, answers, serving: serving.abort_handle() })
}

fn answer(answers: &Answers, good: &'static str) -> &'static str {
    answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(good)
}

async fn post(
    stream: Box<dyn Line>,
    answers: &Answers,
    sent: &mpsc::UnboundedSender<Posted>,
) -> anyhow::Result<()> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Ok(0), |(_, value)| value.parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    // Before the test hears of it: what it then says is for the next one.
    let status = answer(answers, "200 OK");
    let _ = sent.send(Posted { path, headers, body: String::from_utf8(body)? });
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    Ok(stream.shutdown().await?)
}

async fn converse(
    line: Box<dyn Line>,
    encryption: &Encryption,
    answers: &Answers,
    sent: &mpsc::UnboundedSender<Mailed>,
) -> anyhow::Result<()> {
    let mut stream = BufStream::new(line);
    let mut mailed = Mailed::default();
    let mut may_start_tls = matches!(encryption, Encryption::StartTls(_));
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    loop {
        stream.flush().await?;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let of = |prefix: &str| command.to_uppercase().starts_with(prefix);
        let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = if of("EHLO") {
            match may_start_tls {
                true => "250-sink\r\n250 STARTTLS",
                false => "250-sink\r\n250 AUTH PLAIN",
            }
        } else if of("STARTTLS") && may_start_tls {
            stream.write_all(b"220 go on\r\n").await?;
            stream.flush().await?;
            let Encryption::StartTls(certificate) = encryption else { return Ok(()) };
            let line = certificate.acceptor.accept(stream.into_inner()).await?;
            stream = BufStream::new(Box::new(line));
            may_start_tls = false;
            continue;
        } else if of("AUTH") {
            // Base64 of `\0ana\0hunter22`.
            match command.ends_with(" AGFuYQBodW50ZXIyMg==") {
                true => "235 welcome",
                false => "535 who are you",
            }
        } else if of("MAIL FROM") {
            mailed = Mailed { from: address(), ..Mailed::default() };
            "250 OK"
        } else if of("RCPT TO") {
            mailed.to.push(address());
            "250 OK"
        } else if of("DATA") {
            stream.write_all(b"354 go on\r\n").await?;
            stream.flush().await?;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                if line == ".\r\n" || line.is_empty() {
                    break;
                }
                mailed.data.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
            let reply = answer(answers, "250 kept");
            let _ = sent.send(mailed.clone());
            reply
        } else if of("QUIT") {
            stream.write_all(b"221 bye\r\n").await?;
            return Ok(stream.flush().await?);
        } else {
            "250 OK"
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}
