//! Finding 64-bit keys among millions of others: what the stages after decoding remember, and group by.
//!
//! Keys come from senders, who must not choose where in a table they stand: each table hashes under a seed of its own.
//! What is found does not depend on it.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

const LEAST_SLOTS: usize = 1 << 10;
/// So many keys' slots are read before the first of them is looked at, so that memory is waited for once.
const AHEAD: usize = 64;
/// As many as 32 bits of a hash tell apart.
const MOST_SLOTS: usize = 1 << 32;

/// Reads the slots where some hashes belong.
#[inline]
fn look_ahead(slots: &[u64], shift: u32, hashes: impl Iterator<Item = u64>) {
    let seen = hashes.map(|hash| slots.get((hash >> shift) as usize).copied().unwrap_or(0));
    std::hint::black_box(seen.fold(0, |all, held| all | held));
}

/// Places for numbers by hash, one look at memory for most: half of a slot tells whether a look at the key is worth it.
///
/// They lie in order of their hashes, as far as there is room: larger slots are filled from one end to the other.
#[derive(Debug)]
struct Slots {
    /// 32 bits of the hash, never 0, and the number; 0 for none.
    held: Vec<u64>,
    shift: u32,
}

enum Place {
    Taken { slot: usize, number: u32 },
    Free { slot: usize },
}

impl Slots {
    /// Half of them stay free while no more than `numbers` are put there.
    fn for_some(numbers: usize) -> Self {
        let slots = (2 * numbers).next_power_of_two().clamp(LEAST_SLOTS, MOST_SLOTS);
        Self { held: vec![0; slots], shift: u64::BITS - slots.trailing_zeros() }
    }

    /// How many numbers they are good for.
    fn room(&self) -> usize {
        self.held.len() / 4 * 3
    }

    /// The numbers that are still wanted, in slots for so many.
    fn moved(&self, numbers: usize, wanted: impl Fn(u32) -> bool) -> Self {
        let mut to = Self::for_some(numbers);
        for held in self.held.iter().copied().filter(|held| *held != 0 && wanted(*held as u32)) {
            let slot = to.free_from((held >> to.shift) as usize);
            to.held.get_mut(slot).into_iter().for_each(|free| *free = held);
        }
        to
    }

    fn free_from(&self, mut slot: usize) -> usize {
        while self.held.get(slot).is_some_and(|held| *held != 0) {
            slot = (slot + 1) & (self.held.len() - 1);
        }
        slot
    }

    #[inline]
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Place {
        let mark = Self::mark(hash);
        let mut slot = (mark >> self.shift) as usize;
        loop {
            let held = self.held.get(slot).copied().unwrap_or(0);
            if held == 0 {
                return Place::Free { slot };
            }
            if held >> 32 == mark >> 32 && is(held as u32) {
                return Place::Taken { slot, number: held as u32 };
            }
            slot = (slot + 1) & (self.held.len() - 1);
        }
    }

    #[inline]
    fn put(&mut self, slot: usize, hash: u64, number: u32) {
        if let Some(held) = self.held.get_mut(slot) {
            *held = Self::mark(hash) | u64::from(number);
        }
    }

    /// The upper half of a slot.
    #[inline]
    fn mark(hash: u64) -> u64 {
        (hash >> 32 | 1) << 32
    }
}

/// Where each of some keys stands, in a column that grows at its end and is forgotten from its beginning.
///
/// The key 0 is nowhere.
#[derive(Debug)]
pub struct KeyTable {
    hasher: RandomState,
    oldest: u64,
    keys: VecDeque<u64>,
    /// For each row how far before it the same key stands, 0 where it does not.
    back: VecDeque<u32>,
    /// The last row of each key, its lowest 32 bits. Forgotten rows stay there until the slots are made anew.
    last: Slots,
    /// Rows that may still be added before that.
    room: usize,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self::from_row(0)
    }
}

impl KeyTable {
    /// An empty one, whose column goes on at this row.
    pub fn from_row(first: u64) -> Self {
        let last = Slots::for_some(0);
        let room = last.room();
        Self {
            hasher: RandomState::default(),
            oldest: first,
            keys: VecDeque::new(),
            back: VecDeque::new(),
            last,
            room,
        }
    }

