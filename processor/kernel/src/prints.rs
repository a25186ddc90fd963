//! Prints of spans, and a table of them that costs one wait for memory a look-up.

use crate::hash::Keyed;

/// A span's identity: 96 bits of hash of its ids.
#[derive(Debug, Clone, Copy)]
pub struct Print {
    pub high: u64,
    pub low: u32,
}

/// Which record of a span: the one sent when it has ended, or one of those that say that it is open, with their end time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    End,
    Start(u64),
}

/// Makes the prints of one tenant's spans.
///
/// They are the top 96 bits of a sum, modulo 2^128, of the ids' 32-bit words times secret factors. For factors chosen at
/// random any two different spans have the same print with a probability of 2^-96, whatever their ids (Thorup, "High
/// speed hashing for integers and strings", 2015, multiply-shift of vectors: 128 >= 32 + 96 - 1). That takes a fifth of
/// the time of the hash for contents, whose strength is not needed: prints are not shown to anybody.
#[derive(Debug, Clone)]
pub struct Printer {
    factors: [u128; 7],
    addend: u128,
    /// For the end time of a start record.
    time_factors: [u128; 2],
}

impl Printer {
    pub fn new(keyed: &Keyed) -> Self {
        let secret = |index: u8| {
            let mut label = *b"clew seen factor 0";
            if let Some(last) = label.last_mut() {
                *last += index;
            }
            u128::from_le_bytes(keyed.hash128(&label))
        };
        Self {
            factors: std::array::from_fn(|index| secret(index as u8)),
            addend: secret(7),
            time_factors: [secret(8), secret(9)],
        }
    }

    /// A start record is another than the record of the end, and than one that says later that the span is still open.
    #[inline]
    pub fn print(&self, trace_id: [u8; 16], span_id: u64, of: Of) -> Print {
        let trace = u128::from_le_bytes(trace_id);
        let words = [
            trace as u32,
            (trace >> 32) as u32,
            (trace >> 64) as u32,
            (trace >> 96) as u32,
            span_id as u32,
            (span_id >> 32) as u32,
            u32::from(of != Of::End),
        ];
        let products =
            words.iter().zip(self.factors).map(|(word, factor)| factor.wrapping_mul(u128::from(*word)));
        let mut sum = products.fold(self.addend, u128::wrapping_add);
        if let Of::Start(time) = of {
            for (word, factor) in [time as u32, (time >> 32) as u32].into_iter().zip(self.time_factors) {
                sum = sum.wrapping_add(factor.wrapping_mul(u128::from(word)));
            }
        }
        // A high half of 0 would look like a free place.
        Print { high: ((sum >> 64) as u64).max(1), low: (sum >> 32) as u32 }
    }
}

/// What is remembered of a span: its print, and when it was accepted (the low 32 bits of the clock's seconds). One whose
/// `high` is 0 is a free place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry {
    high: u64,
    low: u32,
    time: u32,
}

pub const ENTRY_BYTES: usize = 16;

impl Entry {
    pub fn new(print: Print, now: i64) -> Self {
        Self { high: print.high, low: print.low, time: now as u32 }
    }

    /// Seconds between its acceptance and `now`, which is not earlier.
    #[inline]
    pub fn age(&self, now: i64) -> i64 {
        i64::from((now as u32).wrapping_sub(self.time))
    }

    pub fn print(&self) -> Print {
        Print { high: self.high, low: self.low }
    }

    #[inline]
    fn is_of(&self, print: Print) -> bool {
        self.high == print.high && self.low == print.low
    }

    #[inline]
    fn is_free(&self) -> bool {
        self.high == 0
    }

    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let all = u128::from(self.high) | u128::from(self.low) << 64 | u128::from(self.time) << 96;
        all.to_le_bytes()
    }

    /// None when they are not those of an entry.
    pub fn from_bytes(bytes: [u8; ENTRY_BYTES]) -> Option<Self> {
        let all = u128::from_le_bytes(bytes);
        let entry = Self { high: all as u64, low: (all >> 64) as u32, time: (all >> 96) as u32 };
        (!entry.is_free()).then_some(entry)
    }
}

const LINE: usize = 4;
/// Entries for each line on average, at most: the fuller, the more do not find place in their own line.
const LOAD: usize = 3;
const FIRST_LINES: usize = 64;

/// The entries that one wait for memory brings.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([Entry; LINE]);

/// A table to which entries are only added. One stands in the line its print points to, or, when that is full, in the
/// next one with a free place; the line after the last is the first.
///
/// Lines are in the order of the prints that point to them, whatever their number, so that growing goes through the old
/// and the new ones from one end to the other. (hashbrown's tables wait for memory twice for a look-up and once more to
/// insert; with a million entries that made three times the cost.)
#[derive(Debug, Default)]
pub struct Entries {
    lines: Vec<Line>,
    count: usize,
    /// The number of lines growing stops at, as long as they suffice.
    most_lines: usize,
}

