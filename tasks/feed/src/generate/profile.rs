//! The shapes: a record by its number, and the columns that it has in a dataset.

use arrow::datatypes::Schema;
use serde_json::Value;
use subak_core::operators::feed::Profile;
use subak_task::Outgoing;

use super::{bank, lines, purchases, users};

/// Record `number` of a profile: the same for the same seed, whichever records were made before.
#[must_use]
pub fn record(profile: Profile, seed: u64, number: u64) -> Value {
    match profile {
        Profile::RandomUsers => users::record(seed, number),
        Profile::BankCustomers => bank::record(seed, number),
        Profile::Purchases => purchases::record(seed, number),
        Profile::OnlineRetail => lines::record(seed, number),
    }
}

/// The record as a topic has it, with what tells it from others as its key.
pub(super) fn outgoing(profile: Profile, seed: u64, number: u64) -> Outgoing {
    let record = record(profile, seed, number);
    let key = match profile {
        Profile::RandomUsers => &record["login"]["uuid"],
        Profile::BankCustomers => &record["id"],
        Profile::Purchases => &record["order_id"],
        Profile::OnlineRetail => &record["InvoiceNo"],
    };
    let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    Outgoing { key: Some(key.into_bytes()), value: record.to_string().into_bytes() }
}

/// The columns of a profile.
pub(super) fn schema(profile: Profile) -> Schema {
    Schema::new(match profile {
        Profile::RandomUsers => users::fields(),
        Profile::BankCustomers => bank::fields(),
        Profile::Purchases => purchases::fields(),
        Profile::OnlineRetail => lines::fields(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: [Profile; 4] =
        [Profile::RandomUsers, Profile::BankCustomers, Profile::Purchases, Profile::OnlineRetail];

    #[test]
    fn records_are_the_same_for_a_seed_and_differ_among_each_other() {
        for profile in ALL {
            let texts = |seed| (0..500).map(move |n| record(profile, seed, n).to_string());
            assert!(texts(7).eq(texts(7)), "{profile:?}");
            assert!(!texts(7).eq(texts(8)), "{profile:?}");
            assert!(texts(7).collect::<BTreeSet<_>>().len() > 490, "{profile:?}");
        }
    }

    #[test]
    fn a_dataset_has_every_field_of_a_record() {
        for profile in ALL {
            let record = record(profile, 1, 1);
            let columns = schema(profile);
            let columns: BTreeSet<_> =
                columns.fields().iter().map(|it| it.name().clone()).collect();
            let fields = record.as_object().unwrap().keys().cloned().collect();
            assert_eq!(columns, fields, "{profile:?}");
        }
    }
}
