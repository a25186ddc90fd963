//! Spans accepted lately, so that one that is sent again is known.
//!
//! A span is remembered by 96 bits of a keyed hash: with 10 million remembered, a new span is taken for one of them
//! with a probability of 10^-22. Entries live in two generations, new ones in the young one. When the young one's first
//! entry is older than the horizon, or when it is full, it becomes the old one and what was old is dropped; an old
//! generation whose last entry is older than the horizon is dropped too. So whatever came within the horizon is there,
//! unless more came than there is room for.

use crate::hash::Keyed;
use crate::prints::{ENTRY_BYTES, Entries, Entry, Print};

const SECOND_NS: i64 = 1_000_000_000;

/// Longest horizon. Ages are differences of 32-bit seconds, and an entry may live for three horizons.
pub const MAX_HORIZON_NS: i64 = 365 * 86_400 * SECOND_NS;
/// Least room: one entry in each generation.
pub const LEAST_ROOM: usize = 2;

/// Seconds that never go backwards, made of arrival times that may.
///
/// Where arrival steps back by no more than the horizon, the clock stands until arrival has caught up; where it steps
/// back further, as after a clock was wrong, the clock goes on from where it was. Either way nothing is in the future,
/// and what is remembered comes of age.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    started: bool,
    now: i64,
    /// What is added to seconds of arrival.
    offset: i64,
}

impl Clock {
    fn advance(&mut self, arrival_ns: i64, horizon: i64) {
        let arrival = arrival_ns.div_euclid(SECOND_NS);
        let next = arrival.saturating_add(self.offset);
        if !self.started {
            (self.started, self.now) = (true, next);
        } else if self.now.saturating_sub(next) > horizon {
            self.offset = self.now.saturating_sub(arrival);
        } else {
            self.now = self.now.max(next);
        }
    }
}

#[derive(Debug)]
struct Generation {
    number: u64,
    /// When its first and its last entry were made; of no meaning while it is empty.
    first: i64,
    last: i64,
    entries: Entries,
    /// Entries made since the last export.
    fresh: Vec<Entry>,
}

impl Generation {
    fn new(number: u64, room: usize) -> Self {
        Self { number, first: 0, last: 0, entries: Entries::new(room), fresh: Vec::new() }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.fresh = Vec::new();
    }
}

/// Whether a span was met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    New,
    /// Within the horizon: it was sent again.
    Again,
    /// Longer ago than the horizon, and still remembered.
    Late,
}

/// The memory of spans accepted lately.
#[derive(Debug)]
pub struct Seen {
    /// In seconds; 0 when nothing is remembered.
    horizon: i64,
    /// Most entries of one generation.
    room: usize,
    clock: Clock,
    young: Generation,
    old: Generation,
    /// Whether new entries are noted for the next export. Who never exports needs no notes.
    noting: bool,
    forgotten: u64,
}

impl Seen {
    /// A memory of at most `max_spans` spans that knows a span again for `horizon_ns`, in whole seconds rounded up.
    pub fn new(horizon_ns: i64, max_spans: usize) -> Self {
        let horizon_ns = horizon_ns.clamp(0, MAX_HORIZON_NS);
        let room = max_spans.max(LEAST_ROOM) / 2;
        Self {
            horizon: horizon_ns / SECOND_NS + i64::from(horizon_ns % SECOND_NS != 0),
            room,
            clock: Clock::default(),
            young: Generation::new(1, room),
            old: Generation::new(0, room),
            noting: false,
            forgotten: 0,
        }
    }

    /// A memory that knows nothing again.
    pub fn off() -> Self {
        Self::new(0, LEAST_ROOM)
    }

    pub fn is_on(&self) -> bool {
        self.horizon > 0
    }

    /// Sets the time of what is met next and drops what is past the horizon.
    pub fn begin(&mut self, arrival_ns: i64) {
        self.clock.advance(arrival_ns, self.horizon);
        if !self.young.entries.is_empty() && self.is_past(self.young.first) {
            self.rotate();
        }
        if self.is_past(self.old.last) {
            self.old.clear();
        }
    }

    fn is_past(&self, time: i64) -> bool {
        self.clock.now.saturating_sub(time) > self.horizon
    }

    /// The young generation becomes the old one; what was old is dropped.
    fn rotate(&mut self) {
        if !self.is_past(self.old.last) {
            let now = self.clock.now;
            self.forgotten +=
                self.old.entries.iter().filter(|entry| entry.age(now) <= self.horizon).count() as u64;
        }
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.young.number = self.old.number + 1;
    }

