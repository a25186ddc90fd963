//! Short strings, which attributes mostly are: is it UTF-8, are two the same.

/// True for valid UTF-8.
#[inline]
pub fn is_utf8(text: &[u8]) -> bool {
    if text.len() < 64 {
        is_short_ascii(text) || std::str::from_utf8(text).is_ok()
    } else {
        simdutf8::basic::from_utf8(text).is_ok()
    }
}

#[inline]
fn is_short_ascii(text: &[u8]) -> bool {
    let (words, tail) = text.as_chunks::<8>();
    let mut seen = 0u64;
    for word in words {
        seen |= u64::from_ne_bytes(*word);
    }
    for byte in tail {
        seen |= u64::from(*byte);
    }
    seen & 0x8080_8080_8080_8080 == 0
}

/// Places in a table of texts that came lately.
pub const LATELY: usize = 16;

/// The place of a text there, by its length and last bytes.
#[inline]
pub fn slot(text: &[u8]) -> usize {
    let end = match text {
        [.., a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        [a, ..] => u32::from(*a),
        [] => 0,
    };
    let mixed = (end ^ (text.len() as u32) << 24).wrapping_mul(0x9e37_79b1);
    (mixed >> (u32::BITS - LATELY.ilog2())) as usize
}

/// The sixteen hex digits of a number, made all at once.
#[inline]
pub fn hex_digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (half, out) in [(number >> 32) as u32, number as u32].into_iter().zip(digits.as_chunks_mut::<8>().0) {
        // Each half byte to a byte of its own.
        let mut spread = u64::from(half);
        spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
        spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
        spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        let past_nine = u64::from(b'a' - b'0' - 10);
        *out = (spread + 0x3030_3030_3030_3030 + letters * past_nine).to_be_bytes();
    }
    digits
}

/// Whether both are the same bytes. In line, eight bytes at a time: for strings of this size that beats a call.
#[inline]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if one.len() > 64 {
        return one == other;
    }
    let (one_words, one_tail) = one.as_chunks::<8>();
    let (other_words, other_tail) = other.as_chunks::<8>();
    // The last eight bytes overlap the words before them, so that the tail needs no loop.
    if let (Some(one), Some(other)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        let mut differ = u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other);
        for (one, other) in one_words.iter().zip(other_words) {
            differ |= u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other);
        }
        return differ == 0;
    }
    one_tail.iter().zip(other_tail).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_hex_digits_that_rust_writes() {
        for number in
            [0, 1, 9, 10, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0xa0a0_9a9a_0f0f_f0f0]
        {
            assert_eq!(hex_digits(number).as_slice(), format!("{number:016x}").as_bytes());
        }
    }
}
