//! Which dialect a span speaks, and what operation it is.

use std::collections::BTreeSet;

use crate::extract::{Extractor, plain_text};
use crate::facts::{Facts, Remembered, Unions};
use crate::keys::KeyTable;
use crate::otlp::{Attr, Value};
use crate::paths::{Path, UNKNOWN};
use crate::plan::{Dialect, OpOrigin, OpSource, Plan};

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

/// What the keys of a sequence tell, those without a value left out.
#[derive(Debug)]
struct Course {
    sets: Vec<u32>,
    /// Places of the attributes whose values tell something too.
    telling: Vec<u32>,
    /// The union to which the sets were added last, and what it became.
    last: Option<(u32, u32)>,
}

impl Course {
    fn new(attrs: &[Attr<'_>], keys: &KeyTable<'_>) -> Self {
        let mut course = Self { sets: Vec::new(), telling: Vec::new(), last: None };
        for (place, attr) in (0u32..).zip(attrs) {
            let Some(mark) = keys.marked(attr.key).filter(|_| !attr.value.is_empty()) else { continue };
            course.sets.push(mark.set);
            if mark.values.is_some() || mark.probe.is_some() {
                course.telling.push(place);
            }
        }
        course
    }
}

/// Tells dialects and operations apart; remembers what it found for the rest of the call.
#[derive(Debug)]
pub struct Detector<'a> {
    plan: &'a Plan,
    names: Remembered,
    scopes: Remembered,
    events: Remembered,
    unions: Unions<Found>,
    /// How often unions were numbered anew.
    generation: u32,
    /// By sequence of keys.
    courses: Vec<Option<Course>>,
    /// The facts of the span at hand, and those its scope's and resource's spans share.
    union: u32,
    shared: u32,
    shared_facts: Facts,
    /// Values that name operations, each with the number of the span it is of.
    probes: Vec<(u32, Value<'a>)>,
    span: u32,
    text: Vec<u8>,
}

impl<'a> Detector<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let mut unions = Unions::default();
        let none = unions.number(&Facts::default(), |facts| look_up(plan, facts));
        Self {
            plan,
            names: Remembered::default(),
            scopes: Remembered::default(),
            events: Remembered::default(),
            unions,
            generation: 0,
            courses: Vec::new(),
            union: none,
            shared: none,
            shared_facts: Facts::default(),
            probes: vec![(0, Value::Empty); plan.probes],
            span: 0,
            text: Vec::new(),
        }
    }

    /// The scope whose spans follow; `resource` are its resource's facts.
    pub fn enter(&mut self, resource: &Facts, code: i32, name: &[u8], keys: &mut KeyTable<'a>) {
        let plan = self.plan;
        let set = self.scopes.set(code, &mut keys.sets, || plan.tests.scopes.facts(name));
        self.shared = self.unions.number(resource, |facts| look_up(plan, facts));
        self.shared = self.unions.add(self.shared, set, &keys.sets, |facts| look_up(plan, facts));
        self.shared_facts = self.unions.get(self.shared).0;
    }

    /// Another span of the scope, by its name.
    #[inline]
    pub fn begin(&mut self, code: i32, name: &[u8], keys: &mut KeyTable<'a>) {
        let plan = self.plan;
        if self.unions.begin() {
            self.generation += 1;
            self.courses.clear();
            self.shared = self.unions.number(&self.shared_facts, |facts| look_up(plan, facts));
        }
        self.span += 1;
        self.union = self.shared;
        let set = self.names.set(code, &mut keys.sets, || plan.tests.names.facts(name));
        self.add(set, keys);
    }

    /// An event of the span, by its name.
    #[inline]
    pub fn event(&mut self, code: i32, name: &[u8], keys: &mut KeyTable<'a>) {
        let tests = &self.plan.tests;
        if tests.any_events {
            let set = self.events.set(code, &mut keys.sets, || tests.events.facts(name));
            self.add(set, keys);
        }
    }

    #[inline]
    fn add(&mut self, set: u32, keys: &KeyTable<'a>) {
        let plan = self.plan;
        self.union = self.unions.add(self.union, set, &keys.sets, |facts| look_up(plan, facts));
    }

    /// The span's attributes, whose keys are those of `path`. What names its operation is kept for [`Self::op`].
    pub fn attributes(&mut self, path: Path, attrs: &[Attr<'a>], keys: &mut KeyTable<'a>) {
        if path == UNKNOWN {
            self.follow(&mut Course::new(attrs, keys), attrs, keys);
            return;
        }
        let mut courses = std::mem::take(&mut self.courses);
        if courses.len() <= path as usize {
            courses.resize_with(path as usize + 1, || None);
        }
        if let Some(course) = courses.get_mut(path as usize) {
            self.follow(course.get_or_insert_with(|| Course::new(attrs, keys)), attrs, keys);
        }
        self.courses = courses;
    }

    #[inline]
    fn follow(&mut self, course: &mut Course, attrs: &[Attr<'a>], keys: &mut KeyTable<'a>) {
        match course.last {
            Some((before, after)) if before == self.union => self.union = after,
            _ => {
                let before = self.union;
                for set in &course.sets {
                    self.add(*set, keys);
                }
                course.last = Some((before, self.union));
            }
        }
        for place in &course.telling {
            if let Some(attr) = attrs.get(*place as usize) {
                self.value(attr, keys);
            }
        }
    }

    fn value(&mut self, attr: &Attr<'a>, keys: &mut KeyTable<'a>) {
        let Some(mark) = keys.marked(attr.key) else { return };
        let has_values = mark.values.is_some();
        if let Some(place) = mark.probe.and_then(|probe| self.probes.get_mut(usize::from(probe))) {
            *place = (self.span, attr.value);
        }
        if has_values {
            let set = keys.value_set(attr.key, attr.value, &mut self.text);
            self.add(set, keys);
        }
    }

    /// What the span is, and all that is known of it.
    #[inline]
    pub fn found(&self) -> Found {
        self.unions.made(self.union)
    }

    /// The facts of the span.
    pub fn facts(&self) -> Facts {
        self.unions.get(self.union).0
    }

    /// The number of these facts, and how often facts were numbered anew.
    pub fn number(&self) -> (u32, u32) {
        (self.union, self.generation)
    }

    /// The facts that the attributes of a resource tell.
    pub fn resource(&mut self, attrs: &[Attr<'a>], keys: &KeyTable<'a>) -> Facts {
        let mut facts = Facts::default();
        for attr in attrs {
            if attr.value.is_empty() {
                continue;
            }
            facts.add(&self.plan.tests.resource_keys.facts(keys.name(attr.key)));
            if let Some(values) = keys.planned(attr.key).and_then(|key| key.resource_values.as_ref()) {
                facts.add(&values.facts(plain_text(attr.value, &mut self.text)));
            }
        }
        facts
    }

    /// Number of the operation of the span whose attributes came last, which is of `dialect`.
    pub fn op(
        &mut self,
        dialect: &Dialect,
        name: &'a [u8],
        scope: &'a [u8],
        extractor: &mut Extractor<'a>,
    ) -> u8 {
        for source in &dialect.op {
            if !(source.when.is_empty() || source.when.holds(&self.facts())) {
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
        extractor: &mut Extractor<'a>,
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

/// The first dialect whose tests hold.
fn look_up(plan: &Plan, facts: &Facts) -> Found {
    let mut dialects = plan.dialects.iter().enumerate();
    let found = dialects.find(|(_, dialect)| dialect.detect.holds(facts));
    found.map_or(Found::default(), |(number, dialect)| Found {
        dialect: u16::try_from(number).unwrap_or_default(),
        ignored: dialect.ignore.holds(facts),
    })
}

/// Appends what tells spans like this one from others: the scope's name, and the keys that made it look like one that a
/// dialect should know, numbers in them written as N. The same whatever the order of attributes.
pub fn signature<'a>(scope: &[u8], attrs: &[Attr<'a>], keys: &KeyTable<'a>, out: &mut Vec<u8>) {
    let mut chosen: BTreeSet<Vec<u8>> = BTreeSet::new();
    for attr in attrs {
        if !keys.looks(attr.key) {
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