    /// Calls `found` with the index in `wanted` and the row of each place of each key, the last first.
    ///
    /// Of a key with more than `most` places, no more than one beyond that are told.
    pub fn find(&self, wanted: &[u64], most: usize, mut found: impl FnMut(usize, u64)) {
        for (index, &key) in wanted.iter().enumerate() {
            if index % AHEAD == 0 {
                self.look_ahead(wanted.get(index..).unwrap_or_default());
            }
            let mut next = if key == 0 { None } else { self.last_of(key, self.hasher.hash_one(key)) };
            let mut places = 0;
            while let Some(at) = next
                && places <= most
            {
                found(index, self.oldest + at as u64);
                places += 1;
                next = match self.back.get(at) {
                    Some(&back) if back > 0 => at.checked_sub(back as usize),
                    _ => None,
                };
            }
        }
    }

    /// Puts some more at the end of the column. Returns, in order, which of them stand there twice among themselves.
    pub fn add(&mut self, keys: &[u64]) -> Vec<usize> {
        if keys.len() > self.room {
            self.make_room(keys.len());
        }
        self.room -= keys.len();
        let first = self.keys.len();
        let mut twice = Vec::new();
        for (index, &key) in keys.iter().enumerate() {
            if index % AHEAD == 0 {
                self.look_ahead(keys.get(index..).unwrap_or_default());
            }
            let at = self.keys.len();
            let before = self.put(key, at);
            self.keys.push_back(key);
            self.back.push_back(before.and_then(|before| u32::try_from(at - before).ok()).unwrap_or(0));
            if let Some(before) = before.filter(|before| *before >= first) {
                twice.extend([before - first, at - first]);
            }
        }
        twice.sort_unstable();
        twice.dedup();
        twice
    }

    /// Forgets the rows before this one.
    pub fn forget(&mut self, oldest: u64) {
        let gone =
            usize::try_from(oldest.saturating_sub(self.oldest)).unwrap_or(usize::MAX).min(self.keys.len());
        self.keys.drain(..gone);
        self.back.drain(..gone);
        self.oldest = self.oldest.max(oldest);
    }

    #[inline]
    fn look_ahead(&self, keys: &[u64]) {
        let hashes = keys.iter().take(AHEAD).filter(|key| **key != 0).map(|key| self.hasher.hash_one(*key));
        look_ahead(&self.last.held, self.last.shift, hashes);
    }

    /// Makes the key's last row this one. Returns which it was before.
    #[inline]
    fn put(&mut self, key: u64, at: usize) -> Option<usize> {
        if key == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let number = self.oldest.wrapping_add(at as u64) as u32;
        match self.last.find(hash, |number| self.holds(number, key)) {
            Place::Taken { slot, number: before } => {
                self.last.put(slot, hash, number);
                self.place(before)
            }
            Place::Free { slot } => {
                self.last.put(slot, hash, number);
                None
            }
        }
    }

    #[inline]
    fn last_of(&self, key: u64, hash: u64) -> Option<usize> {
        match self.last.find(hash, |number| self.holds(number, key)) {
            Place::Taken { number, .. } => self.place(number),
            Place::Free { .. } => None,
        }
    }

    #[inline]
    fn holds(&self, number: u32, key: u64) -> bool {
        self.place(number).and_then(|at| self.keys.get(at)) == Some(&key)
    }

    /// Where a row stands by the lowest 32 bits of its number; None if it is forgotten.
    #[inline]
    fn place(&self, number: u32) -> Option<usize> {
        let at = number.wrapping_sub(self.oldest as u32) as usize;
        (at < self.keys.len()).then_some(at)
    }

    fn make_room(&mut self, rows: usize) {
        let held = self.keys.len();
        self.last = self.last.moved(held + rows, |number| self.place(number).is_some());
        self.room = self.last.room() - held;
    }
}

/// Some keys.
#[derive(Debug)]
pub struct KeySet {
    hasher: RandomState,
    /// 0 for none.
    slots: Vec<u64>,
    zero: bool,
    count: usize,
}

impl Default for KeySet {
    fn default() -> Self {
        Self { hasher: RandomState::default(), slots: vec![0; LEAST_SLOTS], zero: false, count: 0 }
    }
}

impl KeySet {
    pub fn len(&self) -> usize {
        self.count + usize::from(self.zero)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.zero.then_some(0).into_iter().chain(self.slots.iter().copied().filter(|key| *key != 0))
    }

    /// For each of some keys: is it there?
    pub fn among(&self, keys: &[u64]) -> impl Iterator<Item = bool> {
        keys.iter().enumerate().map(|(index, key)| {
            if index % AHEAD == 0 {
                self.look_ahead(keys.get(index..).unwrap_or_default());
            }
            if *key == 0 { self.zero } else { self.slots.get(self.slot(*key)) == Some(key) }
        })
    }

