//! Finding calls that may be the same because they agree in something and ended at about the same time.
//!
//! Two such calls stand in one run, or one of them in a trace of its own, as its root.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::lookup::KeyTable;

/// Some calls, column by column. What they agree in is 0 where nothing is told of it.
#[derive(Debug)]
pub struct Agreeing<'a> {
    pub number: &'a [i64],
    pub common: &'a [u64],
    /// The same with the run in it.
    pub within: &'a [u64],
    pub end_ns: &'a [i64],
    pub root: &'a [u8],
}

/// One of them.
struct Call {
    number: i64,
    common: u64,
    within: u64,
    end_ns: i64,
    is_root: bool,
}

impl Agreeing<'_> {
    fn iter(&self) -> impl Iterator<Item = Call> {
        let keys = self.common.iter().zip(self.within);
        let places = self.end_ns.iter().zip(self.root);
        self.number.iter().zip(keys).zip(places).map(|((number, (common, within)), (end_ns, root))| Call {
            number: *number,
            common: *common,
            within: *within,
            end_ns: *end_ns,
            is_root: *root != 0,
        })
    }
}

/// What is meant by about the same time, and by too many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time is cut in slots of 2 to this power of ns, longer than `apart_ns`.
    pub slot_bits: u32,
    pub apart_ns: i64,
    /// Where more than so many calls agree in a slot, nothing can be told by it.
    pub crowd: usize,
}

/// Remembered calls, the rows of a column that grows at its end and is forgotten from its beginning.
#[derive(Debug)]
pub struct Beside {
    limits: Limits,
    in_run: KeyTable,
    everywhere: KeyTable,
    roots: KeyTable,
}

impl Beside {
    /// None yet; the column goes on at this row.
    pub fn from_row(first: u64, limits: Limits) -> Self {
        let table = || KeyTable::from_row(first);
        Self { limits, in_run: table(), everywhere: table(), roots: table() }
    }

