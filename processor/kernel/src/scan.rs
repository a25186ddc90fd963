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
    find(
        text,
        start,
        |word| equal(word, b'"') | equal(word, b'\\') | controls(word) | equal(word, OTHER),
        |byte| (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == OTHER),
    )
}

/// The place, from `start` on, of the first quote or backslash; the text's length where there is none.
#[inline]
pub fn quote_or_backslash(text: &[u8], start: usize) -> usize {
    find(text, start, |word| equal(word, b'"') | equal(word, b'\\'), |byte| (byte == b'"') | (byte == b'\\'))
}

/// Words that are looked at before whole blocks are.
const WORDS: usize = 4;
const BLOCK: usize = 32;

#[inline(always)]
fn find(text: &[u8], start: usize, hits: impl Fn(u64) -> u64, is_hit: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let (words, _) = rest.as_chunks();
    if let Some(at) = first(words.iter().take(WORDS), &hits) {
        return start + at;
    }
    let mut at = start + words.len().min(WORDS) * 8;
    // Where the number of bytes is known and none stops the loop, compilers look at many of them at a time.
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        if block.iter().fold(false, |any, byte| any | is_hit(*byte)) {
            break;
        }
        at += BLOCK;
    }
    let (words, tail) = text.get(at..).unwrap_or_default().as_chunks();
    match first(words.iter(), &hits) {
        Some(place) => at + place,
        None => {
            at += words.len() * 8;
            at + tail.iter().position(|byte| is_hit(*byte)).unwrap_or(tail.len())
        }
    }
}

#[inline(always)]
fn first<'w>(words: impl Iterator<Item = &'w [u8; 8]>, hits: impl Fn(u64) -> u64) -> Option<usize> {
    words.enumerate().find_map(|(index, word)| {
        let found = hits(u64::from_le_bytes(*word));
        (found != 0).then(|| index * 8 + found.trailing_zeros() as usize / 8)
    })
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
                    assert_eq!(quote_or_backslash(&text, start), end);
                }
                for at in 0..size {
                    for hit in (0..0x20).chain([b'"', b'\\', 0xe2]) {
                        text.splice(at..=at, [hit]);
                        let is_either = matches!(hit, b'"' | b'\\');
                        for start in (0..=size).step_by(5) {
                            let found = if start <= at { at } else { size };
                            assert_eq!(special::<0xe2>(&text, start), found);
                            let found = if is_either { found } else { size };
                            assert_eq!(quote_or_backslash(&text, start), found);
                        }
                        text.splice(at..=at, [around]);
                    }
                }
            }
        }
    }
}
