//! Contents (messages, system instructions, tool arguments): hashed, remembered, and given out once.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::hash::{Hash, Key, Keyed, halves};
use crate::history::Histories;
use crate::json::Tapes;
use crate::message::{self, Called, Facts, Piece, Reading};

/// Contents remembered per generation, 64 bytes each; twice as many at most are held. As many as fill half a million
/// places of a hash map.
const GENERATION: usize = (1 << 19) / 8 * 7;

/// With so many there will be more: room for a generation is made.
const MANY: usize = (1 << 15) / 8 * 7;

/// A content's identity: the tenant (numbered by the memory) and the hash under the tenant's key, in two halves.
type Id = (u32, u64, u64);

#[derive(Debug, Clone, Copy)]
struct Known {
    canonical: Hash,
    facts: Facts,
    /// The reading `canonical` and `facts` are of.
    reading: Reading,
    emitted_ns: i64,
}

impl Known {
    /// Whether what is known holds for this reading: a message that says who speaks is the same whoever else might have.
    fn is_of(&self, reading: Reading) -> bool {
        self.reading == reading
            || self.facts.said
                && matches!((self.reading, reading), (Reading::Message(_), Reading::Message(_)))
    }
}

/// One tool call of a message: name and id where it has them, and the hash of its arguments' canonical form; zeros where
/// it has none.
#[derive(Debug)]
pub struct Call {
    pub name: Option<Box<[u8]>>,
    pub id: Option<Box<[u8]>>,
    pub arguments: Hash,
}

/// Most bytes of calls remembered.
const CALLS_BYTES: usize = 32 << 20;

/// The calls of messages that came lately. When it is full it starts anew.
#[derive(Debug, Default)]
struct Calls {
    known: HashMap<(Id, Reading), Arc<[Call]>, RandomState>,
    bytes: usize,
}

impl Calls {
    fn get(&self, id: Id, reading: Reading) -> Option<Arc<[Call]>> {
        self.known.get(&(id, reading)).cloned()
    }

    fn put(&mut self, id: Id, reading: Reading, calls: Arc<[Call]>) {
        const ENTRY_BYTES: usize = 128;
        let size = |text: &Option<Box<[u8]>>| text.as_deref().map_or(0, <[u8]>::len);
        let bytes = calls.iter().map(|call| size_of::<Call>() + size(&call.name) + size(&call.id));
        let bytes = ENTRY_BYTES + bytes.sum::<usize>();
        if self.bytes + bytes > CALLS_BYTES {
            *self = Self::default();
        }
        if bytes <= CALLS_BYTES {
            self.bytes += bytes;
            self.known.insert((id, reading), calls);
        }
    }
}

/// What was given out lately. Bounded: when a generation is full the one before it is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    tenants: HashMap<Key, u32, RandomState>,
    young: HashMap<Id, Known, RandomState>,
    old: HashMap<Id, Known, RandomState>,
    calls: Calls,
    pub histories: Histories,
}

impl Memory {
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The tenant's number.
    pub fn tenant(&mut self, key: &Key) -> u32 {
        let next = u32::try_from(self.tenants.len()).unwrap_or(u32::MAX);
        *self.tenants.entry(*key).or_insert(next)
    }

    fn get(&mut self, id: &Id) -> Option<Known> {
        if let Some(known) = self.young.get(id) {
            return Some(*known);
        }
        let known = self.old.remove(id)?;
        self.put(*id, known);
        Some(known)
    }

    fn put(&mut self, id: Id, known: Known) {
        match self.young.len() {
            GENERATION.. => {
                std::mem::swap(&mut self.young, &mut self.old);
                self.young.clear();
            }
            // Moving them again and again as they become more takes longer than all else.
            MANY => self.young.reserve(GENERATION - MANY),
            _ => {}
        }
        self.young.insert(id, known);
    }
}

/// Both names of a content, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub raw: Hash,
    pub canonical: Hash,
    pub facts: Facts,
}

/// One content to be given out.
#[derive(Debug)]
pub struct Found<'t> {
    pub names: Names,
    pub text: &'t [u8],
}

