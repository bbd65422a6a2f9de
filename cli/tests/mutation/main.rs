//! A load that writes the ledger after the commit of the rows is found out.

#[cfg(test)]
#[path = "../it/kafka/ledger.rs"]
mod ledger;
#[cfg(test)]
#[path = "../it/kafka/world.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod world;

#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_written_after_the_rows_turns_the_test_red() {
    let found = ledger::killed_while_it_is_written(&[("BREAK_LEDGER", "1")]).await;
    let said = found.expect_err("a ledger that lacks what was loaded").to_string();
    assert!(said.contains("the ledger is at 0:50"), "{said}");
}
