//! Where notifications end up in tests: a web server and a mail server on loopback, which keep what they
//! are sent, and refuse as they are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

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

/// Starts a web server.
pub async fn web() -> anyhow::Result<Sink<Posted>> {
    serve(|stream, answers, sent| async move { post(stream, &answers, &sent).await }).await
}

/// Starts a mail server, without encryption.
pub async fn mail() -> anyhow::Result<Sink<Mailed>> {
    serve(|stream, answers, sent| async move { converse(stream, &answers, &sent).await }).await
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
    stream: TcpStream,
    answers: &Answers,
    sent: &mpsc::UnboundedSender<Posted>,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
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
    Ok(stream.shutdown().await?)
}

async fn converse(
    stream: TcpStream,
    answers: &Answers,
    sent: &mpsc::UnboundedSender<Mailed>,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mailed = Mailed::default();
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let of = |prefix: &str| command.to_uppercase().starts_with(prefix);
        let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = if of("EHLO") {
            "250 sink"
        } else if of("MAIL FROM") {
            mailed = Mailed { from: address(), ..Mailed::default() };
            "250 OK"
        } else if of("RCPT TO") {
            mailed.to.push(address());
            "250 OK"
        } else if of("DATA") {
            stream.write_all(b"354 go on\r\n").await?;
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
            return Ok(());
        } else {
            "250 OK"
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}
