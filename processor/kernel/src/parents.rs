//! Which row of the batch is a span's parent.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// One row's identity: the tenant, the trace (its code in the batch), its span id and its parent's (0: none).
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub tenant: u32,
    pub trace: i32,
    pub span: u64,
    pub parent: u64,
}

/// The rows so far.
#[derive(Debug, Default)]
pub struct Parents {
    rows: Vec<Row>,
}

impl Parents {
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    #[inline]
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// For each row the first row that is its parent, -1 where there is none. A span that names itself has none.
    ///
    /// `starts` are the rows, in order, of start records: those belong together, apart from the spans that ended.
    pub fn find(self, starts: &[u32]) -> Vec<i32> {
        if starts.is_empty() {
            return Self::among(&self.rows);
        }
        let (mut of_ends, mut of_starts) = (Vec::new(), starts.iter().copied().peekable());
        for index in 0..self.rows.len() as u32 {
            if of_starts.next_if_eq(&index).is_none() {
                of_ends.push(index);
            }
        }
        let mut found = vec![-1; self.rows.len()];
        for part in [&of_ends, starts] {
            let rows: Vec<Row> =
                part.iter().filter_map(|index| self.rows.get(*index as usize)).copied().collect();
            for (row, parent) in part.iter().zip(Self::among(&rows)) {
                let parent = usize::try_from(parent).ok().and_then(|parent| part.get(parent));
                if let (Some(place), Some(parent)) = (found.get_mut(*row as usize), parent) {
                    *place = i32::try_from(*parent).unwrap_or(-1);
                }
            }
        }
        found
    }

    fn among(rows: &[Row]) -> Vec<i32> {
        let hasher = RandomState::default();
        let hash = |tenant: u32, trace: i32, span: u64| hasher.hash_one((tenant, trace, span));
        let mut table: HashTable<u32> = HashTable::with_capacity(rows.len());
        let at = |index: u32| rows.get(index as usize);
        let same = |index: u32, row: &Row, span: u64| {
            at(index).is_some_and(|other| {
                other.tenant == row.tenant && other.trace == row.trace && other.span == span
            })
        };
        let rehash = |index: &u32| at(*index).map_or(0, |row| hash(row.tenant, row.trace, row.span));
        for (index, row) in (0u32..).zip(rows) {
            table
                .entry(hash(row.tenant, row.trace, row.span), |other| same(*other, row, row.span), rehash)
                .or_insert(index);
        }
        // Spans of one parent often come together.
        let mut last = (Row { tenant: 0, trace: 0, span: 0, parent: 0 }, -1);
        let mut parent = |row: &Row| {
            if row.parent == 0 || row.parent == row.span {
                return -1;
            }
            let (sibling, found) = last;
            if (sibling.tenant, sibling.trace, sibling.parent) == (row.tenant, row.trace, row.parent) {
                return found;
            }
            let found = table
                .find(hash(row.tenant, row.trace, row.parent), |other| same(*other, row, row.parent))
                .and_then(|index| i32::try_from(*index).ok())
                .unwrap_or(-1);
            last = (*row, found);
            found
        };
        rows.iter().map(&mut parent).collect()
    }
}