impl Entries {
    /// No entries yet, and no memory taken; at most `room` are expected.
    pub fn new(room: usize) -> Self {
        Self { lines: Vec::new(), count: 0, most_lines: room.div_ceil(LOAD) }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keeps its memory, to be filled anew.
    pub fn clear(&mut self) {
        if !self.is_empty() {
            self.lines.fill(Line::default());
            self.count = 0;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().flat_map(|line| &line.0).filter(|entry| !entry.is_free())
    }

    #[inline]
    fn line_of(&self, print: Print) -> usize {
        ((u128::from(print.high) * self.lines.len() as u128) >> 64) as usize
    }

    /// Brings the print's line close; what comes back is of no meaning, but that it has to be fetched.
    #[inline]
    pub fn touch(&self, print: Print) -> u64 {
        self.lines.get(self.line_of(print)).map_or(0, |line| line.0.first().map_or(0, |entry| entry.high))
    }

    #[inline]
    pub fn find(&self, print: Print) -> Option<&Entry> {
        let (before, after) = self.lines.split_at_checked(self.line_of(print))?;
        for entry in after.iter().chain(before).flat_map(|line| &line.0) {
            if entry.is_of(print) {
                return Some(entry);
            }
            if entry.is_free() {
                return None;
            }
        }
        None
    }

    /// Adds an entry whose print is not there.
    #[inline]
    pub fn insert(&mut self, entry: Entry) {
        if self.count >= self.lines.len() * LOAD {
            self.grow();
        }
        self.put(entry);
        self.count += 1;
    }

    fn put(&mut self, entry: Entry) {
        let line = self.line_of(entry.print());
        let Some((before, after)) = self.lines.split_at_mut_checked(line) else { return };
        let mut places = after.iter_mut().chain(before).flat_map(|line| &mut line.0);
        if let Some(place) = places.find(|place| place.is_free()) {
            *place = entry;
        }
    }

    /// Makes room for so many entries in all. Needed before entries come in the order of their prints, as `iter` gives
    /// them: growing with them, the table would have all of them in its first lines.
    pub fn reserve(&mut self, count: usize) {
        let wanted = count.div_ceil(LOAD);
        if wanted > self.lines.len() {
            self.resize(wanted);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let now = self.lines.len();
        let wanted = (now * 2).max(FIRST_LINES);
        let enough = (now + 1..wanted).contains(&self.most_lines);
        self.resize(if enough { self.most_lines } else { wanted });
    }

    fn resize(&mut self, wanted: usize) {
        let before = std::mem::replace(&mut self.lines, vec![Line::default(); wanted]);
        for entry in before.iter().flat_map(|line| line.0).filter(|entry| !entry.is_free()) {
            self.put(entry);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_one_wait_for_memory_brings() {
        assert_eq!(size_of::<Entry>(), ENTRY_BYTES);
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    #[test]
    fn every_entry_is_found_however_full_the_table_and_wherever_its_line() {
        for spread in [1, 1 << 40, u64::MAX / 1_000, u64::MAX / 4_000] {
            let print = |number: u64| Print { high: number.wrapping_mul(spread).max(1), low: number as u32 };
            let mut entries = Entries::new(1_000);
            for number in 0..4_000 {
                assert!(entries.find(print(number)).is_none());
                entries.insert(Entry::new(print(number), number as i64));
            }
            assert_eq!((entries.len(), entries.iter().count()), (4_000, 4_000));
            for number in 0..4_000 {
                assert_eq!(entries.find(print(number)).unwrap().age(5_000), 5_000 - number as i64);
            }
            entries.clear();
            assert!((0..4_000).all(|number| entries.find(print(number)).is_none()));
        }
    }

    #[test]
    fn a_table_filled_to_its_room_takes_no_more_than_is_said() {
        let mut entries = Entries::new(100_000);
        for number in 1..=100_000u64 {
            entries.insert(Entry::new(Print { high: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), low: 0 }, 0));
        }
        assert_eq!(entries.lines.len(), 33_334);
    }

    #[test]
    fn tenants_traces_spans_and_start_records_have_prints_of_their_own() {
        let [one, other] = [1, 2].map(|key| Printer::new(&Keyed::new(&[key; 16])));
        let mut prints = vec![
            one.print([0; 16], 0, Of::End),
            one.print([0; 16], 0, Of::Start(0)),
            other.print([0; 16], 0, Of::End),
        ];
        prints.extend((0..128).map(|bit| one.print((1u128 << bit).to_le_bytes(), 0, Of::End)));
        prints.extend((0..64).map(|bit| one.print([0; 16], 1 << bit, Of::End)));
        prints.extend((0..64).map(|bit| one.print([0; 16], 0, Of::Start(1 << bit))));
        let mut entries = Entries::new(1_000);
        for print in prints {
            assert!(entries.find(print).is_none());
            entries.insert(Entry::new(print, 0));
        }
    }
}
