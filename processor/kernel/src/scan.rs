//! Finding the end of what is plain in a text, eight bytes at a time.
//!
//! Most strings of JSON texts are some bytes to some dozens: too short for searches that are made for long ones.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// The top bit of each byte that is zero. Above the first of them others may be set, too.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// The top bit of each byte that is `byte`, in the same way.
const fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (ONES * byte as u64))
}

/// The top bit of each byte below a space, in the same way.
const fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & TOPS
}

/// The place, from `start` on, of the first byte that JSON does not write as it is (a quote, backslash or control
/// character) or that is `OTHER`; the text's length where there is none.
#[inline]
pub fn special<const OTHER: u8>(text: &[u8], start: usize) -> usize {
    const BLOCK: usize = 32;
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == OTHER);
    let specials = |word| equal(word, b'"') | equal(word, b'\\') | controls(word) | equal(word, OTHER);
    let mut at = start;
    loop {
        match short(text, at, specials, is_special) {
            Ok(place) => return place,
            Err(place) => at = place,
        }
        // Where the number of bytes is known and none stops the loop, compilers look at many of them at a time.
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            if block.iter().fold(false, |any, byte| any | is_special(*byte)) {
                break;
            }
            at += BLOCK;
        }
    }
}

/// The place, from `start` on, of the first quote or backslash. None where there is none, or a control character before
/// it.
#[inline]
pub fn end_of_plain(text: &[u8], start: usize) -> Option<usize> {
    let ends = |word| quotes(word) | controls(word);
    match short(text, start, ends, |byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        Ok(place) => text.get(place).filter(|byte| **byte >= 0x20).map(|_| place),
        Err(start) => {
            let rest = text.get(start..)?;
            let size = memchr::memchr2(b'"', b'\\', rest)?;
            // The least byte, because compilers know how to find that many bytes at a time.
            let least = rest.get(..size)?.iter().fold(u8::MAX, |least, byte| least.min(*byte));
            (least >= 0x20).then_some(start + size)
        }
    }
}

/// The place, from `start` on, of the first quote or backslash.
#[inline]
pub fn quote_or_backslash(text: &[u8], start: usize) -> Option<usize> {
    match short(text, start, quotes, |byte| matches!(byte, b'"' | b'\\')) {
        Ok(place) => (place < text.len()).then_some(place),
        Err(start) => Some(start + memchr::memchr2(b'"', b'\\', text.get(start..)?)?),
    }
}

const fn quotes(word: u64) -> u64 {
    equal(word, b'"') | equal(word, b'\\')
}

/// Looks at some words: the place of the first hit (the text's length where there is none), or where to go on.
#[inline(always)]
fn short(
    text: &[u8],
    start: usize,
    hits: impl Fn(u64) -> u64,
    is_hit: impl Fn(u8) -> bool,
) -> Result<usize, usize> {
    const WORDS: usize = 4;
    let (words, tail) = text.get(start..).unwrap_or_default().as_chunks();
    for (index, word) in words.iter().take(WORDS).enumerate() {
        let found = hits(u64::from_le_bytes(*word));
        if found != 0 {
            return Ok(start + index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    if words.len() > WORDS {
        return Err(start + WORDS * 8);
    }
    let place = tail.iter().position(|byte| is_hit(*byte)).unwrap_or(tail.len());
    Ok(start + words.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_byte_wherever_it_stands_and_whatever_stands_around() {
        for size in [0, 1, 7, 8, 9, 31, 33, 40, 63, 64, 65, 71, 100] {
            for around in [b' ', b'a', 0x7f, 0x80, b'!', b'#', b'[', b']', 0xff] {
                let mut text = vec![around; size];
                for start in 0..size + 2 {
                    let end = size.max(start);
                    assert_eq!(special::<0xe2>(&text, start), end);
                    assert_eq!(quote_or_backslash(&text, start), None);
                    assert_eq!(end_of_plain(&text, start), None);
                }
                for at in 0..size {
                    for hit in (0..0x20).chain([b'"', b'\\', 0xe2]) {
                        text.splice(at..=at, [hit]);
                        let is_either = matches!(hit, b'"' | b'\\');
                        for start in (0..=size).step_by(5) {
                            let found = if start <= at { at } else { size };
                            assert_eq!(special::<0xe2>(&text, start), found);
                            let found = Some(found).filter(|at| is_either && *at < size);
                            assert_eq!(quote_or_backslash(&text, start), found);
                            assert_eq!(end_of_plain(&text, start), found);
                        }
                        text.splice(at..=at, [around]);
                    }
                }
            }
        }
    }
}
