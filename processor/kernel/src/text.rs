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