    /// Brings close what meeting these will need: so the waits for memory overlap.
    pub fn warm<'p>(&self, prints: impl Iterator<Item = &'p Print>) {
        let touch = |print: &Print| self.young.entries.touch(*print) ^ self.old.entries.touch(*print);
        std::hint::black_box(prints.map(touch).fold(0, |all, one| all ^ one));
    }

    /// Tells whether a span was met before, and remembers it unless that was within the horizon.
    pub fn meet(&mut self, print: Print) -> Meeting {
        if self.young.entries.len() >= self.room {
            self.rotate();
        }
        let Self { horizon, clock, young, old, noting, .. } = self;
        // What is young is not past the horizon: see `begin`.
        if young.entries.find(print).is_some() {
            return Meeting::Again;
        }
        let before = old.entries.find(print);
        if before.is_some_and(|entry| entry.age(clock.now) <= *horizon) {
            return Meeting::Again;
        }
        let entry = Entry::new(print, clock.now);
        if young.entries.is_empty() {
            young.first = clock.now;
        }
        young.last = clock.now;
        young.entries.insert(entry);
        if *noting {
            young.fresh.push(entry);
        }
        if before.is_some() { Meeting::Late } else { Meeting::New }
    }

    /// Tells whether a span was met before, however long ago, and changes nothing.
    pub fn knows(&self, print: Print) -> bool {
        self.young.entries.find(print).is_some() || self.old.entries.find(print).is_some()
    }

    /// How many were dropped before they were past the horizon, for lack of room, since this was asked last.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// What is new since the last export (at the first: everything), and the state all exports together lead to.
    pub fn export(&mut self) -> Chunk {
        if !self.noting {
            for generation in [&mut self.old, &mut self.young] {
                generation.fresh = generation.entries.iter().copied().collect();
            }
            self.noting = true;
        }
        let oldest = if self.old.entries.is_empty() { self.young.number } else { self.old.number };
        let mut data = Vec::new();
        data.extend_from_slice(MAGIC);
        for number in [self.clock.started.into(), self.clock.now, self.clock.offset] {
            data.extend_from_slice(&number.to_le_bytes());
        }
        for generation in [&mut self.old, &mut self.young] {
            let fresh = std::mem::take(&mut generation.fresh);
            data.extend_from_slice(&generation.number.to_le_bytes());
            data.extend_from_slice(&generation.first.to_le_bytes());
            data.extend_from_slice(&generation.last.to_le_bytes());
            data.extend_from_slice(&(generation.entries.len() as u64).to_le_bytes());
            data.extend_from_slice(&(fresh.len() as u64).to_le_bytes());
            for entry in fresh {
                data.extend_from_slice(&entry.to_bytes());
            }
        }
        let sum = checksum(&data);
        data.extend_from_slice(&sum.to_le_bytes());
        Chunk { data, generation: self.young.number, oldest }
    }

    /// Puts what was exported in place of what is remembered: all chunks that are still of use, in the order of their
    /// export. Returns how many entries the last one speaks of that none of them holds. On an error, which says what is
    /// wrong, nothing has changed.
    pub fn import(&mut self, chunks: &[&[u8]]) -> Result<u64, String> {
        let mut read: Vec<Image<'_>> = Vec::with_capacity(chunks.len());
        for (index, chunk) in chunks.iter().enumerate() {
            let image = Image::read(chunk).ok_or_else(|| {
                format!("chunk {index} of {} is not what was exported: it is damaged", chunks.len())
            })?;
            if read.last().is_some_and(|before| !before.may_precede(&image)) {
                return Err(format!(
                    "chunk {index} is older than the one before it: expected the order of export"
                ));
            }
            read.push(image);
        }
        let mut restored = Self::new(0, self.room * 2);
        (restored.horizon, restored.noting) = (self.horizon, true);
        let mut missing = 0;
        if let Some(latest) = read.last() {
            restored.clock = latest.clock;
            for (generation, wanted) in
                [(&mut restored.old, &latest.old), (&mut restored.young, &latest.young)]
            {
                (generation.number, generation.first, generation.last) =
                    (wanted.number, wanted.first, wanted.last);
                let sections = read.iter().flat_map(|image| [&image.old, &image.young]);
                let sections = sections.filter(|section| section.number == wanted.number);
                generation.entries.reserve(sections.clone().map(|section| section.bytes.len()).sum());
                for entry in sections.flat_map(Section::entries) {
                    if generation.entries.find(entry.print()).is_none() {
                        generation.entries.insert(entry);
                    }
                }
                missing += wanted.count.saturating_sub(generation.entries.len() as u64);
            }
        }
        *self = restored;
        Ok(missing)
    }
}

