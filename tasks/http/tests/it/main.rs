//! "Test connection", against a server that answers what it is told to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::time::Duration;

use serde_json::{Value, json};
use subak_task::{Connection, ErrorClass, TaskError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Serves one request on a port of its own; returns what was asked.
async fn served(answer: String) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut more = [0; 1024];
            let read = stream.read(&mut more).await.unwrap();
            assert!(read > 0, "the client left");
            asked.extend_from_slice(&more[..read]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (port, serving)
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n")
}

async fn probe(mut value: Value) -> Result<Value, TaskError> {
    value["conn_type"] = json!("http");
    let connection: Connection = serde_json::from_value(value).unwrap();
    subak_tasks_http::probe(&connection, Duration::from_secs(20)).await
}

#[tokio::test]
async fn a_server_that_answers_is_told_of() {
    let (port, asked) = served(answer("200 OK", "content-type: application/json\r\n")).await;
    let found = probe(json!({
        "host": format!("http://127.0.0.1:{port}/v1"),
        "password": "hunter2",
        "extra": {"test_path": "status", "header.Accept": "application/json"},
    }));
    let expected =
        json!({"server": "HTTP", "status": "200 OK", "content type": "application/json"});
    assert_eq!(found.await.unwrap(), expected);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /v1/status HTTP/1.1\r\n"), "{asked}");
    for header in ["authorization: Bearer hunter2", "accept: application/json"] {
        assert!(asked.contains(header), "{asked}");
    }
    // Most servers have nothing at their base.
    let (port, asked) = served(answer("404 Not Found", "")).await;
    let login = json!({"host": "http://127.0.0.1", "port": port, "login": "u", "password": "p"});
    assert_eq!(probe(login).await.unwrap()["status"], "404 Not Found");
    assert!(asked.await.unwrap().contains("authorization: Basic dTpw"));
}

#[tokio::test]
async fn what_does_not_work_says_why_and_holds_no_secret() {
    for (status, class, expected) in [
        ("401 Unauthorized", ErrorClass::Permanent, "does not know the user, token or key"),
        ("403 Forbidden", ErrorClass::Permanent, "may not look there"),
        ("503 Service Unavailable", ErrorClass::Transient, "cannot do its work now"),
    ] {
        let (port, _) = served(answer(status, "")).await;
        let host = format!("http://127.0.0.1:{port}");
        let error = probe(json!({"host": host, "password": "hunter2"})).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains(expected) && error.message.contains(status), "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }
    // A port that was free a moment ago: nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = probe(json!({"host": "http://127.0.0.1", "port": port})).await.unwrap_err();
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn another_server_is_not_told_the_secrets() {
    let (other, asked) = served(answer("200 OK", "")).await;
    let location = format!("location: http://127.0.0.1:{other}/\r\n");
    let (port, _) = served(answer("302 Found", &location)).await;
    let host = format!("http://127.0.0.1:{port}");
    let extra = json!({"header": "X-Api-Key"});
    let error =
        probe(json!({"host": host, "password": "hunter2", "extra": extra})).await.unwrap_err();
    assert!(error.message.contains("a redirection to another server"), "{error}");
    assert!(!asked.is_finished());
    asked.abort();
}
