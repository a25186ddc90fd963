//! Contents (messages, system instructions, tool arguments): hashed, remembered, and given out once.

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::message::{self, Tapes};
use crate::sip::{Hash, Key, hash128, hash128_both};

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

    /// Puts `known` in unless something is there that need not be renewed; tells whether it did.
    fn renew(&mut self, id: Id, known: Known, is_due: impl Fn(Known) -> bool) -> bool {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        match self.young.entry(id) {
            Entry::Occupied(mut there) => {
                let due = is_due(*there.get());
                if due {
                    there.insert(known);
                }
                due
            }
            Entry::Vacant(place) => {
                let there = self.old.get(place.key()).copied().filter(|there| !is_due(*there));
                place.insert(there.unwrap_or(known));
                there.is_none()
            }
        }
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
    /// Canonical forms one after the other, and for each which content it is of and where it ends.
    forms: Vec<u8>,
    form_ends: Vec<(usize, usize)>,
    form_hashes: Vec<Hash>,
    pub tapes: Tapes,
}

/// Hashes the `pieces` of `text` into `work.names` and gives those to `emit` that were not given out lately.
///
/// Only a content that is not remembered is parsed, for its canonical form.
pub fn take<'t>(
    memory: &mut Memory,
    owner: &Owner,
    text: &'t [u8],
    pieces: &[Range<usize>],
    message: bool,
    work: &mut Work,
    mut emit: impl FnMut(Found<'t>),
) {
    let piece =
        |index: usize| pieces.get(index).and_then(|range| text.get(range.clone())).unwrap_or_default();
    let Work { names, forms, form_ends, form_hashes, tapes } = work;
    names.clear();
    hash_all(&owner.key, pieces.len(), piece, |raw| names.push(Names { raw, canonical: raw }));

    forms.clear();
    form_ends.clear();
    for (index, names) in names.iter_mut().enumerate() {
        match memory.get(&(owner.tenant, names.raw)) {
            Some(known) if known.message == message && owner.is_fresh(known) => {
                names.canonical = known.canonical
            }
            _ => {
                message::canonical(piece(index), message, tapes, forms);
                form_ends.push((index, forms.len()));
            }
        }
    }
    let form = |place: usize| {
        let start = place.checked_sub(1).and_then(|before| form_ends.get(before)).map_or(0, |(_, end)| *end);
        form_ends.get(place).and_then(|(_, end)| forms.get(start..*end)).unwrap_or_default()
    };
    form_hashes.clear();
    hash_all(&owner.key, form_ends.len(), form, |hash| form_hashes.push(hash));

    for ((index, _), canonical) in form_ends.iter().zip(form_hashes) {
        let Some(names) = names.get_mut(*index) else { continue };
        names.canonical = *canonical;
        let id = (owner.tenant, names.raw);
        let known = Known { canonical: *canonical, message, emitted_ns: owner.now_ns };
        // Asked again: the same bytes may stand in these pieces twice, or be known in the other form.
        if memory.renew(id, known, |known| !owner.is_fresh(known)) {
            emit(Found { names: *names, text: piece(*index) });
        }
    }
}

fn hash_all<'t>(key: &Key, count: usize, text: impl Fn(usize) -> &'t [u8], mut done: impl FnMut(Hash)) {
    for index in (0..count.saturating_sub(1)).step_by(2) {
        let (one, other) = hash128_both(key, text(index), text(index + 1));
        done(one);
        done(other);
    }
    if count % 2 == 1 {
        done(hash128(key, text(count - 1)));
    }
}
