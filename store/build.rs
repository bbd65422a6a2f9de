//! A migration that is added makes this crate stale, which the compiler would not see by itself.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
