//! A worker alone in its process: `subak-worker-alone <server> <state folder>`, or its keeper.

use std::time::Duration;

use subak_worker::{Config, Worker};
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [keeper] if keeper == "keeper" => {
            subak_worker::keeper::main();
            Ok(())
        }
        [server, folder] => {
            let mut config = Config::new("alone", vec![server.clone()], folder.into());
            config.grace = Duration::from_millis(500);
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(Worker::new(config).run(CancellationToken::new()))
        }
        _ => anyhow::bail!("give a server and a state folder"),
    }
}
