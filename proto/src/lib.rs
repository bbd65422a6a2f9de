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

use prost::Message;

/// A message has at most this many bytes, both ways.
pub const MESSAGE_BYTES: usize = 4 << 20;

/// Of these, what one part of a message may have: the rest is for what is around it, such as a log
/// that is added later.
const PART_BYTES: usize = MESSAGE_BYTES - (256 << 10);

/// Whether something fits into a message.
#[must_use]
pub fn fits(part: &impl Message) -> bool {
    part.encoded_len() <= PART_BYTES
}

/// Parts put together as long as they fit into one message, at most `most` in each. One that does
/// not fit by itself stands alone.
#[must_use]
pub fn grouped<M: Message>(parts: impl IntoIterator<Item = M>, most: usize) -> Vec<Vec<M>> {
    let mut groups: Vec<Vec<M>> = Vec::new();
    let mut bytes = 0;
    for part in parts {
        // With its tag and its length.
        let size = part.encoded_len() + 8;
        match groups.last_mut() {
            Some(group) if group.len() < most && bytes + size <= PART_BYTES => {
                group.push(part);
                bytes += size;
            }
            _ => {
                groups.push(vec![part]);
                bytes = size;
            }
        }
    }
    groups
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn xcom(bytes: usize) -> XCom {
        XCom { value: vec![0; bytes], ..XCom::default() }
    }

    #[test]
    fn groups_are_bounded_in_number_and_bytes() {
        let sizes =
            |parts: Vec<XCom>| -> Vec<usize> { grouped(parts, 3).iter().map(Vec::len).collect() };
        assert_eq!(sizes(vec![]), [] as [usize; 0]);
        assert_eq!(sizes((0..7).map(|_| xcom(1)).collect()), [3, 3, 1]);
        assert_eq!(sizes((0..4).map(|_| xcom(1 << 21)).collect()), [1, 1, 1, 1]);
        assert_eq!(sizes(vec![xcom(1), xcom(1 << 23), xcom(1)]), [1, 1, 1]);
        for group in grouped((0..9).map(|_| xcom(1 << 20)), 100) {
            let bytes: usize = group.iter().map(Message::encoded_len).sum();
            assert!(bytes < MESSAGE_BYTES && group.len() <= 3, "{} of {bytes}", group.len());
        }
        assert!(fits(&xcom(3 << 20)) && !fits(&xcom(4 << 20)));
    }
}
