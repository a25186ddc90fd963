//! What stands in place of a text that the sender kept to itself, and how long that text was.
//!
//! `<HASHED:<bytes> bytes:<hash>>` stands for a whole text, `<TRUNCATED:<characters> characters:<bytes> bytes:<hash>>` for
//! the end of one. Equal hashes are equal texts. Tokens are guessed from lengths, and those are of the texts, not of the
//! marks.

use std::sync::LazyLock;

use memchr::memmem::Finder;

static BYTES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b" bytes:"));

const HASH_DIGITS: usize = 32;
/// Longer numbers are nobody's length.
const LONGEST_NUMBER: usize = 12;

/// How many bytes the marks in a text stand for beyond those they take; negative where they stand for less.
pub fn beyond(text: &[u8]) -> i64 {
    BYTES.find_iter(text).filter_map(|at| mark(text, at)).sum()
}

/// The same for the one mark whose ` bytes:` stands there, if it is one.
fn mark(text: &[u8], at: usize) -> Option<i64> {
    let (before, after) = text.split_at_checked(at)?;
    let hash = after.get(b" bytes:".len()..)?.get(..=HASH_DIGITS)?;
    let (digits, end) = hash.split_at_checked(HASH_DIGITS)?;
    if end != b">" || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let (before, bytes) = number(before)?;
    let start = before.strip_suffix(b"<HASHED:").or_else(|| {
        let (before, _characters) = number(before.strip_suffix(b" characters:")?)?;
        before.strip_suffix(b"<TRUNCATED:")
    })?;
    let length = at - start.len() + b" bytes:".len() + HASH_DIGITS + 1;
    Some(bytes - i64::try_from(length).ok()?)
}

/// The number a text ends with, and what is before it.
fn number(text: &[u8]) -> Option<(&[u8], i64)> {
    let count = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || count > LONGEST_NUMBER {
        return None;
    }
    let (before, digits) = text.split_at_checked(text.len() - count)?;
    let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((before, value))
}

#[cfg(test)]
mod tests {
    use super::beyond;

    const HASH: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn marks_count_what_they_stand_for() {
        let hashed = format!("<HASHED:1000 bytes:{HASH}>");
        let cut = format!("<TRUNCATED:300 characters:400 bytes:{HASH}>");
        let own = |text: &str| text.len() as i64;
        assert_eq!(beyond(hashed.as_bytes()), 1000 - own(&hashed));
        assert_eq!(beyond(format!("the beginning {cut}").as_bytes()), 400 - own(&cut));
        let both = format!("{{\"a\":\"{hashed}\",\"b\":\"x{cut}\"}}");
        assert_eq!(beyond(both.as_bytes()), 1400 - own(&hashed) - own(&cut));
    }

    #[test]
    fn what_only_looks_like_a_mark_is_text() {
        for text in [
            "",
            " bytes:",
            "it has 12 bytes: few",
            "<HASHED:12 bytes:0123>",
            &format!("<HASHED: bytes:{HASH}>"),
            &format!("<HASHED:12 bytes:{HASH}"),
            &format!("<HASHED:1234567890123 bytes:{HASH}>"),
            &format!("HASHED:12 bytes:{HASH}>"),
            &format!("<TRUNCATED:12 bytes:{HASH}>"),
            &format!("<TRUNCATED: characters:12 bytes:{HASH}>"),
            &format!("<HASHED:12 bytes:{}g>", &HASH[1..]),
        ] {
            assert_eq!(beyond(text.as_bytes()), 0, "{text}");
        }
    }
}
