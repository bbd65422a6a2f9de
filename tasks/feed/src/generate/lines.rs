//! Lines of invoices, one by one: the shape of the UCI data set "Online Retail", as [`super::retail`]
//! writes it into a file.

use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};

use super::random::Random;

/// Lines of an invoice.
const LINES: u64 = 20;
const FIRST_INVOICE: u64 = 536_365;
const PRODUCTS: u64 = 4_070;
const CUSTOMERS: u64 = 4_372;

const THINGS: [&str; 8] = [
    "T-LIGHT HOLDER",
    "LANTERN",
    "COAT HANGER",
    "HOT WATER BOTTLE",
    "CAKE CASES",
    "MUG",
    "DOORMAT",
    "BUNTING",
];
const KINDS: [&str; 6] = ["WHITE", "RED RETROSPOT", "VINTAGE", "WOODEN", "JUMBO", "PAISLEY"];
const COUNTRIES: [&str; 6] =
    ["United Kingdom", "Germany", "France", "EIRE", "Spain", "Netherlands"];

/// Line `number`.
pub(super) fn record(seed: u64, number: u64) -> Value {
    let invoice = number / LINES;
    // What all lines of an invoice share.
    let mut of = Random::of(seed ^ 0x1e7a_11ed, invoice);
    let is_cancelled = of.chance(15);
    let customer = (!of.chance(25)).then(|| (12_346 + of.below(CUSTOMERS)).to_string());
    let country = if of.chance(90) { COUNTRIES[0] } else { of.pick(&COUNTRIES) };
    let (month, day) = (1 + of.below(12), 1 + of.below(28));
    let (hour, minute) = (8 + of.below(10), of.below(60));
    let mut random = Random::of(seed, number);
    let mut product = Random::of(seed ^ 0x0dd5_0c1e, random.below(PRODUCTS));
    let quantity = i64::try_from(1 + random.below(24)).unwrap_or(1);
    json!({
        "InvoiceNo": format!("{}{}", if is_cancelled { "C" } else { "" }, FIRST_INVOICE + invoice),
        "StockCode": (10_002 + product.below(80_000)).to_string(),
        "Description": format!("{} {}", product.pick(&KINDS), product.pick(&THINGS)),
        "Quantity": if is_cancelled { -quantity } else { quantity },
        "InvoiceDate": format!("{month}/{day}/2011 {hour}:{minute:02}"),
        "UnitPrice": product.pick(&[85, 125, 165, 210, 255, 295, 425, 795, 1275]) as f64 / 100.0,
        "CustomerID": customer,
        "Country": country,
    })
}

/// Its columns.
pub(super) fn fields() -> Vec<Field> {
    vec![
        Field::new("InvoiceNo", DataType::Utf8, false),
        Field::new("StockCode", DataType::Utf8, false),
        Field::new("Description", DataType::Utf8, false),
        Field::new("Quantity", DataType::Int64, false),
        Field::new("InvoiceDate", DataType::Utf8, false),
        Field::new("UnitPrice", DataType::Float64, false),
        Field::new("CustomerID", DataType::Utf8, true),
        Field::new("Country", DataType::Utf8, false),
    ]
}
