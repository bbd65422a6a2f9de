//! The worker protocol. The messages are documented in `proto/worker.proto`; `generated.rs` is made
//! from it and committed, so that nobody needs a compiler of protocol buffers; a test of this crate
//! compares the two, and writes it anew with `SUBAK_REGENERATE=1`.

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::large_futures,
    clippy::semicolon_if_nothing_returned,
    clippy::uninlined_format_args,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
#[rustfmt::skip] // compared byte by byte with what the generator writes
mod generated;

mod join;

pub use generated::*;
pub use join::{JoinToken, NoJoinToken};

/// Digest of a set of tries by their fencing tokens: order does not matter, adding and removing is
/// one XOR. The finaliser of `SplitMix64` spreads the tokens, which are consecutive.
#[must_use]
pub fn digest<'a>(tokens: impl IntoIterator<Item = &'a i64>) -> u64 {
    tokens.into_iter().fold(0, |digest, token| digest ^ mix(*token))
}

/// One token's part of a [`digest`].
#[must_use]
pub fn mix(token: i64) -> u64 {
    let mut z = token.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
