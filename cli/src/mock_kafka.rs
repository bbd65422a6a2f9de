//! `subak mock-kafka`: a topic's broker for the demo, where there is none.

use clap::Args;
use subak_worker::MockKafka;

use crate::exit::{Ended, Outcome};
use crate::output;

/// Serves librdkafka's mock cluster until its input ends, and prints its address.
#[derive(Debug, Args)]
pub(crate) struct Options {}

pub(crate) async fn run(Options {}: Options) -> Outcome {
    let kafka = MockKafka::start().map_err(|error| anyhow::anyhow!(error.message))?;
    output::line(kafka.bootstrap())?;
    // Beside the address, which a script reads.
    tracing::warn!("this is no broker but the {}", subak_worker::MOCK_KAFKA);
    let ending = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ending).await??;
    Ok(Ended::Success)
}
