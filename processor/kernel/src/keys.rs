//! Attribute keys of one call: each distinct key gets a number, and one lookup gives all the plan wants of it.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::plan::{Key, Plan, Use};
use crate::text::{is_utf8, same};

/// Number of a key within one call.
pub type KeyId = u32;

#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: &'a [u8],
    planned: Option<&'a Key>,
    /// Code in the dictionary the map columns share; none until a map first holds the key.
    code: Option<i32>,
    /// The owner (span, event, ...) that last had this key, and where its attribute stands.
    owner: u32,
    place: u32,
}

/// The keys met so far, those of the plan first.
#[derive(Debug)]
pub struct KeyTable<'a> {
    hasher: RandomState,
    table: HashTable<KeyId>,
    entries: Vec<Entry<'a>>,
    /// Keys that got a code, in code order.
    coded: Vec<&'a [u8]>,
    owner: u32,
}

impl<'a> KeyTable<'a> {
    /// A table that knows the plan's keys.
    pub fn new(plan: &'a Plan) -> Self {
        let mut table = Self {
            hasher: RandomState::default(),
            table: HashTable::with_capacity(plan.keys.len() * 2 + 64),
            entries: Vec::with_capacity(plan.keys.len() * 2 + 64),
            coded: Vec::new(),
            owner: 0,
        };
        for key in &plan.keys {
            let id = table.insert(&key.name, table.hasher.hash_one(&key.name[..]));
            if let Some(entry) = table.entries.get_mut(id as usize) {
                entry.planned = Some(key);
            }
        }
        table
    }

    fn insert(&mut self, name: &'a [u8], hash: u64) -> KeyId {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { name, planned: None, code: None, owner: 0, place: 0 });
        let Self { hasher, table, entries, .. } = self;
        table.insert_unique(hash, id, |id| {
            hasher.hash_one(entries.get(*id as usize).map(|entry| entry.name).unwrap_or_default())
        });
        id
    }

    /// The key's number; `None` when it is not UTF-8.
    #[inline]
    pub fn id(&mut self, name: &'a [u8]) -> Option<KeyId> {
        let hash = self.hasher.hash_one(name);
        let entries = &self.entries;
        let found =
            self.table.find(hash, |id| entries.get(*id as usize).is_some_and(|entry| same(entry.name, name)));
        if let Some(id) = found {
            return Some(*id);
        }
        is_utf8(name).then(|| self.insert(name, hash))
    }

    /// Starts a new owner of attributes, whose keys are its own.
    #[inline]
    pub fn begin(&mut self) {
        self.owner += 1;
    }

    /// Where the current owner has `id` already; if nowhere, notes that it has it at `place` from now on.
    #[inline]
    pub fn claim(&mut self, id: KeyId, place: u32) -> Option<u32> {
        let owner = self.owner;
        let entry = self.entries.get_mut(id as usize)?;
        if entry.owner == owner {
            return Some(entry.place);
        }
        entry.owner = owner;
        entry.place = place;
        None
    }

    /// What the plan wants of a span attribute with this key, and whether it holds content.
    #[inline]
    pub fn span_uses(&self, id: KeyId) -> (&'a [Use], bool) {
        match self.entries.get(id as usize).and_then(|entry| entry.planned) {
            Some(key) => (&key.span, key.is_content),
            None => (&[], false),
        }
    }

    /// What the plan wants of a resource attribute with this key.
    pub fn resource_uses(&self, id: KeyId) -> &'a [Use] {
        self.entries.get(id as usize).and_then(|entry| entry.planned).map_or(&[], |key| &key.resource)
    }

    /// The key's bytes.
    pub fn name(&self, id: KeyId) -> &'a [u8] {
        self.entries.get(id as usize).map(|entry| entry.name).unwrap_or_default()
    }

    /// The key's code in the dictionary of map keys.
    #[inline]
    pub fn code(&mut self, id: KeyId) -> i32 {
        let Some(entry) = self.entries.get_mut(id as usize) else {
            return 0;
        };
        if let Some(code) = entry.code {
            return code;
        }
        let code = i32::try_from(self.coded.len()).unwrap_or(i32::MAX);
        self.coded.push(entry.name);
        entry.code = Some(code);
        code
    }

    /// The dictionary of map keys, in code order.
    pub fn dictionary(&self) -> &[&'a [u8]] {
        &self.coded
    }
}
