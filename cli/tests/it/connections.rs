//! Connections that are tested from the terminal.

use anyhow::Result;
use subak_testkit::stack::{Stack, StackOptions};

use crate::{stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_tested_and_its_secret_never_told() -> Result<()> {
    let options = StackOptions {
        binary: env!("CARGO_BIN_EXE_subak").into(),
        servers: 0,
        workers: 0,
        slots: None,
        lease_secs: 30,
        env: Vec::new(),
    };
    let stack = Stack::start(options).await?;
    stack.add_database("warehouse").await?;
    let works = stack.subak(&["connections", "test", "warehouse"]).await?;
    assert!(works.status.success(), "{works:?}");
    let said = stdout(&works);
    let found = "connection `warehouse` works: PostgreSQL: database warehouse, user ";
    assert!(said.starts_with(found), "{said}");

    // Of a web server, the one thing there is here: a test's own.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let host = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await?;
        let mut asked = [0; 4096];
        let read = stream.read(&mut asked).await?;
        let knows = asked[..read].windows(13).any(|part| part == b"Bearer hunter");
        let status = if knows { "204 No Content" } else { "401 Unauthorized" };
        stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").as_bytes()).await
    });
    let adds = ["connections", "add", "people", "--type=http", "--host", &host, "--password-stdin"];
    stack.subak_with_input(&adds, "hunter22hunter22\n").await?;
    let works = stack.subak(&["connections", "test", "people"]).await?;
    let said = format!("{}{}", stdout(&works), stderr(&works));
    assert!(said.contains("`people` works: HTTP: content type unknown, status 204"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");

    // A secret in a place where it is none of the driver's business.
    let port = "--extra=sslpassword=hunter22hunter22";
    let adds = ["connections", "add", "away", "--host", "127.0.0.1", "--port", "1", port];
    let added = stack.subak(&adds).await?;
    assert!(added.status.success(), "{added:?}");
    for (id, expected) in [
        ("away", "connection `away` does not work: "),
        ("none", "connection `none` does not exist: `subak connections list` shows those that do"),
    ] {
        let refused = stack.subak(&["connections", "test", id, "--timeout-secs", "5"]).await?;
        let said = format!("{}{}", stdout(&refused), stderr(&refused));
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && !said.contains("hunter22"), "{said}");
    }
    Ok(())
}