/// One export.
#[derive(Debug)]
pub struct Chunk {
    pub data: Vec<u8>,
    /// The newest generation it can hold entries of. It is of no use any more once a later chunk's `oldest` is greater.
    pub generation: u64,
    /// The oldest generation still remembered.
    pub oldest: u64,
}

/// Says what the bytes are, the version of their form and the hash of the entries.
const MAGIC: &[u8; 8] = b"clwseen1";

fn checksum(data: &[u8]) -> u64 {
    Keyed::new(b"clew seen chunks").hash64(data)
}

/// A chunk read.
struct Image<'c> {
    clock: Clock,
    old: Section<'c>,
    young: Section<'c>,
}

struct Section<'c> {
    number: u64,
    first: i64,
    last: i64,
    /// Entries of the generation at the time of the export, in this chunk or an earlier one.
    count: u64,
    bytes: &'c [[u8; ENTRY_BYTES]],
}

impl<'c> Image<'c> {
    /// None when the bytes are not a chunk.
    fn read(chunk: &'c [u8]) -> Option<Self> {
        let (mut rest, sum) = chunk.split_last_chunk::<8>()?;
        if checksum(rest) != u64::from_le_bytes(*sum) {
            return None;
        }
        let rest = &mut rest;
        if word(rest)? != *MAGIC {
            return None;
        }
        let mut number = || word(rest).map(i64::from_le_bytes);
        let clock = Clock { started: number()? != 0, now: number()?, offset: number()? };
        let image = Self { clock, old: Section::read(rest)?, young: Section::read(rest)? };
        (rest.is_empty() && image.is_sound()).then_some(image)
    }

    /// Whether numbers and times are such that reckoning with them cannot overflow, and all entries are entries.
    fn is_sound(&self) -> bool {
        let sane = |time: i64| time.unsigned_abs() < 1 << 60;
        sane(self.clock.now)
            && sane(self.clock.offset)
            && self.old.number < self.young.number
            && self.young.number < u64::MAX >> 1
            && [&self.old, &self.young].iter().all(|section| section.entries().count() == section.bytes.len())
    }

    fn may_precede(&self, later: &Self) -> bool {
        self.young.number <= later.young.number && self.clock.now <= later.clock.now
    }
}

impl<'c> Section<'c> {
    fn read(rest: &mut &'c [u8]) -> Option<Self> {
        let number = u64::from_le_bytes(word(rest)?);
        let (first, last) = (i64::from_le_bytes(word(rest)?), i64::from_le_bytes(word(rest)?));
        let (count, here) = (u64::from_le_bytes(word(rest)?), u64::from_le_bytes(word(rest)?));
        let bytes = usize::try_from(here).ok()?.checked_mul(ENTRY_BYTES)?;
        let (entries, after) = rest.split_at_checked(bytes)?;
        *rest = after;
        Some(Self { number, first, last, count, bytes: entries.as_chunks().0 })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.bytes.iter().filter_map(|bytes| Entry::from_bytes(*bytes))
    }
}

