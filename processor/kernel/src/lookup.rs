//! Finding 64-bit keys among millions of others: what the stages after decoding remember.
//!
//! Keys come from senders, who must not choose where in a table they stand: each table hashes under a seed of its own.
//! What is found does not depend on it.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

/// Where each of some keys stands, in a column that grows at its end and is forgotten from its beginning.
///
/// The key 0 is nowhere.
#[derive(Debug, Default)]
pub struct KeyTable {
    oldest: u64,
    keys: VecDeque<u64>,
    /// For each row how far before it the same key stands, 0 where it does not.
    back: VecDeque<u32>,
    /// The last row of each key.
    last: HashMap<u64, u64, RandomState>,
}

impl KeyTable {
    /// An empty one, whose column goes on at this row.
    pub fn from_row(first: u64) -> Self {
        Self { oldest: first, ..Self::default() }
    }

    /// Calls `found` with the index in `wanted` and the row of each place of each key, the last first.
    ///
    /// Of a key with more than `most` places, no more than one beyond that are told.
    pub fn find(&self, wanted: &[u64], most: usize, mut found: impl FnMut(usize, u64)) {
        for (index, key) in wanted.iter().enumerate() {
            let mut next = self.last.get(key).copied();
            let mut places = 0;
            while let Some(row) = next
                && places <= most
            {
                found(index, row);
                places += 1;
                next = self.before(row);
            }
        }
    }

    /// Puts some more at the end of the column. Returns, in order, which of them stand there twice among themselves.
    pub fn add(&mut self, keys: &[u64]) -> Vec<usize> {
        let first = self.oldest + self.keys.len() as u64;
        let mut twice = Vec::new();
        for (index, &key) in keys.iter().enumerate() {
            let row = first + index as u64;
            let before = if key == 0 { None } else { self.last.insert(key, row) };
            self.keys.push_back(key);
            self.back.push_back(before.and_then(|before| u32::try_from(row - before).ok()).unwrap_or(0));
            if let Some(before) = before.filter(|before| *before >= first) {
                twice.extend([(before - first) as usize, index]);
            }
        }
        twice.sort_unstable();
        twice.dedup();
        twice
    }

    /// Forgets the rows before this one.
    pub fn forget(&mut self, oldest: u64) {
        while self.oldest < oldest
            && let Some(key) = self.keys.pop_front()
        {
            self.back.pop_front();
            if let Entry::Occupied(last) = self.last.entry(key)
                && *last.get() == self.oldest
            {
                last.remove();
            }
            self.oldest += 1;
        }
        self.oldest = self.oldest.max(oldest);
    }

    /// The row before this one in which the same key stands.
    #[inline]
    fn before(&self, row: u64) -> Option<u64> {
        let back = *self.back.get((row - self.oldest) as usize)?;
        row.checked_sub(u64::from(back)).filter(|before| back > 0 && *before >= self.oldest)
    }
}

/// Some keys.
#[derive(Debug, Default)]
pub struct KeySet(HashSet<u64, RandomState>);

impl KeySet {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn sorted(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.0.iter().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub fn add(&mut self, keys: &[u64]) {
        self.0.extend(keys);
    }

    pub fn contains(&self, key: u64) -> bool {
        self.0.contains(&key)
    }

    /// For each key whether it is there.
    pub fn among(&self, keys: &[u64]) -> impl Iterator<Item = bool> {
        keys.iter().map(|key| self.contains(*key))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn places(table: &KeyTable, key: u64, most: usize) -> Vec<u64> {
        let mut found = Vec::new();
        table.find(&[key], most, |_, row| found.push(row));
        found
    }

    #[test]
    fn a_table_tells_all_places_that_are_not_forgotten() {
        let mut table = KeyTable::from_row(u64::from(u32::MAX) - 2);
        let base = u64::from(u32::MAX) - 2;
        assert_eq!(table.add(&[7, 8, 7, 0, 0]), [0, 2]);
        assert!(table.add(&[7, 9]).is_empty());
        assert_eq!(places(&table, 7, 9), [base + 5, base + 2, base]);
        assert_eq!(places(&table, 7, 1), [base + 5, base + 2]);
        assert!(places(&table, 0, 9).is_empty());
        table.forget(base + 5);
        assert_eq!(places(&table, 7, 9), [base + 5]);
        assert!(places(&table, 8, 9).is_empty());
        assert!(table.add(&[8]).is_empty());
        assert_eq!(places(&table, 8, 9), [base + 7]);
    }

    #[test]
    fn a_table_through_which_keys_pass_stays_small() {
        let mut table = KeyTable::default();
        for round in 0..1000u64 {
            let keys: Vec<u64> = (1..=100).map(|i| round * 100 + i).collect();
            table.add(&keys);
            table.forget(round * 100);
            assert_eq!(places(&table, round * 100 + 1, 9), [round * 100]);
        }
        assert_eq!((table.keys.len(), table.last.len()), (100, 100));
    }

    #[test]
    fn a_set_holds_each_key_once() {
        let mut set = KeySet::default();
        let keys: Vec<u64> = (0..5000).chain(0..5000).map(|key| key * 3).collect();
        set.add(&keys);
        assert_eq!(set.len(), 5000);
        let asked: Vec<u64> = (0..15_000).collect();
        assert!(set.among(&asked).eq(asked.iter().map(|key| key % 3 == 0)));
        assert!(set.sorted().into_iter().eq((0..5000).map(|key| key * 3)));
    }
}
