//! Attribute keys of one call: each distinct key gets a number, and one lookup gives all the plan wants of it.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::extract::plain_text;
use crate::facts::{Sets, Texts};
use crate::gather::numbered;
use crate::otlp::Value;
use crate::paths::{Path, Paths};
use crate::plan::{Key, Plan, Use};
use crate::text::{LATELY, is_utf8, same, slot};

/// Number of a key within one call.
pub type KeyId = u32;

/// What an attribute's presence or value tells before its span's dialect is known.
#[derive(Debug)]
pub struct Mark<'a> {
    /// Number of the set of facts that hold where the value is not empty.
    pub set: u32,
    pub values: Option<Box<Asked<'a>>>,
    pub probe: Option<u8>,
}

/// What is asked about a key's value, and values that came lately, with their sets.
#[derive(Debug)]
pub struct Asked<'a> {
    texts: &'a Texts,
    lately: [(&'a [u8], u32); LATELY],
}

/// A key that is of a numbered message.
#[derive(Debug, Clone, Copy)]
pub struct Numbered<'a> {
    pub key: &'a Key,
    pub index: u32,
    /// What comes after the number.
    pub path: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: &'a [u8],
    planned: Option<&'a Key>,
    /// Whether spans that have it look like ones that a dialect should know.
    looks: bool,
    /// Place of its mark, one more than that; 0 for none.
    mark: u32,
    /// Place in `numbered`, one more than that; 0 for none.
    numbered: u32,
    /// Code in the dictionary the map columns share; none until a map first holds the key.
    code: Option<i32>,
    /// The owner (span, event, ...) that last had this key, and where its attribute stands.
    owner: u32,
    place: u32,
}

/// The keys met so far.
#[derive(Debug)]
pub struct KeyTable<'a> {
    plan: &'a Plan,
    hasher: RandomState,
    table: HashTable<KeyId>,
    entries: Vec<Entry<'a>>,
    paths: Paths<'a>,
    marks: Vec<Mark<'a>>,
    numbered: Vec<Numbered<'a>>,
    /// Sets of facts met so far.
    pub sets: Sets,
    /// Keys that got a code, in code order.
    coded: Vec<&'a [u8]>,
    owner: u32,
}

impl<'a> KeyTable<'a> {
    /// A table for bodies read by `plan`.
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            hasher: RandomState::default(),
            table: HashTable::with_capacity(128),
            entries: Vec::with_capacity(128),
            paths: Paths::default(),
            marks: Vec::new(),
            numbered: Vec::new(),
            sets: Sets::default(),
            coded: Vec::new(),
            owner: 0,
        }
    }

    #[cold]
    fn insert(&mut self, name: &'a [u8], hash: u64) -> KeyId {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let planned = self.plan.key(name);
        let mark = self.mark(name, planned);
        let looks = self.plan.looks_like(name);
        let numbered = self.number(name);
        self.entries.push(Entry { name, planned, looks, mark, numbered, code: None, owner: 0, place: 0 });
        let Self { hasher, table, entries, .. } = self;
        table.insert_unique(hash, id, |id| {
            hasher.hash_one(entries.get(*id as usize).map(|entry| entry.name).unwrap_or_default())
        });
        id
    }

    fn number(&mut self, name: &'a [u8]) -> u32 {
        let mut prefixes = self.plan.numbered.iter();
        let found = prefixes.find_map(|(prefix, key)| Some((key, numbered(name, prefix)?)));
        let Some((key, (index, path))) = found else { return 0 };
        self.numbered.push(Numbered { key, index, path });
        u32::try_from(self.numbered.len()).unwrap_or_default()
    }

    fn mark(&mut self, name: &[u8], planned: Option<&'a Key>) -> u32 {
        let facts = self.plan.key_facts(name);
        let probe = planned.and_then(|key| key.probe);
        let values = planned.and_then(|key| key.values.as_ref());
        if facts.is_empty() && probe.is_none() && values.is_none() {
            return 0;
        }
        let values = values.map(|texts| Box::new(Asked { texts, lately: [(&[], 0); LATELY] }));
        self.marks.push(Mark { set: self.sets.number(&facts), values, probe });
        u32::try_from(self.marks.len()).unwrap_or_default()
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

    /// The key's number, if it was met before.
    pub fn known(&self, name: &[u8]) -> Option<KeyId> {
        let entries = &self.entries;
        let is_it = |id: &KeyId| entries.get(*id as usize).is_some_and(|entry| same(entry.name, name));
        self.table.find(self.hasher.hash_one(name), is_it).copied()
    }

    /// See [`Paths::follow`].
    #[inline]
    pub fn follow(&self, path: Path, name: &[u8], is_empty: bool) -> Option<(Path, KeyId)> {
        self.paths.follow(path, name, is_empty)
    }

    /// See [`Paths::extend`].
    pub fn extend(&mut self, path: Path, id: KeyId, is_empty: bool) -> Path {
        self.paths.extend(path, self.name(id), id, is_empty)
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

    /// What a span's attribute with this key tells of its dialect and operation, if anything.
    #[inline]
    pub fn marked(&self, id: KeyId) -> Option<&Mark<'a>> {
        let mark = self.entries.get(id as usize)?.mark;
        self.marks.get((mark as usize).wrapping_sub(1))
    }

    /// The message the key is of, where that is numbered.
    #[inline]
    pub fn numbered(&self, id: KeyId) -> Option<&Numbered<'a>> {
        let place = self.entries.get(id as usize)?.numbered;
        self.numbered.get((place as usize).wrapping_sub(1))
    }

    /// Whether a span with this attribute looks like one that a dialect should know.
    #[inline]
    pub fn looks(&self, id: KeyId) -> bool {
        self.entries.get(id as usize).is_some_and(|entry| entry.looks)
    }

    /// Number of the set of facts that a value of this key brings, which is not empty. Most are the same again and again.
    #[inline]
    pub fn value_set(&mut self, id: KeyId, value: Value<'a>, room: &mut Vec<u8>) -> u32 {
        let Some(entry) = self.entries.get(id as usize) else { return 0 };
        let Some(mark) = self.marks.get_mut((entry.mark as usize).wrapping_sub(1)) else { return 0 };
        let Some(Asked { texts, lately }) = mark.values.as_deref_mut() else { return 0 };
        if let Value::Str(text) = value
            && let Some((known, set)) = lately.get(slot(text))
            && same(known, text)
        {
            return *set;
        }
        let set = self.sets.number(&texts.facts(plain_text(value, room)));
        if let Value::Str(text) = value
            && let Some(place) = lately.get_mut(slot(text))
        {
            *place = (text, set);
        }
        set
    }

    /// The uses a dialect has for a span attribute with this key.
    #[inline]
    pub fn uses(&self, id: KeyId, dialect: u16) -> &'a [Use] {
        match self.entries.get(id as usize).and_then(|entry| entry.planned) {
            Some(key) => key.uses(dialect),
            None => &[],
        }
    }

    /// What the plan knows of the key.
    pub fn planned(&self, id: KeyId) -> Option<&'a Key> {
        self.entries.get(id as usize).and_then(|entry| entry.planned)
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