fn word(rest: &mut &[u8]) -> Option<[u8; 8]> {
    let (head, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*head)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const HORIZON: i64 = 600;

    /// Xorshift: the same sequences every time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    fn print(number: u64) -> Print {
        let high = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Print { high, low: number as u32 }
    }

    fn seen(room: usize) -> Seen {
        Seen::new(HORIZON * SECOND_NS, room)
    }

    fn meet_at(seen: &mut Seen, seconds: i64, number: u64) -> Meeting {
        seen.begin(seconds * SECOND_NS);
        seen.meet(print(number))
    }

    fn remembered(seen: &Seen) -> usize {
        seen.young.entries.len() + seen.old.entries.len()
    }

    /// Against every acceptance ever, with room enough and a clock that only goes forward.
    #[test]
    fn a_span_is_met_again_just_when_it_was_accepted_within_the_horizon() {
        let mut random = Random(1);
        let mut counts = [0; 3];
        for _ in 0..50 {
            let mut accepted = std::collections::HashMap::<u64, i64>::new();
            let (mut seen, mut now, quiet) = (seen(1 << 20), 0, random.below(400));
            for _ in 0..500 {
                now += random.below(quiet + 1) as i64;
                let number = random.below(60);
                let meeting = meet_at(&mut seen, now, number);
                let age = accepted.get(&number).map(|then| now - then);
                match meeting {
                    Meeting::Again => assert!(age.unwrap() <= HORIZON),
                    Meeting::Late => assert!(age.unwrap() > HORIZON),
                    Meeting::New => assert!(age.is_none_or(|age| age > HORIZON)),
                }
                if meeting != Meeting::Again {
                    accepted.insert(number, now);
                }
                counts[meeting as usize] += 1;
            }
            assert_eq!(seen.take_forgotten(), 0);
        }
        assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
    }

    #[test]
    fn room_is_bounded_and_what_was_dropped_too_early_is_counted() {
        let mut seen = seen(1_000);
        seen.begin(0);
        for number in 0..10_000 {
            assert_eq!(seen.meet(print(number)), Meeting::New);
            assert!(remembered(&seen) <= 1_000);
        }
        assert_eq!(seen.take_forgotten(), 9_000);
        assert_eq!(seen.take_forgotten(), 0);
        assert!((9_500..10_000).all(|number| seen.meet(print(number)) == Meeting::Again));
        assert_eq!(meet_at(&mut seen, 1, 0), Meeting::New);
    }

    #[test]
    fn what_is_dropped_for_its_age_is_not_forgotten_too_early() {
        let mut seen = seen(1_000);
        for number in 0..100_000 {
            assert_eq!(meet_at(&mut seen, number as i64 * 10, number), Meeting::New);
            assert!(remembered(&seen) < 300);
        }
        assert_eq!(seen.take_forgotten(), 0);
    }

    #[test]
    fn small_steps_back_of_the_clock_change_nothing() {
        let mut seen = seen(1_000);
        assert_eq!(meet_at(&mut seen, 1_000, 1), Meeting::New);
        assert_eq!(meet_at(&mut seen, 700, 2), Meeting::New);
        assert_eq!(meet_at(&mut seen, 700, 1), Meeting::Again);
        assert_eq!(meet_at(&mut seen, 1_600, 1), Meeting::Again);
        assert_eq!(meet_at(&mut seen, 1_600, 2), Meeting::Again);
        assert_ne!(meet_at(&mut seen, 1_601, 1), Meeting::Again);
    }

    #[test]
    fn after_a_clock_was_years_ahead_time_goes_on() {
        let (year, mut seen) = (365 * 86_400, seen(1 << 20));
        assert_eq!(meet_at(&mut seen, 0, 1), Meeting::New);
        assert_eq!(meet_at(&mut seen, 50 * year, 2), Meeting::New);
        assert_eq!(meet_at(&mut seen, 10, 2), Meeting::Again);
        assert_eq!(meet_at(&mut seen, 610, 2), Meeting::Again);
        assert_ne!(meet_at(&mut seen, 611, 2), Meeting::Again);
    }

    #[test]
    fn a_mad_clock_breaks_nothing_and_memory_drains_when_it_is_sane_again() {
        let mut random = Random(3);
        let mut seen = seen(1 << 20);
        for number in 0..2_000 {
            let wild = [i64::MIN, i64::MAX, 0, -1, 1, random.0 as i64][random.below(6) as usize];
            seen.begin(wild);
            seen.meet(print(number));
            assert_eq!(seen.meet(print(number)), Meeting::Again);
            let chunk = seen.export();
            assert!(Image::read(&chunk.data).is_some());
        }
        for second in 0..3 * HORIZON {
            meet_at(&mut seen, second, 0);
        }
        assert_eq!(remembered(&seen), 1);
    }

    /// Random traffic with resends, quiet times, steps of the clock and too little room.
    struct Traffic {
        random: Random,
        now: i64,
    }

    impl Traffic {
        fn step(&mut self) -> (i64, Vec<u64>) {
            let random = &mut self.random;
            self.now += match random.below(20) {
                0 => random.below(2_000) as i64,
                1 => -(random.below(2_000) as i64),
                _ => random.below(40) as i64,
            };
            (self.now, (0..random.below(8)).map(|_| random.below(200)).collect())
        }
    }

    fn play(seen: &mut Seen, (seconds, numbers): &(i64, Vec<u64>)) -> (Vec<Meeting>, u64) {
        seen.begin(seconds * SECOND_NS);
        (numbers.iter().map(|number| seen.meet(print(*number))).collect(), seen.take_forgotten())
    }

    #[test]
    fn what_is_restored_from_chunks_goes_on_as_what_was_never_interrupted() {
        let mut random = Random(5);
        let mut forgotten = 0;
        for _ in 0..300 {
            let room = 2 + random.below(150) as usize;
            let mut traffic = Traffic { random: Random(random.below(u64::MAX)), now: 0 };
            let (mut whole, mut broken) = (seen(room), seen(room));
            let mut chunks: Vec<Chunk> = Vec::new();
            for _ in 0..120 {
                let step = traffic.step();
                let played = play(&mut whole, &step);
                forgotten += played.1;
                assert_eq!(play(&mut broken, &step), played);
                if random.below(4) == 0 {
                    let chunk = broken.export();
                    chunks.retain(|earlier| earlier.generation >= chunk.oldest);
                    chunks.push(chunk);
                    // Not every export is followed by a restart: what is noted after an import must be right too.
                    if random.below(2) == 0 {
                        broken = seen(room);
                        let data: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.data.as_slice()).collect();
                        assert_eq!(broken.import(&data), Ok(0));
                    }
                }
            }
            assert!(chunks.len() < 40);
        }
        assert!(forgotten > 1_000, "{forgotten} forgotten for lack of room");
    }

    /// A memory of some spans, exported in three chunks.
    fn exported() -> (Seen, Vec<Vec<u8>>) {
        let mut seen = seen(100);
        let mut chunks = Vec::new();
        for number in 0..90 {
            assert_eq!(meet_at(&mut seen, number as i64, number), Meeting::New);
            if number % 30 == 29 {
                chunks.push(seen.export().data);
            }
        }
        (seen, chunks)
    }

    #[test]
    fn an_export_holds_only_what_is_new() {
        let (mut seen, chunks) = exported();
        assert!(chunks.iter().all(|chunk| chunk.len() < 30 * ENTRY_BYTES + 150));
        assert!(seen.export().data.len() < 150);
    }

    #[test]
    fn a_chunk_that_is_gone_is_missed_and_the_others_are_of_use() {
        let (_, chunks) = exported();
        let mut restored = seen(100);
        assert_eq!(restored.import(&[&chunks[0], &chunks[2]]), Ok(30));
        assert_eq!(meet_at(&mut restored, 100, 10), Meeting::Again);
        assert_eq!(meet_at(&mut restored, 100, 40), Meeting::New);
        assert_eq!(meet_at(&mut restored, 100, 70), Meeting::Again);
    }

    #[test]
    fn no_chunks_make_an_empty_memory() {
        let (mut seen, _) = exported();
        assert_eq!(seen.import(&[]), Ok(0));
        assert_eq!(remembered(&seen), 0);
    }

    #[test]
    fn chunks_out_of_order_are_refused() {
        let (_, chunks) = exported();
        let error = seen(100).import(&[&chunks[2], &chunks[0]]).unwrap_err();
        assert!(error.contains("order"), "{error}");
    }

    #[test]
    fn damage_is_noticed_and_changes_nothing() {
        let (mut seen, chunks) = exported();
        let chunk = &chunks[1];
        let mut damaged: Vec<Vec<u8>> = (0..chunk.len()).map(|end| chunk[..end].to_vec()).collect();
        damaged.extend((0..chunk.len()).map(|at| {
            let mut copy = chunk.clone();
            copy[at] ^= 1 << (at % 8);
            copy
        }));
        damaged.push([chunk.as_slice(), b"more"].concat());
        for bytes in damaged {
            assert!(seen.import(&[&chunks[0], &bytes]).is_err());
        }
        assert_eq!(remembered(&seen), 90);
    }

    #[test]
    fn a_forged_chunk_never_panics() {
        let (_, chunks) = exported();
        let mut random = Random(9);
        let mut taken = 0;
        for _ in 0..5_000 {
            let mut forged = chunks[1].clone();
            forged.truncate(forged.len() - 8);
            for _ in 0..=random.below(4) {
                // The header's words, and those of the sections, matter more than the entries.
                let at = 8 * random.below(16) as usize;
                let wild = [0, 1, u64::MAX, i64::MAX as u64, 1 << 59, random.0][random.below(6) as usize];
                forged[at..at + 8].copy_from_slice(&wild.to_le_bytes());
            }
            forged.extend(checksum(&forged).to_le_bytes());
            let mut restored = seen(100);
            if restored.import(&[&forged]).is_ok() {
                taken += 1;
                for second in [0, 100, i64::MAX / SECOND_NS, 100] {
                    for number in 0..5 {
                        meet_at(&mut restored, second, number);
                    }
                    assert!(Image::read(&restored.export().data).is_some() || restored.clock.now >= 1 << 60);
                }
            }
        }
        assert!(taken > 100, "{taken} forgeries were taken");
    }
}
