//! SipHash-2-4 (Aumasson, Bernstein 2012) with 64-bit and 128-bit output, as the reference implementation has them.
//!
//! ClickHouse computes the same as `sipHash64Keyed((k0, k1), x)` and `sipHash128ReferenceKeyed((k0, k1), x)`, where
//! k0 and k1 are the key's halves read as little-endian UInt64.

/// A tenant's hash key.
pub type Key = [u8; 16];

/// 128 bits of hash, little endian when read as a number.
pub type Hash = [u8; 16];

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn new(key: &Key) -> Self {
        let both = u128::from_le_bytes(*key);
        let (k0, k1) = (both as u64, (both >> 64) as u64);
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn words(&mut self, words: &[[u8; 8]]) {
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
    }

    /// Absorbs the last, incomplete word with the length of it all.
    #[inline(always)]
    fn tail(&mut self, tail: &[u8], length: usize) {
        let mut last = [0u8; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last) | (length as u64) << 56);
    }

    #[inline(always)]
    fn absorb(&mut self, data: &[u8]) {
        let (words, tail) = data.as_chunks::<8>();
        self.words(words);
        self.tail(tail, data.len());
    }

    #[inline(always)]
    fn wide(key: &Key) -> Self {
        let mut state = Self::new(key);
        state.v1 ^= 0xee;
        state
    }

    #[inline(always)]
    fn finish_wide(mut self) -> Hash {
        self.v2 ^= 0xee;
        let low = self.finish();
        self.v1 ^= 0xdd;
        let high = self.finish();
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }

    #[inline(always)]
    fn finish(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// The 64-bit hash.
pub fn hash64(key: &Key, data: &[u8]) -> u64 {
    let mut state = State::new(key);
    state.absorb(data);
    state.v2 ^= 0xff;
    state.finish()
}

/// The 128-bit hash.
pub fn hash128(key: &Key, data: &[u8]) -> Hash {
    let mut state = State::wide(key);
    state.absorb(data);
    state.finish_wide()
}

/// The 128-bit hashes of two texts. Each step of a hash waits for the one before it, so two at a time cost little more
/// than one.
pub fn hash128_both(key: &Key, one: &[u8], other: &[u8]) -> (Hash, Hash) {
    let (mut first, mut second) = (State::wide(key), State::wide(key));
    let ((one_words, one_tail), (other_words, other_tail)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let shared = one_words.len().min(other_words.len());
    let (one_shared, one_rest) = one_words.split_at_checked(shared).unwrap_or_default();
    let (other_shared, other_rest) = other_words.split_at_checked(shared).unwrap_or_default();
    for (one, other) in one_shared.iter().zip(other_shared) {
        first.word(u64::from_le_bytes(*one));
        second.word(u64::from_le_bytes(*other));
    }
    first.words(one_rest);
    first.tail(one_tail, one.len());
    second.words(other_rest);
    second.tail(other_tail, other.len());
    (first.finish_wide(), second.finish_wide())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const KEY: Key = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn gives_the_papers_vectors() {
        let data: Vec<u8> = (0..15).collect();
        assert_eq!(hash64(&KEY, &data), 0xa129_ca61_49be_45e5);
        assert_eq!(hash64(&KEY, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(hash128(&KEY, &[]), *b"\xa3\x81\x7f\x04\xba\x25\xa8\xe6\x6d\xf6\x72\x14\xc7\x55\x02\x93");
        assert_eq!(
            hash128(&KEY, &data),
            *b"\x54\x93\xe9\x99\x33\xb0\xa8\x11\x7e\x08\xec\x0f\x97\xcf\xc3\xd9"
        );
    }

    #[test]
    fn two_at_a_time_are_the_same_as_one_by_one() {
        let data: Vec<u8> = (0..100).collect();
        for (a, b) in [(0, 0), (0, 100), (100, 7), (8, 8), (15, 16), (99, 100)] {
            let (one, other) = (&data[..a], &data[..b]);
            assert_eq!(hash128_both(&KEY, one, other), (hash128(&KEY, one), hash128(&KEY, other)));
        }
    }
}
