//! Orders of furniture, second by second.

use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};

use super::random::Random;

const FURNITURE: [&str; 8] =
    ["chair", "table", "desk", "sofa", "bookcase", "bed", "wardrobe", "stool"];
const COLOURS: [&str; 8] = ["white", "black", "oak", "walnut", "red", "blue", "green", "grey"];

/// When the first order was made: 2026-01-01, in seconds since 1970.
const BEGINNING: u64 = 1_767_225_600;

/// Order `number`; ids count from 1.
pub(super) fn record(seed: u64, number: u64) -> Value {
    let mut random = Random::of(seed, number);
    json!({
        "order_id": number + 1,
        "customer_id": 1 + random.below(10_000),
        "furniture": random.pick(&FURNITURE),
        "color": random.pick(&COLOURS),
        "price": (1_000 + random.below(149_000)) as f64 / 100.0,
        // Some come late.
        "ts": BEGINNING + number - random.below(30).min(number),
    })
}

/// Its columns.
pub(super) fn fields() -> Vec<Field> {
    vec![
        Field::new("order_id", DataType::Int64, false),
        Field::new("customer_id", DataType::Int64, false),
        Field::new("furniture", DataType::Utf8, false),
        Field::new("color", DataType::Utf8, false),
        Field::new("price", DataType::Float64, false),
        Field::new("ts", DataType::Int64, false),
    ]
}
