//! The keyed hash that names contents: HighwayHash (Alakuijala, Cox, Wassenberg 2016) with 64 and 128 bits of output.
//!
//! Under a secret key its output cannot be told from random, so who does not have a tenant's key can neither make two
//! texts meet nor recognise one by its name. Why this one: `docs/decisions/0006-contents-are-named-by-highwayhash.md`.

use highway::{HighwayHash, HighwayHasher};

/// A tenant's hash key as it is given.
pub type Key = [u8; 16];

/// 128 bits of hash, little endian when read as a number.
pub type Hash = [u8; 16];

/// Both halves of a hash as numbers.
pub fn halves(hash: Hash) -> (u64, u64) {
    let both = u128::from_le_bytes(hash);
    (both as u64, (both >> 64) as u64)
}

/// Hashes under one key.
#[derive(Debug, Clone)]
pub struct Keyed(HighwayHasher);

impl Keyed {
    /// HighwayHash has keys of 256 bits: the given 128, with zeros behind, are stretched by HighwayHash itself.
    pub fn new(key: &Key) -> Self {
        let both = u128::from_le_bytes(*key);
        let given = highway::Key([both as u64, (both >> 64) as u64, 0, 0]);
        Self(HighwayHasher::new(highway::Key(HighwayHasher::new(given).hash256(b"clew content names"))))
    }

    /// For a text that comes bit by bit.
    pub fn running(&self) -> Running {
        Running(self.0.clone())
    }

    /// The 64-bit hash.
    pub fn hash64(&self, data: &[u8]) -> u64 {
        self.0.clone().hash64(data)
    }

    /// The 128-bit hash.
    pub fn hash128(&self, data: &[u8]) -> Hash {
        joined(self.0.clone().hash128(data))
    }
}

/// The hash of a text that comes bit by bit.
#[derive(Debug, Clone)]
pub struct Running(HighwayHasher);

impl Running {
    pub fn append(&mut self, data: &[u8]) {
        self.0.append(data);
    }

    /// The 128-bit hash of all that came so far.
    pub fn hash(&self) -> Hash {
        joined(self.0.clone().finalize128())
    }
}

fn joined([low, high]: [u64; 2]) -> Hash {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// The reference implementation's first vectors: key 00..1f, input 00..(n - 1).
    const KEY: highway::Key = highway::Key([
        0x0706_0504_0302_0100,
        0x0f0e_0d0c_0b0a_0908,
        0x1716_1514_1312_1110,
        0x1f1e_1d1c_1b1a_1918,
    ]);

    #[test]
    fn gives_the_reference_vectors() {
        let keyed = Keyed(HighwayHasher::new(KEY));
        assert_eq!(keyed.hash64(&[]), 0x907a_56de_22c2_6e53);
        assert_eq!(keyed.hash64(&[0]), 0x7eab_43aa_c7cd_dd78);
        assert_eq!(keyed.hash64(&[0, 1]), 0xb8d0_569a_b0b5_3d62);
    }

    #[test]
    fn is_the_same_with_and_without_vector_instructions() {
        let data: Vec<u8> = (0..200).collect();
        for size in 0..data.len() {
            let data = &data[..size];
            let [low, high] = highway::PortableHash::new(KEY).hash128(data);
            let portable = [low.to_le_bytes(), high.to_le_bytes()].concat();
            assert_eq!(Keyed(HighwayHasher::new(KEY)).hash128(data)[..], portable);
        }
    }

    #[test]
    fn is_the_same_of_a_text_that_comes_bit_by_bit() {
        let keyed = Keyed::new(&[7; 16]);
        let data: Vec<u8> = (0..200).collect();
        let mut running = keyed.running();
        let mut at = 0;
        for size in [0, 1, 31, 32, 33, 0, 64, 39] {
            running.append(&data[at..at + size]);
            at += size;
            assert_eq!(running.hash(), keyed.hash128(&data[..at]));
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        let (one, other) = (Keyed::new(&[0; 16]), Keyed::new(&[1; 16]));
        assert_ne!(one.hash128(b"x"), other.hash128(b"x"));
        assert_ne!(one.hash64(b"x"), other.hash64(b"x"));
    }
}