    pub fn add(&mut self, keys: &[u64]) {
        for (index, key) in keys.iter().enumerate() {
            if index % AHEAD == 0 {
                self.look_ahead(keys.get(index..).unwrap_or_default());
            }
            self.insert(*key);
        }
    }

    #[inline]
    fn look_ahead(&self, keys: &[u64]) {
        let hashes = keys.iter().take(AHEAD).map(|key| self.hasher.hash_one(*key));
        look_ahead(&self.slots, self.shift(), hashes);
    }

    fn shift(&self) -> u32 {
        u64::BITS - self.slots.len().trailing_zeros()
    }

    fn insert(&mut self, key: u64) {
        if key == 0 {
            self.zero = true;
            return;
        }
        if 4 * (self.count + 1) > 3 * self.slots.len() {
            let held = std::mem::take(&mut self.slots);
            self.slots = vec![0; 2 * held.len()];
            // They lay in order of their hashes: so the new ones are filled from one end to the other.
            for key in held.into_iter().filter(|key| *key != 0) {
                let slot = self.slot(key);
                self.slots.get_mut(slot).into_iter().for_each(|held| *held = key);
            }
        }
        let slot = self.slot(key);
        if let Some(held) = self.slots.get_mut(slot).filter(|held| **held == 0) {
            *held = key;
            self.count += 1;
        }
    }

    /// Where the key is, or would be.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut slot = (self.hasher.hash_one(key) >> self.shift()) as usize;
        while self.slots.get(slot).is_some_and(|held| *held != 0 && *held != key) {
            slot = (slot + 1) & last;
        }
        slot
    }
}

/// A number for each row, equal for equal keys and without gaps from 0 in the order in which they first stand there;
/// and the first row of each number.
pub fn numbered(keys: &[u64]) -> (Vec<u32>, Vec<u32>) {
    let hasher = RandomState::default();
    let mut slots = Slots::for_some(keys.len());
    let (mut numbers, mut firsts) = (Vec::with_capacity(keys.len()), Vec::<u32>::new());
    for (row, key) in (0u32..).zip(keys) {
        let hash = hasher.hash_one(*key);
        let is = |number: u32| {
            firsts.get(number as usize).and_then(|first| keys.get(*first as usize)) == Some(key)
        };
        let number = match slots.find(hash, is) {
            Place::Taken { number, .. } => number,
            Place::Free { slot } => {
                let number = firsts.len() as u32;
                slots.put(slot, hash, number);
                firsts.push(row);
                number
            }
        };
        numbers.push(number);
    }
    (numbers, firsts)
}

/// One key for each row out of several columns of codes: equal exactly where all of them are equal.
#[derive(Debug, Default)]
pub struct Combined {
    keys: Vec<u64>,
    /// Keys are below this.
    size: u64,
}

impl Combined {
    /// Takes one more column, of `count` different codes, 0 to below that.
    pub fn and(&mut self, codes: impl ExactSizeIterator<Item = u64>, count: u64) {
        if self.size == 0 {
            self.keys = codes.collect();
            self.size = count;
            return;
        }
        let size = match self.size.checked_mul(count) {
            Some(size) => size,
            None => {
                let (numbers, firsts) = numbered(&self.keys);
                self.keys = numbers.into_iter().map(u64::from).collect();
                (firsts.len() as u64).saturating_mul(count)
            }
        };
        self.keys.iter_mut().zip(codes).for_each(|(key, code)| *key = *key * count + code);
        self.size = size;
    }

    /// `numbered` of the rows.
    pub fn numbered(&self) -> (Vec<u32>, Vec<u32>) {
        numbered(&self.keys)
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
        assert_eq!(table.keys.len(), 100);
        assert_eq!(table.last.held.len(), LEAST_SLOTS);
    }

    #[test]
    fn a_set_holds_each_key_once() {
        let mut set = KeySet::default();
        let keys: Vec<u64> = (0..5000).chain(0..5000).map(|key| key * 3).collect();
        set.add(&keys);
        assert_eq!(set.len(), 5000);
        let asked: Vec<u64> = (0..15_000).collect();
        assert!(set.among(&asked).eq(asked.iter().map(|key| key % 3 == 0)));
        let mut all: Vec<u64> = set.iter().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq((0..5000).map(|key| key * 3)));
    }

    #[test]
    fn rows_are_numbered_however_many_codes_there_may_be() {
        let mut combined = Combined::default();
        for column in [[1u64, 2, 1, 1], [5, 5, 5, 6], [0, 0, 0, 0]] {
            combined.and(column.into_iter(), 1 << 40);
        }
        assert_eq!(combined.numbered(), (vec![0, 1, 0, 2], vec![0, 1, 3]));
    }
}