/// Who a content belongs to and when it came.
#[derive(Debug)]
pub struct Owner {
    pub keyed: Keyed,
    pub tenant: u32,
    pub now_ns: i64,
    /// Contents given out this long ago or longer are given out again.
    pub refresh_ns: i64,
}

impl Owner {
    /// Whether what was given out then need not be again.
    pub fn is_fresh(&self, emitted_ns: i64) -> bool {
        self.now_ns.saturating_sub(emitted_ns) < self.refresh_ns
    }
}

/// Reused buffers of [`take`].
#[derive(Debug, Default)]
pub struct Work {
    /// The names of the contents taken last, in order.
    pub names: Vec<Names>,
    /// The calls of those that have some, where they are wanted.
    pub calls: Vec<Arc<[Call]>>,
    raw: Vec<Hash>,
    form: Form,
}

/// The canonical form at hand, and the calls in it.
#[derive(Debug, Default)]
struct Form {
    text: Vec<u8>,
    calls: Vec<Called>,
    tapes: Tapes,
}

impl Form {
    fn read(&mut self, text: &[u8], reading: Reading) -> Facts {
        self.text.clear();
        self.calls.clear();
        message::canonical(text, reading, &self.tapes, &mut self.text, &mut self.calls)
    }

    fn take_calls(&mut self, keyed: &Keyed) -> Arc<[Call]> {
        let Self { text, calls, .. } = self;
        let hash = |place| keyed.hash128(text.get(place).unwrap_or_default());
        let call = |Called { name, id, arguments }| Call {
            name,
            id,
            arguments: arguments.map(hash).unwrap_or_default(),
        };
        calls.drain(..).map(call).collect()
    }
}

impl Work {
    /// Starts a text; `names` are those of its first contents, if they are known.
    pub fn begin(&mut self, names: &[Names]) {
        self.names.clear();
        self.names.extend_from_slice(names);
        self.calls.clear();
    }
}

/// Hashes the `pieces` of `text` to the end of `work.names`, gives those to `emit` that were not given out lately, and
/// returns when the first of them was.
///
/// Only a content that is not remembered (in this reading) is parsed, for its canonical form. Where `are_calls_wanted`,
/// the calls go into `work.calls`.
pub fn take<'t>(
    memory: &mut Memory,
    owner: &Owner,
    text: &'t [u8],
    pieces: &[Piece],
    work: &mut Work,
    are_calls_wanted: bool,
    mut emit: impl FnMut(Found<'t>),
) -> i64 {
    let text_of = |piece: &Piece| text.get(piece.range.clone()).unwrap_or_default();
    let Work { names, calls, raw, form } = work;
    let mut first_ns = owner.now_ns;
    raw.clear();
    // All of them first: without hashing in between, the waits for what is remembered overlap.
    raw.extend(pieces.iter().map(|piece| owner.keyed.hash128(text_of(piece))));
    for (piece, raw) in pieces.iter().zip(raw.iter().copied()) {
        let (text, reading) = (text_of(piece), &piece.reading);
        let (low, high) = halves(raw);
        let id = (owner.tenant, low, high);
        let known = memory.get(&id).filter(|known| owner.is_fresh(known.emitted_ns));
        let read_so = known.filter(|known| known.is_of(*reading));
        let (canonical, facts) = match read_so {
            Some(known) => (known.canonical, known.facts),
            None => {
                let facts = form.read(text, *reading);
                (owner.keyed.hash128(&form.text), facts)
            }
        };
        if facts.calls && are_calls_wanted {
            calls.push(memory.calls.get(id, *reading).unwrap_or_else(|| {
                if read_so.is_some() {
                    form.read(text, *reading);
                }
                let found = form.take_calls(&owner.keyed);
                memory.calls.put(id, *reading, Arc::clone(&found));
                found
            }));
        }
        let named = Names { raw, canonical, facts };
        names.push(named);
        match known {
            Some(known) => first_ns = first_ns.min(known.emitted_ns),
            None => {
                memory.put(id, Known { canonical, facts, reading: *reading, emitted_ns: owner.now_ns });
                emit(Found { names: named, text });
            }
        }
    }
    first_ns
}
