//! Customers of a bank.

use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};

use super::random::Random;
use super::users::{CITIES, FIRST_NAMES, LAST_NAMES};

const ACCOUNT_TYPES: [&str; 4] = ["tabungan", "giro", "deposito", "syariah"];

/// Customer `number`; ids count from 1.
pub(super) fn record(seed: u64, number: u64) -> Value {
    let mut random = Random::of(seed, number);
    let name = format!("{} {}", random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
    // Few are rich: the product of two draws.
    let balance = 50_000 + random.below(30_000) * random.below(30_000) / 100 * 100;
    let (year, month, day) = (2010 + random.below(16), 1 + random.below(12), 1 + random.below(28));
    json!({
        "id": number + 1,
        "name": name,
        "account_type": random.pick(&ACCOUNT_TYPES),
        "city": random.pick(&CITIES).0,
        "balance": balance,
        "opened_at": format!("{year}-{month:02}-{day:02}"),
    })
}

/// Its columns.
pub(super) fn fields() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("account_type", DataType::Utf8, false),
        Field::new("city", DataType::Utf8, false),
        Field::new("balance", DataType::Int64, false),
        Field::new("opened_at", DataType::Date32, false),
    ]
}
