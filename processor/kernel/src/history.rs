//! Lists of messages as they came last.
//!
//! An agent sends the messages of a conversation again with every call, and some more. Those that came before are known
//! by one hash of all their text, so that only what is new is cut, hashed and looked up for itself.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::content::{Names, Owner};
use crate::hash::{Hash, Running};
use crate::shapes::Role;

/// Lists of fewer bytes are none that is remembered, and so are those of fewer messages: what is sent once is not slowed
/// down, and a short list is as soon taken message by message.
const LEAST_BYTES: usize = 2048;
const LEAST_MESSAGES: usize = 6;

/// Most messages of a list that is remembered.
const MAX_MESSAGES: usize = 4096;

/// So much of a list's beginning tells the agents of a trace apart, which have instructions of their own.
const BEGINNING: usize = 256;

/// Messages remembered per generation, 40 bytes each; twice as many at most are held. A list counts as some more.
const GENERATION: usize = 250_000;
const LIST: usize = 8;

/// Which conversation a list may be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strand {
    tenant: u32,
    trace: u128,
    /// The plan's content, and who speaks where that is not said: what the names of messages depend on.
    content: usize,
    pub role: Role,
    beginning: u64,
}

impl Strand {
    /// None for a text that is no list of messages that say who speaks first, of which each is one piece.
    pub fn of(owner: &Owner, trace: [u8; 16], content: usize, role: Role, text: &[u8]) -> Option<Self> {
        let is_list = text.starts_with(b"[{\"role\"") && text.len() >= LEAST_BYTES;
        let beginning = text.get(..BEGINNING).filter(|_| is_list)?;
        let (trace, beginning) = (u128::from_ne_bytes(trace), owner.keyed.hash64(beginning));
        Some(Self { tenant: owner.tenant, trace, content, role, beginning })
    }
}

/// The messages a list begins with, and the hash of all up to where the last of them ends.
#[derive(Debug)]
pub struct Told<H = Running> {
    pub names: Vec<Names>,
    pub end: usize,
    hash: H,
    /// When the first of them was given out.
    emitted_ns: i64,
}

impl Told {
    pub fn nothing(owner: &Owner) -> Self {
        Self { names: Vec::new(), end: 0, hash: owner.keyed.running(), emitted_ns: i64::MAX }
    }

    /// Adds what `text` goes on with. `names` are those of all messages, of which the last ends at `end`.
    pub fn add(&mut self, text: &[u8], end: usize, names: &[Names], emitted_ns: i64) {
        self.names.extend(names.iter().skip(self.names.len()));
        self.hash.append(text.get(self.end..end).unwrap_or_default());
        self.end = end;
        self.emitted_ns = self.emitted_ns.min(emitted_ns);
    }
}

/// Whether a list of so many messages is remembered.
pub fn is_remembered(messages: usize) -> bool {
    (LEAST_MESSAGES..=MAX_MESSAGES).contains(&messages)
}

/// Bounded: when a generation is full the one before it is dropped.
#[derive(Debug, Default)]
pub struct Histories {
    young: HashMap<Strand, Told<Hash>, RandomState>,
    old: HashMap<Strand, Told<Hash>, RandomState>,
    /// Messages of the young ones.
    held: usize,
}

impl Histories {
    /// Takes out what came last, if `text` begins with that.
    pub fn take(&mut self, strand: &Strand, text: &[u8], owner: &Owner) -> Option<Told> {
        let young = self.young.remove(strand);
        self.held -= young.as_ref().map_or(0, size);
        let Told { names, end, hash, emitted_ns } = young.or_else(|| self.old.remove(strand))?;
        let mut running = owner.keyed.running();
        running.append(text.get(..end)?);
        let is_so = owner.is_fresh(emitted_ns) && running.hash() == hash;
        is_so.then_some(Told { names, end, hash: running, emitted_ns })
    }

    pub fn keep(&mut self, strand: Strand, told: Told) {
        let Told { names, end, hash, emitted_ns } = told;
        let told = Told { names, end, hash: hash.hash(), emitted_ns };
        if self.held + size(&told) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.held = 0;
        }
        self.held += size(&told);
        let before = self.young.insert(strand, told);
        self.held -= before.as_ref().map_or(0, size);
    }
}

fn size(told: &Told<Hash>) -> usize {
    LIST + told.names.len()
}
