//! What a server asks of a worker besides tasks.

use std::time::Duration;

use serde_json::{Value, json};
use subak_proto::{
    Preview, Probe, Request, RequestReply, request::Kind, server_message, worker_message,
};

use crate::peer::{Peer, connection};

async fn ask(
    peer: &mut Peer,
    kind: Kind,
    connections: Vec<subak_proto::Connection>,
) -> RequestReply {
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, Duration::from_secs(60));
    call.send(server_message::Message::Request(Request {
        id: 5,
        connections,
        timeout_micros: 10_000_000,
        kind: Some(kind),
    }));
    let reply = loop {
        // A worker that ended before it took the answer to a report sends that first.
        match call.next().await.expect("the worker has gone") {
            worker_message::Message::Reply(reply) => break reply,
            _ => continue,
        }
    };
    assert_eq!(reply.id, 5);
    worker.end().await.unwrap();
    reply
}

#[tokio::test]
async fn a_connection_that_does_not_work_says_why() {
    let value = json!({"conn_type": "postgres", "host": "127.0.0.1", "port": 1,
                       "login": "me", "password": "hunter22", "schema": "shop"});
    let probe = Kind::Probe(Probe { connection: "warehouse".to_owned() });
    let mut peer = Peer::start();
    let reply = ask(&mut peer, probe, vec![connection("warehouse", value)]).await;
    assert!(reply.error.contains("127.0.0.1"), "{}", reply.error);
    assert!(!reply.error.contains("hunter22"));
    let probe = Kind::Probe(Probe { connection: "warehouse".to_owned() });
    assert_eq!(ask(&mut peer, probe, vec![]).await.error, "no connection `warehouse`");
}

#[tokio::test]
async fn the_first_rows_of_a_dataset_are_shown() {
    let mut peer = Peer::start();
    let (worker, mut call) = peer.worker().await;
    call.welcome(7, Duration::from_secs(60));
    let file = peer.folder.path().join("shops.csv");
    std::fs::write(&file, "id,name\n1,north\n2,south\n").unwrap();
    call.assign(1, "csv.read", json!({"path": file}));
    let report = call.report().await;
    assert_eq!(report.error, "");
    let dataset = report.datasets[0].value.clone();
    call.answer(1, subak_proto::Answer::Accepted);
    worker.end().await.unwrap();

    let preview = || Kind::Preview(Preview { dataset: dataset.clone(), rows: 1 });
    // Another worker's folders are not that one's, whoever asks.
    let refused = ask(&mut Peer::start(), preview(), vec![]).await;
    assert!(refused.error.contains("outside of what tasks may read"), "{}", refused.error);
    let reply = ask(&mut peer, preview(), vec![]).await;
    assert_eq!(reply.error, "");
    let rows: Value = serde_json::from_slice(&reply.value).unwrap();
    assert_eq!(rows, json!([{"id": 1, "name": "north"}]));
}