    /// Puts calls at the end. Returns the numbers of those that agree among themselves in the same slot.
    pub fn add(&mut self, some: &Agreeing<'_>) -> Vec<i64> {
        let (mut within, mut common, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        for call in some.iter() {
            let slot = self.slot(call.end_ns);
            let key = in_slot(call.common, slot);
            within.push(in_slot(call.within, slot));
            common.push(key);
            roots.push(if call.is_root { key } else { 0 });
        }
        let mut found = self.in_run.add(&within);
        let everywhere = self.everywhere.add(&common);
        self.roots.add(&roots);
        let of_roots: HashSet<u64, RandomState> = roots.into_iter().filter(|key| *key != 0).collect();
        found.extend(
            everywhere.into_iter().filter(|at| common.get(*at).is_some_and(|key| of_roots.contains(key))),
        );
        found.into_iter().filter_map(|at| some.number.get(at).copied()).collect()
    }

    /// Calls `found` with the number of each call and the row of each that agrees with it, in its own slot or,
    /// if `next`, in one next to it that is not too far.
    pub fn find(&self, some: &Agreeing<'_>, next: bool, mut found: impl FnMut(i64, u64)) {
        let mut places = Vec::new();
        for call in some.iter() {
            let own = self.slot(call.end_ns);
            let (before, after) =
                [-1, 1].map(|way| self.slot(call.end_ns.saturating_add(way * self.limits.apart_ns))).into();
            let slots = [
                Some(own).filter(|_| !next),
                Some(before).filter(|slot| next && *slot != own),
                Some(after).filter(|slot| next && *slot != own),
            ];
            for slot in slots.into_iter().flatten() {
                let common = in_slot(call.common, slot);
                let everywhere = if call.is_root { common } else { 0 };
                for (table, key) in [
                    (&self.in_run, in_slot(call.within, slot)),
                    (&self.roots, common),
                    (&self.everywhere, everywhere),
                ] {
                    self.places(table, key, &mut places);
                    if places.len() <= self.limits.crowd {
                        places.iter().for_each(|row| found(call.number, *row));
                    }
                }
            }
        }
    }

    /// Of each call what it agrees in with others of its slot, `common` and `within`; 0 where they are too many.
    pub fn without_crowds(&self, some: &Agreeing<'_>) -> (Vec<u64>, Vec<u64>) {
        let mut places = Vec::new();
        let mut told = |table: &KeyTable, key: u64, slot: i64| {
            self.places(table, in_slot(key, slot), &mut places);
            if places.len() <= self.limits.crowd { key } else { 0 }
        };
        some.iter()
            .map(|call| {
                let slot = self.slot(call.end_ns);
                (told(&self.everywhere, call.common, slot), told(&self.in_run, call.within, slot))
            })
            .unzip()
    }

    /// Forgets the rows before this one.
    pub fn forget(&mut self, oldest: u64) {
        for table in [&mut self.in_run, &mut self.everywhere, &mut self.roots] {
            table.forget(oldest);
        }
    }

    fn slot(&self, time_ns: i64) -> i64 {
        time_ns >> self.limits.slot_bits
    }

    /// The rows in which the key stands; of a crowd one more than that.
    fn places(&self, table: &KeyTable, key: u64, places: &mut Vec<u64>) {
        places.clear();
        if key != 0 {
            table.find(&[key], self.limits.crowd, |_, row| places.push(row));
        }
    }
}

/// A key of what calls agree in and of a slot of time; 0 for nothing.
fn in_slot(key: u64, slot: i64) -> u64 {
    if key == 0 {
        return 0;
    }
    let mixed = (key ^ slot as u64 ^ (key >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 32)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { slot_bits: 30, apart_ns: 100_000_000, crowd: 3 };
    const SLOT: i64 = 1 << 30;

    /// Number, what it agrees in (0: nothing), run, end, whether it is a root.
    type Told = (i64, u64, u64, i64, u8);

    fn with<R>(calls: &[Told], mut act: impl FnMut(&Agreeing<'_>) -> R) -> R {
        let column = |field: fn(&Told) -> i64| calls.iter().map(field).collect::<Vec<_>>();
        let root: Vec<u8> = calls.iter().map(|call| call.4).collect();
        let common: Vec<u64> = calls.iter().map(|call| call.1).collect();
        let within: Vec<u64> =
            calls.iter().map(|call| if call.1 == 0 { 0 } else { call.1 ^ (call.2 << 32) }).collect();
        act(&Agreeing {
            number: &column(|call| call.0),
            common: &common,
            within: &within,
            end_ns: &column(|call| call.3),
            root: &root,
        })
    }

    fn found(beside: &Beside, call: Told) -> Vec<u64> {
        with(&[call], |some| {
            let mut rows = Vec::new();
            beside.find(some, false, |_, row| rows.push(row));
            beside.find(some, true, |_, row| rows.push(row));
            rows.sort_unstable();
            rows.dedup();
            rows
        })
    }

    fn remembered(calls: &[Told]) -> (Beside, Vec<i64>) {
        let mut beside = Beside::from_row(0, LIMITS);
        let mut twice = with(calls, |some| beside.add(some));
        twice.sort_unstable();
        twice.dedup();
        (beside, twice)
    }

    #[test]
    fn calls_of_one_run_agree_and_others_only_with_a_root() {
        let (beside, twice) =
            remembered(&[(0, 7, 1, 5, 0), (1, 7, 2, 5, 0), (2, 8, 3, 5, 1), (3, 8, 4, 5, 0)]);
        assert_eq!(twice, [2, 3]);
        assert_eq!(found(&beside, (9, 7, 1, 6, 0)), [0]);
        assert_eq!(found(&beside, (9, 7, 9, 6, 0)), [0u64; 0]);
        assert_eq!(found(&beside, (9, 7, 9, 6, 1)), [0, 1]);
        assert_eq!(found(&beside, (9, 8, 9, 6, 0)), [2]);
        assert_eq!(found(&beside, (9, 0, 1, 6, 1)), [0u64; 0]);
    }

    #[test]
    fn the_next_slot_counts_where_it_is_near() {
        let (beside, _) = remembered(&[(0, 7, 1, SLOT - 5, 0)]);
        assert_eq!(found(&beside, (9, 7, 1, SLOT + 5, 0)), [0]);
        assert_eq!(found(&beside, (9, 7, 1, SLOT + 2 * LIMITS.apart_ns, 0)), [0u64; 0]);
        assert_eq!(found(&beside, (9, 7, 1, i64::MAX, 0)), [0u64; 0]);
    }

    #[test]
    fn of_a_crowd_nothing_is_told() {
        let crowd: Vec<Told> = (0..4).map(|number| (number, 7, 1, 5, 0)).collect();
        let (mut beside, twice) = remembered(&crowd);
        assert_eq!(twice, [0, 1, 2, 3]);
        assert_eq!(found(&beside, (9, 7, 1, 6, 0)), [0u64; 0]);
        assert_eq!(with(&crowd, |some| beside.without_crowds(some)), (vec![0; 4], vec![0; 4]));
        beside.forget(1);
        assert_eq!(found(&beside, (9, 7, 1, 6, 0)), [1, 2, 3]);
        let (common, within) = with(&crowd, |some| beside.without_crowds(some));
        assert_eq!((common, within), (vec![7; 4], vec![7 ^ 1 << 32; 4]));
    }
}
