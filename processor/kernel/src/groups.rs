//! Rows in groups: sums, and least rows, of each.

use std::iter::repeat_n;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Rows grouped by keys; groups are numbered in the order in which they first occur.
#[derive(Debug, Default)]
pub struct Groups {
    rows: usize,
    /// The first row of each.
    firsts: Vec<u32>,
    /// Of all rows in order: neighbours of a group, which mostly stand together.
    stretches: Vec<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    group: u32,
    rows: u32,
}

/// The group of rows that are in none.
const NONE: u32 = u32::MAX;

impl Groups {
    /// Rows whose keys are equal; without those for which `among` is false.
    pub fn of(keys: &[u64], among: impl Fn(usize) -> bool) -> Self {
        let mut groups = Self { rows: keys.len(), ..Self::default() };
        let mut known = HashMap::<u64, u32, RandomState>::default(); // senders choose keys
        let mut before = None;
        for (row, key) in keys.iter().enumerate() {
            let key = Some(key).filter(|_| among(row));
            if let Some(stretch) = groups.stretches.last_mut()
                && key == before
            {
                stretch.rows += 1;
                continue;
            }
            before = key;
            let next = groups.firsts.len() as u32;
            let group = key.map_or(NONE, |key| *known.entry(*key).or_insert(next));
            if group == next {
                groups.firsts.push(row as u32);
            }
            groups.stretches.push(Stretch { group, rows: 1 });
        }
        groups
    }

    /// How many rows there are, in groups or not.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The first row of each group.
    pub fn firsts(&self) -> &[u32] {
        &self.firsts
    }

    /// The group of each row, -1 for none.
    pub fn of_row(&self) -> Vec<i64> {
        let number = |group| if group == NONE { -1 } else { i64::from(group) };
        self.stretches.iter().flat_map(|each| repeat_n(number(each.group), each.rows as usize)).collect()
    }

    /// The sum of what `sum_of` says of some neighbours' values, modulo 2^64.
    pub fn sum<T>(&self, mut values: &[T], sum_of: impl Fn(&[T]) -> i64) -> Vec<i64> {
        let mut totals = vec![0i64; self.firsts.len()];
        for Stretch { group, rows } in &self.stretches {
            let Some((some, rest)) = values.split_at_checked(*rows as usize) else { break };
            if let Some(total) = totals.get_mut(*group as usize) {
                *total = total.wrapping_add(sum_of(some));
            }
            values = rest;
        }
        totals
    }

    /// The row of each group that has the least value; where several have it, the least by `ties`, then the first.
    pub fn least(&self, values: &[i64], ties: &[Vec<i64>]) -> Vec<u32> {
        let ranks = |row: u32| ties.iter().map(move |column| column.get(row as usize));
        let mut least = self.firsts.clone();
        let mut rows = (0u32..).zip(values);
        for stretch in &self.stretches {
            let rows = rows.by_ref().take(stretch.rows as usize);
            let Some(best) = least.get_mut(stretch.group as usize) else {
                rows.for_each(drop);
                continue;
            };
            let Some(mut lowest) = values.get(*best as usize) else { break };
            for (row, value) in rows {
                if value < lowest || (value == lowest && ranks(row).lt(ranks(*best))) {
                    (*best, lowest) = (row, value);
                }
            }
        }
        least
    }
}

/// One key for each row out of several columns of codes: equal exactly where all of them are equal.
#[derive(Debug, Default)]
pub struct Combined {
    pub keys: Vec<u64>,
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
                let groups = Groups::of(&self.keys, |_| true);
                self.keys = groups.of_row().into_iter().map(|group| group as u64).collect();
                (groups.firsts.len() as u64).saturating_mul(count)
            }
        };
        self.keys.iter_mut().zip(codes).for_each(|(key, code)| *key = *key * count + code);
        self.size = size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_however_many_codes_there_may_be() {
        let mut combined = Combined::default();
        for column in [[1u64, 2, 1, 1], [5, 5, 5, 6], [0, 0, 0, 0]] {
            combined.and(column.into_iter(), 1 << 40);
        }
        let groups = Groups::of(&combined.keys, |_| true);
        assert_eq!((groups.of_row(), groups.firsts()), (vec![0, 1, 0, 2], &[0, 1, 3][..]));
    }

    #[test]
    fn rows_left_out_are_in_no_group() {
        let groups = Groups::of(&[7, 7, 7, 8, 9, 7], |row| row != 1 && row != 3);
        assert_eq!((groups.of_row(), groups.firsts()), (vec![0, -1, 0, -1, 1, 0], &[0, 4][..]));
        let sum_of = |values: &[i64]| values.iter().sum();
        assert_eq!(groups.sum(&[1, 2, 4, 8, 16, 32], sum_of), [37, 16]);
        assert_eq!(groups.least(&[3, 0, 2, 0, 0, 2], &[vec![0, 0, 1, 0, 0, 0]]), [5, 4]);
    }
}
