//! Contents (messages, system instructions, tool arguments): hashed, remembered, and given out once.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::hash::{Hash, Key, Keyed};
use crate::json::Tapes;
use crate::message::{self, Facts, Piece, Reading};

/// Contents remembered per generation; twice as many at most are held.
const GENERATION: usize = 500_000;

/// A content's identity: the tenant (numbered by the memory) and the hash under the tenant's key.
type Id = (u32, Hash);

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

/// What was given out lately. Bounded: when a generation is full the one before it is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    tenants: HashMap<Key, u32, RandomState>,
    young: HashMap<Id, Known, RandomState>,
    old: HashMap<Id, Known, RandomState>,
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
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
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
    /// Whether what is known was given out so lately that it need not be again.
    fn is_fresh(&self, known: Known) -> bool {
        self.now_ns.saturating_sub(known.emitted_ns) < self.refresh_ns
    }
}

/// Reused buffers of [`take`].
#[derive(Debug, Default)]
pub struct Work {
    /// The names of the contents taken last, in order.
    pub names: Vec<Names>,
    /// The canonical form at hand.
    form: Vec<u8>,
    pub tapes: Tapes,
}

/// Hashes the `pieces` of `text` into `work.names` and gives those to `emit` that were not given out lately.
///
/// Only a content that is not remembered (in this reading) is parsed, for its canonical form.
pub fn take<'t>(
    memory: &mut Memory,
    owner: &Owner,
    text: &'t [u8],
    pieces: &[Piece],
    work: &mut Work,
    mut emit: impl FnMut(Found<'t>),
) {
    let Work { names, form, tapes } = work;
    names.clear();
    for Piece { range, reading } in pieces {
        let text = text.get(range.clone()).unwrap_or_default();
        let raw = owner.keyed.hash128(text);
        let id = (owner.tenant, raw);
        let known = memory.get(&id).filter(|known| owner.is_fresh(*known));
        let (canonical, facts) = match known {
            Some(known) if known.is_of(*reading) => (known.canonical, known.facts),
            _ => {
                form.clear();
                let facts = message::canonical(text, *reading, tapes, form);
                (owner.keyed.hash128(form), facts)
            }
        };
        let named = Names { raw, canonical, facts };
        names.push(named);
        if known.is_none() {
            memory.put(id, Known { canonical, facts, reading: *reading, emitted_ns: owner.now_ns });
            emit(Found { names: named, text });
        }
    }
}
