//! People, nested as the API of randomuser.me has them.

use arrow::datatypes::{DataType, Field, Fields};
use serde_json::{Value, json};

use super::random::Random;

pub(super) const FIRST_NAMES: [&str; 24] = [
    "Ni Luh", "Putu", "Made", "Ketut", "Wayan", "Siti", "Budi", "Agus", "Dewi", "Rina", "Jean",
    "Zoë", "José", "Ada", "Linus", "Grace", "Édouard", "Mei", "Yuki", "Søren", "Ingrid", "Omar",
    "Leila", "Kwame",
];
pub(super) const LAST_NAMES: [&str; 24] = [
    "Suartini",
    "Wibowo",
    "Santoso",
    "Hidayat",
    "Pratama",
    "Nugroho",
    "Lestari",
    "Halim",
    "Dupont",
    "Müller",
    "García",
    "Lovelace",
    "Hopper",
    "Nakamura",
    "Chen",
    "Østergård",
    "Johansson",
    "Al-Farsi",
    "Mensah",
    "O'Neill",
    "da Silva",
    "Novák",
    "Kowalska",
    "Ivanova",
];
/// City, state, country.
pub(super) const CITIES: [(&str, &str, &str); 12] = [
    ("Denpasar", "Bali", "Indonesia"),
    ("Jakarta", "DKI Jakarta", "Indonesia"),
    ("Bandung", "Jawa Barat", "Indonesia"),
    ("Surabaya", "Jawa Timur", "Indonesia"),
    ("Medan", "Sumatera Utara", "Indonesia"),
    ("Makassar", "Sulawesi Selatan", "Indonesia"),
    ("Lyon", "Rhône", "France"),
    ("Köln", "Nordrhein-Westfalen", "Germany"),
    ("Sevilla", "Andalucía", "Spain"),
    ("Aarhus", "Midtjylland", "Denmark"),
    ("Kyoto", "Kansai", "Japan"),
    ("Accra", "Greater Accra", "Ghana"),
];
const STREETS: [&str; 8] = [
    "Jalan Merdeka",
    "Jalan Sudirman",
    "Jalan Gajah Mada",
    "Rue Victor Hugo",
    "Hauptstraße",
    "Gran Vía",
    "High Street",
    "Nørregade",
];
const TITLES: [&str; 4] = ["Mr", "Ms", "Mrs", "Miss"];

/// Person `number`.
pub(super) fn record(seed: u64, number: u64) -> Value {
    let mut random = Random::of(seed, number);
    let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
    let (city, state, country) = random.pick(&CITIES);
    let (high, low) = (random.next(), random.next());
    let uuid = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48 & 0x3fff),
        low & 0xffff_ffff_ffff
    );
    let (year, month, day) = (1950 + random.below(55), 1 + random.below(12), 1 + random.below(28));
    let phone = |random: &mut Random| {
        format!(
            "({:03}) {:03}-{:04}",
            random.below(1_000),
            random.below(1_000),
            random.below(10_000)
        )
    };
    let ascii = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
    };
    json!({
        "name": { "title": random.pick(&TITLES), "first": first, "last": last },
        "location": {
            "street": { "number": 1 + random.below(400), "name": random.pick(&STREETS) },
            "city": city,
            "state": state,
            "country": country,
            "postcode": format!("{:05}", random.below(100_000)),
        },
        "email": format!("{}.{}.{number}@example.com", ascii(first), ascii(last)),
        "login": { "uuid": uuid },
        "dob": {
            "date": format!("{year}-{month:02}-{day:02}T08:30:00.000Z"),
            "age": 2026 - year,
        },
        "phone": phone(&mut random),
        "cell": phone(&mut random),
        "picture": { "thumbnail": format!("https://example.com/portraits/{}.jpg", random.below(100)) },
    })
}

/// Its columns, nested.
pub(super) fn fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let group = |name: &str, fields: Vec<Field>| {
        Field::new(name, DataType::Struct(Fields::from(fields)), false)
    };
    vec![
        group("name", vec![text("title"), text("first"), text("last")]),
        group(
            "location",
            vec![
                group("street", vec![number("number"), text("name")]),
                text("city"),
                text("state"),
                text("country"),
                text("postcode"),
            ],
        ),
        text("email"),
        group("login", vec![text("uuid")]),
        group("dob", vec![text("date"), number("age")]),
        text("phone"),
        text("cell"),
        group("picture", vec![text("thumbnail")]),
    ]
}
