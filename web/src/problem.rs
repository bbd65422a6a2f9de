//! What is wrong with a value of a form, in the language of the page. In English it is told as the API
//! tells it ([`subak_core::problem`]); here is the same in Indonesian.

mod connection;

use subak_core::json_schema::{Fault, Reason};
use subak_core::problem::{Counted, Limit, Problem};
use subak_core::state::RunState;

use crate::badge::Badge;
use crate::text::{INDONESIAN, Text};

/// Says what is wrong.
#[must_use]
pub fn in_words(problem: &Problem, t: &Text) -> String {
    if t.language == INDONESIAN.language { in_indonesian(problem) } else { problem.to_string() }
}

fn in_indonesian(problem: &Problem) -> String {
    match problem {
        Problem::NoDefault => "tidak punya nilai bawaan: berikan di conf".to_owned(),
        Problem::NotOneOf { value, allowed } => {
            format!("adalah {value}, bukan salah satu dari {allowed}")
        }
        Problem::NotOfType { value, types } => {
            format!("adalah {value}, bukan bertipe {}", types.join(" atau "))
        }
        Problem::OutOfBounds { value, limit, bound } => {
            format!("adalah {value}, dan harus {} {bound}", limited(*limit))
        }
        Problem::TooShort { length, least, of } => {
            format!("punya {length} {}, dan perlu {least}", counted(*of))
        }
        Problem::TooLong { length, most, of } => {
            format!("punya {length} {}, dan boleh punya {most}", counted(*of))
        }
        Problem::Unfit { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(reason).collect();
            format!("tidak sesuai skemanya: {}", reasons.join("; "))
        }
        Problem::NoName { most } => {
            format!("terdiri dari huruf, angka, `_`, `-` dan `.`, paling banyak {most}")
        }
        Problem::PoolName { most } => {
            format!("punya 1 sampai {most} karakter, tanpa karakter kendali")
        }
        Problem::NoLimit { pool } => format!("`{pool}` tanpa batas, dan tidak dapat diberi batas"),
        Problem::Slots => "paling sedikit 0, atau -1: tanpa batas".to_owned(),
        Problem::Port => "adalah angka dari 1 sampai 65535".to_owned(),
        Problem::Connection(problem) => connection::in_indonesian(problem),
        Problem::NoMap => "bukan peta dalam JSON".to_owned(),
        Problem::VariableName { most } => {
            format!("nama variabel punya 1 sampai {most} karakter, tanpa karakter kendali")
        }
        Problem::VariableTooLarge(key) => {
            format!("variabel `{key}` lebih besar dari 256 KiB: pakai berkas atau tabel")
        }
        Problem::VariableHasNul(key) => format!("variabel `{key}` memuat karakter NUL"),
        Problem::RunEnded(state) => format!("run sudah selesai: {}", called(*state)),
        Problem::RunActive(state) => {
            let state = called(*state);
            format!("run masih {state}: batalkan dulu, dan hapus setelah selesai")
        }
        Problem::RunCancelled => {
            "run sedang dibatalkan: tandai task-nya setelah selesai".to_owned()
        }
        Problem::NotCleared => "riwayat run sudah tidak ada: run tidak dapat diulang".to_owned(),
        Problem::NotMarked => {
            "riwayat run sudah tidak ada: task-nya tidak dapat ditandai".to_owned()
        }
    }
}

fn called(state: RunState) -> &'static str {
    Badge::run(state, &INDONESIAN).label
}

/// Why a value is not what its schema says, with its place.
fn reason(Reason { place, fault, .. }: &Reason) -> String {
    let told = match fault {
        Fault::Format(format) => format!("tidak berformat {format}"),
        Fault::Pattern(pattern) => format!("tidak cocok dengan pola `{pattern}`"),
        Fault::MultipleOf(number) => format!("bukan kelipatan {number}"),
        Fault::Bound(limit, bound) => format!("harus {} {bound}", limited(*limit)),
        Fault::Constant(value) => format!("harus {value}"),
        Fault::Missing(names) => format!("tidak punya properti {names}"),
        Fault::Unknown(names) => format!("properti {names} tidak dikenal"),
        Fault::Same(one, other) => format!("butir {one} dan {other} sama"),
        Fault::Other(said) => said.clone(),
    };
    if place.is_empty() { told } else { format!("{place}: {told}") }
}

fn limited(limit: Limit) -> &'static str {
    match limit {
        Limit::AtLeast => "paling sedikit",
        Limit::AtMost => "paling banyak",
        Limit::MoreThan => "lebih dari",
        Limit::LessThan => "kurang dari",
    }
}

fn counted(of: Counted) -> &'static str {
    match of {
        Counted::Characters => "karakter",
        Counted::Items => "butir",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subak_core::json_schema::JsonSchema;

    use super::*;
    use crate::text::ENGLISH;

    #[test]
    fn a_problem_is_told_in_the_language_of_the_page() {
        let check = |problem: Problem, english: &str, indonesian: &str| {
            assert_eq!(in_words(&problem, &ENGLISH), english);
            assert_eq!(in_words(&problem, &INDONESIAN), indonesian);
        };
        let types = vec!["string".to_owned(), "null".to_owned()];
        check(
            Problem::NotOfType { value: json!(3), types },
            "is 3, not of type string or null",
            "adalah 3, bukan bertipe string atau null",
        );
        check(
            Problem::TooShort { length: 1, least: 2, of: Counted::Items },
            "has 1 item, and needs 2",
            "punya 1 butir, dan perlu 2",
        );
        check(
            Problem::TooLong { length: 3, most: 2, of: Counted::Characters },
            "has 3 characters, and may have 2",
            "punya 3 karakter, dan boleh punya 2",
        );
        check(
            Problem::OutOfBounds { value: json!(5), limit: Limit::LessThan, bound: "5".to_owned() },
            "is 5, and must be less than 5",
            "adalah 5, dan harus kurang dari 5",
        );
        check(
            Problem::RunEnded(RunState::Success),
            "the run has ended already: it is success",
            "run sudah selesai: berhasil",
        );
        let kept = json!({"conn_type": "postgres", "extra": {"ssl_mode": "require"}});
        check(
            Problem::Connection(subak_core::connection::check(&kept).unwrap_err()),
            "extra `ssl_mode` is not known: it is `sslmode`",
            "extra `ssl_mode` tidak dikenal: maksudnya `sslmode`",
        );
        let schema = json!({"items": {"pattern": "^[A-Z]+$"}, "uniqueItems": true});
        let reasons = JsonSchema::new(&schema).unwrap().reasons(&json!(["a"]));
        check(
            Problem::Unfit { reasons },
            "does not match: 0: 'a' does not match pattern '^[A-Z]+$'",
            "tidak sesuai skemanya: 0: tidak cocok dengan pola `^[A-Z]+$`",
        );
    }
}
