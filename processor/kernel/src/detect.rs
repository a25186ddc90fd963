//! Which dialect a span speaks, and what operation it is.

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::extract::{Extractor, plain_text};
use crate::facts::{Facts, Remembered};
use crate::keys::KeyTable;
use crate::otlp::{Attr, Value};
use crate::plan::{Dialect, OpOrigin, OpSource, Plan};

/// Most combinations of facts whose dialect is remembered; real traffic has some dozens.
const MAX_REMEMBERED: usize = 4096;

/// Bounds of a signature.
const MAX_SIGNATURE_KEYS: usize = 20;
const MAX_SIGNATURE_BYTES: usize = 500;

/// What a span is, as far as its facts tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Number of the plan's dialect; 0 is none.
    pub dialect: u16,
    /// The dialect says that it is no span of its own.
    pub ignored: bool,
}

/// Tells dialects and operations apart; remembers what it found for the rest of the call.
#[derive(Debug)]
pub struct Detector<'a> {
    plan: &'a Plan,
    pub names: Remembered,
    pub scopes: Remembered,
    pub events: Remembered,
    last: (Facts, Found),
    found: HashMap<Facts, Found, RandomState>,
    /// Values that name operations, each with the number of the span it is of.
    probes: Vec<(u32, Value<'a>)>,
    span: u32,
    text: Vec<u8>,
}

impl<'a> Detector<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let mut detector = Self {
            plan,
            names: Remembered::default(),
            scopes: Remembered::default(),
            events: Remembered::default(),
            last: Default::default(),
            found: HashMap::default(),
            probes: vec![(0, Value::Empty); plan.probes],
            span: 0,
            text: Vec::new(),
        };
        detector.last.1 = detector.look_up(&Facts::default());
        detector
    }

    /// The facts that the attributes of a span tell. What names its operation is kept for [`Self::op`].
    #[inline]
    pub fn attributes(&mut self, attrs: &[Attr<'a>], keys: &KeyTable<'a>) -> Facts {
        self.span += 1;
        let mut facts = Facts::default();
        for attr in attrs {
            let Some(mark) = keys.marked(attr.key) else { continue };
            // An empty value is no value.
            if matches!(attr.value, Value::Empty | Value::Str(b"")) {
                continue;
            }
            facts.add(&mark.facts);
            if let Some(place) = mark.probe.and_then(|probe| self.probes.get_mut(usize::from(probe))) {
                *place = (self.span, attr.value);
            }
            if let Some(values) = mark.values {
                facts.add(&values.facts(plain_text(attr.value, &mut self.text)));
            }
        }
        facts
    }

    /// The facts that the attributes of a resource tell.
    pub fn resource(&mut self, attrs: &[Attr<'a>], keys: &KeyTable<'a>) -> Facts {
        let mut facts = Facts::default();
        for attr in attrs {
            if matches!(attr.value, Value::Empty | Value::Str(b"")) {
                continue;
            }
            facts.add(&self.plan.tests.resource_keys.facts(keys.name(attr.key)));
            if let Some(values) = keys.planned(attr.key).and_then(|key| key.resource_values.as_ref()) {
                facts.add(&values.facts(plain_text(attr.value, &mut self.text)));
            }
        }
        facts
    }

    /// The first dialect whose tests hold.
    #[inline]
    pub fn find(&mut self, facts: &Facts) -> Found {
        if self.last.0 != *facts {
            let found = self.found.get(facts).copied();
            self.last = (*facts, found.unwrap_or_else(|| self.look_up(facts)));
        }
        self.last.1
    }

    fn look_up(&mut self, facts: &Facts) -> Found {
        let mut dialects = self.plan.dialects.iter().enumerate();
        let found = dialects.find(|(_, dialect)| dialect.detect.holds(facts));
        let found = found.map_or(Found::default(), |(number, dialect)| Found {
            dialect: u16::try_from(number).unwrap_or_default(),
            ignored: dialect.ignore.holds(facts),
        });
        if self.found.len() >= MAX_REMEMBERED {
            self.found.clear();
        }
        self.found.insert(*facts, found);
        found
    }

    /// Number of the operation of the span whose attributes came last, which is of `dialect`.
    pub fn op(
        &mut self,
        dialect: &Dialect,
        facts: &Facts,
        name: &'a [u8],
        scope: &'a [u8],
        extractor: &mut Extractor,
    ) -> u8 {
        for source in &dialect.op {
            if !(source.when.is_empty() || source.when.holds(facts)) {
                continue;
            }
            if let Some(op) = self.op_by(source, name, scope, extractor) {
                return op;
            }
        }
        dialect.op_otherwise
    }

    fn op_by(
        &mut self,
        source: &OpSource,
        name: &'a [u8],
        scope: &'a [u8],
        extractor: &mut Extractor,
    ) -> Option<u8> {
        let value = match source.origin {
            OpOrigin::Probe(probe) => {
                let (span, value) = self.probes.get(usize::from(probe))?;
                (*span == self.span).then_some(*value)?
            }
            OpOrigin::Name => Value::Str(name),
            OpOrigin::Scope => Value::Str(scope),
            OpOrigin::Nowhere => Value::Empty,
        };
        match &source.path {
            Some(path) => {
                extractor.at(value, path, |value| source.choices.find(plain_text(value, &mut self.text)))?
            }
            None => source.choices.find(plain_text(value, &mut self.text)),
        }
    }
}

/// Appends what tells spans like this one from others: the scope's name, and the keys that made it look like one that a
/// dialect should know, numbers in them written as N. The same whatever the order of attributes.
pub fn signature<'a>(scope: &[u8], attrs: &[Attr<'a>], keys: &KeyTable<'a>, plan: &Plan, out: &mut Vec<u8>) {
    let mut chosen: BTreeSet<Vec<u8>> = BTreeSet::new();
    for attr in attrs {
        let looks = keys.marked(attr.key).is_some_and(|mark| mark.facts.meets(&plan.looks_like));
        if !looks {
            continue;
        }
        let mut folded = Vec::new();
        for byte in keys.name(attr.key).iter().take(MAX_SIGNATURE_BYTES) {
            match byte {
                b'0'..=b'9' if folded.last() == Some(&b'N') => {}
                b'0'..=b'9' => folded.push(b'N'),
                byte => folded.push(*byte),
            }
        }
        if chosen.len() < MAX_SIGNATURE_KEYS || chosen.last().is_some_and(|last| folded < *last) {
            chosen.insert(folded);
            if chosen.len() > MAX_SIGNATURE_KEYS {
                chosen.pop_last();
            }
        }
    }
    let start = out.len();
    out.extend_from_slice(scope);
    out.push(b':');
    for key in &chosen {
        out.push(b' ');
        out.extend_from_slice(key);
    }
    if out.len() - start > MAX_SIGNATURE_BYTES {
        let mut end = start + MAX_SIGNATURE_BYTES;
        // Not in the middle of a character.
        while end > start && out.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        out.truncate(end);
    }
}
