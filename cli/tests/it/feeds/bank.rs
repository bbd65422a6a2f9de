//! `bank_customers`, as it is shipped: the averages are right after any number of runs.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use subak_core::operators::feed::Profile;
use subak_worker::generate::record;

use super::{shipped, stack, topic};

/// `account type: customers, average`, of the first customers.
fn averages(customers: u64) -> Vec<String> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for number in 0..customers {
        let customer = record(Profile::BankCustomers, 0, number);
        let kind = customer["account_type"].as_str().unwrap().to_owned();
        let balance = customer["balance"].as_u64().unwrap();
        for kind in [kind, "all".to_owned()] {
            let sum = sums.entry(kind).or_default();
            *sum = (sum.0 + 1, sum.1 + balance);
        }
    }
    let shown = |(kind, (count, sum)): (String, (u64, u64))| {
        // Half a cent goes up, as numeric has it.
        let cents = (sum * 100 * 2 + count) / (count * 2);
        format!("{kind}: {count}, {}.{:02}", cents / 100, cents % 100)
    };
    sums.into_iter().map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn averages_are_right_after_any_number_of_runs() -> Result<()> {
    let (stack, broker) = stack(4).await?;
    let warehouse = stack.add_database("warehouse").await?;
    let topic = topic(broker, "bank", 3).await?;
    let text = shipped("bank_customers.yaml", &[("nasabah_bank", &topic)])?;
    stack.add_dag("bank_customers", &text).await?;
    for run in 1..=3 {
        let key = stack.trigger("bank_customers", &format!("run-{run}")).await?;
        let state = stack.ended(key).await?;
        ensure!(state == "success", "{state}\n{}", stack.logs());
        let found = "SELECT account_type || ': ' || customers || ', ' || average
                     FROM bank_average_balance ORDER BY account_type";
        assert_eq!(warehouse.texts(found).await?, averages(run * 1_000));
    }
    // Once more from its beginning: the same customers, the same averages.
    let cleared = stack.subak(&["runs", "clear", "bank_customers", "run-3"]).await?;
    ensure!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
    stack
        .until("the cleared run", async || {
            let ended = "SELECT count(*) FROM run WHERE state = 'success'";
            Ok(stack.metadata().number(ended).await? == 3)
        })
        .await?;
    let all = "SELECT account_type || ': ' || customers || ', ' || average
               FROM bank_average_balance ORDER BY account_type";
    assert_eq!(warehouse.texts(all).await?, averages(3_000));
    Ok(())
}
