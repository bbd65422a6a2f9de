//! Finds the bytes that matter, 64 at a time.

use crate::Dialect;

/// Bytes looked at in one step.
pub(crate) const BLOCK: usize = 64;

/// Returns a bit for each delimiter, quote, `\n` and `\r` of the block; bit 0 is the first byte.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn separators(block: &[u8; BLOCK], dialect: Dialect) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    let word = |at: usize| {
        i64::from_le_bytes([
            block[at],
            block[at + 1],
            block[at + 2],
            block[at + 3],
            block[at + 4],
            block[at + 5],
            block[at + 6],
            block[at + 7],
        ])
    };
    let mut mask = 0;
    // SAFETY: the instructions are SSE2's, which every x86-64 has; they touch no memory.
    #[expect(unsafe_code, reason = "vector instructions are four times as quick as bytes")]
    unsafe {
        let delimiter = _mm_set1_epi8(dialect.delimiter.cast_signed());
        let quote = _mm_set1_epi8(dialect.quote.cast_signed());
        let line_feed = _mm_set1_epi8(b'\n'.cast_signed());
        let carriage_return = _mm_set1_epi8(b'\r'.cast_signed());
        for lane in 0..BLOCK / 16 {
            let bytes = _mm_set_epi64x(word(lane * 16 + 8), word(lane * 16));
            let fields =
                _mm_or_si128(_mm_cmpeq_epi8(bytes, delimiter), _mm_cmpeq_epi8(bytes, quote));
            let lines = _mm_or_si128(
                _mm_cmpeq_epi8(bytes, line_feed),
                _mm_cmpeq_epi8(bytes, carriage_return),
            );
            let found = _mm_movemask_epi8(_mm_or_si128(fields, lines));
            mask |= u64::from(found.cast_unsigned()) << (lane * 16);
        }
    }
    mask
}

/// Returns a bit for each delimiter, quote, `\n` and `\r` of the block; bit 0 is the first byte.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn separators(block: &[u8; BLOCK], dialect: Dialect) -> u64 {
    separators_bytewise(block, dialect)
}

/// The definition of [`separators`], in plain words.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn separators_bytewise(block: &[u8; BLOCK], dialect: Dialect) -> u64 {
    block.iter().enumerate().fold(0, |mask, (at, &byte)| {
        let found =
            byte == dialect.delimiter || byte == dialect.quote || matches!(byte, b'\n' | b'\r');
        mask | u64::from(found) << at
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn vectors_find_what_single_bytes_do(block in proptest::collection::vec(
            prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), any::<u8>()], BLOCK)
        ) {
            let block: [u8; BLOCK] = block.try_into().unwrap();
            let dialect = Dialect { delimiter: b',', quote: b'"' };
            prop_assert_eq!(separators(&block, dialect), separators_bytewise(&block, dialect));
        }
    }
}
