//! Contents (messages, system instructions, tool arguments): hashed, remembered, and given out once.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::message;
use crate::sip::{Hash, Key, hash128};

/// Contents remembered per generation; twice as many at most are held.
const GENERATION: usize = 500_000;

/// A content's identity: the tenant (numbered by the memory) and the hash under the tenant's key.
type Id = (u32, Hash);

#[derive(Debug, Clone, Copy)]
struct Known {
    canonical: Hash,
    /// Whether `canonical` is of the message form.
    message: bool,
    emitted_ns: i64,
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

/// Both names of a content.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub raw: Hash,
    pub canonical: Hash,
}

/// One content to be given out.
#[derive(Debug)]
pub struct Found<'t> {
    pub names: Names,
    pub text: &'t [u8],
}

/// Who a content belongs to and when it came.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub key: Key,
    pub tenant: u32,
    pub now_ns: i64,
    /// Contents given out this long ago or longer are given out again.
    pub refresh_ns: i64,
}

/// Hashes `text` and gives it to `emit` unless it was given out lately.
pub fn take<'t>(
    memory: &mut Memory,
    owner: &Owner,
    text: &'t [u8],
    message: bool,
    scratch: &mut Vec<u8>,
    emit: impl FnOnce(Found<'t>),
) -> Names {
    let raw = hash128(&owner.key, text);
    let id = (owner.tenant, raw);
    let known = memory.get(&id);
    let canonical = match known {
        Some(known) if known.message == message => known.canonical,
        _ => canonical_hash(&owner.key, text, message, scratch),
    };
    let names = Names { raw, canonical };
    let fresh = known.is_some_and(|known| owner.now_ns.saturating_sub(known.emitted_ns) < owner.refresh_ns);
    if !fresh {
        memory.put(id, Known { canonical, message, emitted_ns: owner.now_ns });
        emit(Found { names, text });
    }
    names
}

/// Hash of the canonical form.
pub fn canonical_hash(key: &Key, text: &[u8], message: bool, scratch: &mut Vec<u8>) -> Hash {
    scratch.clear();
    message::canonical(text, message, scratch);
    hash128(key, scratch)
}
