//! Traces of runs, tries and requests, as a collector of OpenTelemetry gets them.

use std::fs;
use std::time::Duration;

use subak_testkit::collector::{Collected, Collector};

use crate::standalone::{self, Standalone};
use crate::{stderr, stdout};

const DAG: &str = "\
dag_id: orders
tasks:
  load:
    operator: bash
    with: {command: 'echo below $TRACEPARENT; exit 3'}
    retries: 1
    retry_delay: 0
  tidy: {operator: noop}
";

/// Everything is there long before.
const PATIENCE: Duration = Duration::from_secs(120);

fn named<'s>(spans: &'s [Collected], name: &str) -> Vec<&'s Collected> {
    let mut found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    found.sort_by_key(|span| span.nanos);
    found
}

async fn until(
    collector: &mut Collector,
    is_enough: impl Fn(&[Collected]) -> bool,
) -> Vec<Collected> {
    tokio::time::timeout(PATIENCE, collector.until(is_enough)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_trace_and_its_tries_are_below_it() {
    let mut collector = Collector::start().await.unwrap();
    let place = standalone::place();
    fs::write(place.path().join("dags/orders.yaml"), DAG).unwrap();
    let endpoint = format!("http://{}", collector.address);
    let env =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let subak = Standalone::start_with(place.path(), &env);
    let triggered = subak.subak(&["runs", "trigger", "orders", "--wait"]);
    assert_eq!(triggered.status.code(), Some(3), "{}", stderr(&triggered));

    let spans = until(&mut collector, |spans| {
        ["orders", "load", "tidy"].map(|name| named(spans, name).len()) == [1, 2, 1]
    })
    .await;
    let run = named(&spans, "orders")[0];
    assert!(run.parent.is_empty() && run.error.is_some(), "{run:?}");
    assert_eq!(run.service, "subak");
    assert!(run.attributes.contains(&"subak.run.state=failed".to_owned()), "{run:?}");
    let tries = named(&spans, "load");
    for (span, number) in tries.iter().zip(["1", "2"]) {
        assert_eq!((&span.trace, &span.parent), (&run.trace, &run.span));
        assert!(span.attributes.contains(&format!("subak.task.try_number={number}")), "{span:?}");
        assert!(span.error.as_ref().is_some_and(|why| why.contains("exit code 3")), "{span:?}");
    }
    assert_eq!(named(&spans, "tidy")[0].error, None);

    // What a process sends is below its try.
    let log = stdout(&subak.subak(&["runs", "logs", "orders", "--task", "load"]));
    let below = format!("below 00-{}-{}-01", run.trace, tries[1].span);
    assert!(log.contains(&below), "{log}");

    // A request is below its caller.
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let url = subak.said().split_whitespace().skip_while(|word| *word != "pages").nth(1).unwrap();
    let request = reqwest::Client::new()
        .get(format!("{url}/api/v2/version"))
        .header("traceparent", format!("00-{trace}-{caller}-01"));
    request.send().await.unwrap();
    let of_request = |spans: &[Collected]| spans.iter().any(|span| span.trace == trace);
    let spans = until(&mut collector, of_request).await;
    let asked = spans.iter().find(|span| span.trace == trace).unwrap();
    assert_eq!((asked.parent.as_str(), asked.name.as_str()), (caller, "GET /api/v2/version"));
    assert_eq!(subak.stop(), Some(0));
}
