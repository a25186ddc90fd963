//! Accepted spans as growing columns: the fixed ones, the plan's, and the contents.

use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, StructArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, Field, Fields, Schema};

use crate::cells::{Cell, NOWHERE, Pick, Picks, coerce};
use crate::columns::{
    Dict, Holds, Map, Offsets, Present, Sparse, Strings, Zeros, fixed_names, hashes, list, timestamps,
};
use crate::content::{Call, Memory, Names, Owner, Work, take};
use crate::decode::{Arrivals, DIALECT_COLUMNS, FIXED_COLUMNS};
use crate::detect::{Detector, Found, signature};
use crate::extract::{self, Extractor};
use crate::facts::Facts;
use crate::flatten::Entry;
use crate::gather::{Gathered, Part};
use crate::hash::Hash;
use crate::history::{Strand, Told, is_remembered};
use crate::json::trim;
use crate::keys::KeyTable;
use crate::layouts::{Kind, Layout, Layouts, Offer};
use crate::message::{Piece, Reading};
use crate::otlp::{Attr, Body, MAX_RESOURCE_BYTES, RESOURCE_ATTRIBUTE_BYTES, Span, Value};
use crate::parents::Parents;
use crate::paths::Path;
use crate::pieces::Cutter;
use crate::plan::{
    Content, EventSource, Form, Origin, Plan, Shape, Type, Use, bytes_name, calls_name, roles_name,
};
use crate::refusal::{Reason, Refusals};
use crate::remainder::{Remainders, strip};
use crate::render::{as_json, as_string, hex};
use crate::text::{hex_digits, is_utf8};

/// Names by number, as OTLP counts them.
const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
const STATUSES: [&str; 3] = ["Unset", "Ok", "Error"];

/// One resource of the body at hand, ready to be repeated on its spans' rows.
#[derive(Debug, Default)]
struct Repeated<'a> {
    keys: Vec<i32>,
    values: Vec<i32>,
    service: i32,
    facts: Facts,
    /// Values the plan wants, by their number there.
    wanted: Vec<Value<'a>>,
    bytes: usize,
}

/// What is known of the span at hand before its attributes are taken apart.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    dialect: u16,
    op: u8,
    start: u64,
    name: &'a [u8],
    scope: &'a [u8],
}

#[derive(Debug)]
enum ContentColumn {
    List { ends: Offsets, hashes: Vec<u8>, calls: Option<Box<Calls>>, sizes: Option<Sizes> },
    One { hashes: Vec<u8>, form: Form, sizes: Option<Sizes> },
}

/// Who speaks in each content of a column, and how many bytes of text.
#[derive(Debug, Default)]
struct Sizes {
    roles: Vec<u8>,
    bytes: Vec<u32>,
}

#[derive(Debug, Default)]
struct Calls {
    ends: Offsets,
    names: Strings,
    named: Present,
    ids: Strings,
    identified: Present,
    arguments: Vec<u8>,
}

/// Contents given out by this call.
#[derive(Debug, Default)]
pub struct Contents {
    requests: Vec<u32>,
    raw: Vec<u8>,
    canonical: Vec<u8>,
    kinds: Dict,
    content: Strings,
    lengths: Vec<u64>,
}

/// The batch being built.
#[derive(Debug)]
pub struct Rows<'a> {
    plan: &'a Plan,
    requests: Vec<u32>,
    parents: Parents,
    starts: Vec<i64>,
    durations: Vec<u64>,
    trace_ids: Dict,
    /// The trace of the span that came last, and its code; none is all zero.
    trace: ([u8; 16], i32),
    span_ids: Strings,
    parent_ids: Strings,
    states: Dict,
    names: Dict,
    kinds: Vec<i32>,
    services: Dict,
    resources: Map<Dict>,
    scope_names: Dict,
    scope_versions: Dict,
    attributes: Map<Strings>,
    statuses: Vec<i32>,
    messages: Strings,
    event_ends: Offsets,
    event_times: Vec<i64>,
    event_names: Dict,
    event_attributes: Map<Strings>,
    link_ends: Offsets,
    link_trace_ids: Strings,
    link_span_ids: Strings,
    link_states: Strings,
    link_attributes: Map<Strings>,
    columns: Vec<Sparse>,
    content_columns: Vec<ContentColumn>,
    contents: Contents,
    dialects: Vec<i32>,
    ops: Vec<i32>,
    known: Present,
    signatures: Sparse,
    detector: Detector<'a>,
    extractor: Extractor<'a>,
    layouts: Layouts<'a>,
    picks: Picks<'a>,
    /// Text made for the span at hand.
    scratch: Vec<u8>,
    /// Attributes of the span at hand that became contents.
    won: Vec<u32>,
    gathered: Gathered<'a>,
    resource_bytes: usize,
    /// How many rows are expected, of how many bytes of input.
    expected: usize,
    input: usize,
    /// Reused buffers: a rendered value, what `take` needs, the pieces of a text.
    text: Vec<u8>,
    work: Work,
    cutter: Cutter,
    remainders: Remainders,
}

impl<'a> Rows<'a> {
    /// No rows yet. `expected` rows, of `input` bytes together, will come; that only makes room.
    pub fn new(plan: &'a Plan, expected: usize, input: usize) -> Self {
        let column = |kind: Type| {
            let holds = match kind {
                Type::Dict => Holds::Dict,
                Type::Str => Holds::Str,
                Type::U64 | Type::Hash64 => Holds::U64,
                Type::I64 => Holds::I64,
                Type::F64 => Holds::F64,
                Type::Bool => Holds::Bool,
            };
            Sparse::new(holds, expected)
        };
        let content = |planned: &Content| {
            let sizes = planned.sizes.then(Sizes::default);
            match planned.form {
                Form::Elements => ContentColumn::List {
                    ends: Offsets::default(),
                    hashes: Vec::new(),
                    calls: planned.calls.then(Box::default),
                    sizes,
                },
                form => ContentColumn::One { hashes: Vec::new(), form, sizes },
            }
        };
        let mut rows = Self {
            plan,
            requests: Vec::new(),
            parents: Parents::default(),
            starts: Vec::new(),
            durations: Vec::new(),
            trace_ids: Dict::default(),
            trace: ([0; 16], 0),
            span_ids: Strings::default(),
            parent_ids: Strings::default(),
            states: Dict::default(),
            names: Dict::default(),
            kinds: Vec::new(),
            services: Dict::default(),
            resources: Map::default(),
            scope_names: Dict::default(),
            scope_versions: Dict::default(),
            attributes: Map::default(),
            statuses: Vec::new(),
            messages: Strings::default(),
            event_ends: Offsets::default(),
            event_times: Vec::new(),
            event_names: Dict::default(),
            event_attributes: Map::default(),
            link_ends: Offsets::default(),
            link_trace_ids: Strings::default(),
            link_span_ids: Strings::default(),
            link_states: Strings::default(),
            link_attributes: Map::default(),
            columns: plan.columns.iter().map(|c| column(c.kind)).collect(),
            content_columns: plan.contents.iter().map(content).collect(),
            contents: Contents::default(),
            dialects: Vec::new(),
            ops: Vec::new(),
            known: Present::default(),
            signatures: column(Type::Dict),
            detector: Detector::new(plan),
            extractor: Extractor::default(),
            layouts: Layouts::default(),
            scratch: Vec::new(),
            won: Vec::new(),
            gathered: Gathered::default(),
            picks: Picks::new(plan.columns.len() + plan.contents.len()),
            resource_bytes: 0,
            expected,
            input,
            text: Vec::new(),
            work: Work::default(),
            cutter: Cutter::default(),
            remainders: Remainders::default(),
        };
        rows.reserve(expected, input);
        rows
    }

    /// Room for the columns every row fills, so that they need not move while they grow.
    fn reserve(&mut self, rows: usize, input: usize) {
        self.requests.reserve(rows);
        self.parents.reserve(rows);
        self.starts.reserve(rows);
        self.durations.reserve(rows);
        self.span_ids.reserve(rows, 16 * rows);
        self.parent_ids.reserve(rows, 16 * rows);
        for codes in [&mut self.kinds, &mut self.statuses, &mut self.dialects, &mut self.ops] {
            codes.reserve(rows);
        }
        let dicts = [
            &mut self.trace_ids,
            &mut self.states,
            &mut self.names,
            &mut self.services,
            &mut self.scope_names,
            &mut self.scope_versions,
        ];
        for dict in dicts {
            dict.codes.reserve(rows);
        }
        self.messages.reserve(rows, 0);
        self.resources.ends.reserve(rows);
        self.attributes.ends.reserve(rows);
        // An attribute takes some 30 bytes, about half of them value.
        self.attributes.values.reserve(input / 32, input / 2);
        self.attributes.keys.reserve(input / 32);
        self.event_ends.reserve(rows);
        self.link_ends.reserve(rows);
        // What is not touched costs nothing, and what grows has to be moved.
        self.contents.content.reserve(0, input);
    }

    /// Adds the spans of a parsed body and returns how many were added. Those for which there is no room in this call
    /// are refused, and those sent again.
    #[allow(clippy::too_many_arguments)]
    pub fn add(
        &mut self,
        body: &Body<'a>,
        keys: &mut KeyTable<'a>,
        memory: &mut Memory,
        owner: &Owner,
        request: u32,
        arrivals: &mut Arrivals<'_>,
        refusals: &mut Refusals,
    ) -> u64 {
        let mut added = 0;
        // Spans of one scope stand together: what they share is looked up when the scope changes.
        let mut at: Option<(u32, u32)> = None;
        let mut repeated = Repeated::default();
        let mut scope_codes = (0, 0);
        for (index, span) in body.spans.iter().enumerate() {
            let scope = body.scopes.get(span.scope as usize).copied().unwrap_or_default();
            if at.is_none_or(|(_, resource)| resource != scope.resource) {
                repeated = self.repeat(body, scope.resource, keys);
            }
            if at.is_none_or(|(index, _)| index != span.scope) {
                scope_codes =
                    (self.scope_names.names.code(scope.name), self.scope_versions.names.code(scope.version));
                self.detector.enter(&repeated.facts, scope_codes.0, scope.name, keys);
            }
            at = Some((span.scope, scope.resource));
            if self.resource_bytes + repeated.bytes > MAX_RESOURCE_BYTES {
                refusals.note(Reason::TooLarge, &span.span_id.to_be_bytes(), span.name);
                continue;
            }
            if !arrivals.is_first(index) {
                refusals.duplicates += 1;
                continue;
            }
            arrivals.place(index, self.requests.len());
            self.requests.push(request);
            self.scope_names.codes.push(scope_codes.0);
            self.scope_versions.codes.push(scope_codes.1);
            let attrs = span.attrs.of(&body.span_attrs);
            self.own_fields(span, owner.tenant, keys);
            self.resource_fields(&repeated);
            self.events(body, span, keys);
            self.detector.attributes(span.path, attrs, keys);
            let subject = self.subject(span, scope.name);
            let layout = self.layout(&subject, span.path, attrs, keys);
            if self.detector.found().dialect == 0 && layout.looks {
                self.sign(scope.name, attrs, keys);
            }
            self.span_attributes(&layout, attrs, &subject, owner);
            self.other_sources(&layout, &subject, &repeated, body, span, keys);
            self.picked(memory, owner, request, body, span, keys);
            self.remaining_attributes(&layout, attrs, keys);
            self.links(body, span, keys);
            added += 1;
        }
        added
    }

    /// Rows so far, the one at hand not counted until its request is pushed.
    fn row(&self) -> usize {
        self.requests.len() - 1
    }

    /// Which dialect's the span is, and what operation.
    fn subject(&mut self, span: &Span<'a>, scope: &'a [u8]) -> Subject<'a> {
        let plan = self.plan;
        let Found { dialect: number, ignored } = self.detector.found();
        self.dialects.push(i32::from(number));
        let mut subject = Subject { dialect: 0, op: 0, start: span.start, name: span.name, scope };
        if number > 0
            && !ignored
            && let Some(dialect) = plan.dialects.get(usize::from(number))
        {
            subject.op = self.detector.op(dialect, span.name, scope, &mut self.extractor);
            subject.dialect = number;
            self.known.set(self.row());
        }
        self.ops.push(i32::from(subject.op));
        subject
    }

    /// Where the attributes of the span go.
    fn layout(
        &mut self,
        subject: &Subject<'a>,
        path: Path,
        attrs: &[Attr<'a>],
        keys: &mut KeyTable<'a>,
    ) -> Rc<Layout<'a>> {
        let Self { plan, layouts, detector, .. } = self;
        let (union, generation) = detector.number();
        let kind = Kind { path, union, generation, op: subject.op };
        layouts.of(kind, plan, subject.dialect, || detector.facts(), attrs, keys)
    }

    #[cold]
    fn sign(&mut self, scope: &[u8], attrs: &[Attr<'a>], keys: &KeyTable<'a>) {
        let row = self.row();
        self.text.clear();
        signature(scope, attrs, keys, &mut self.text);
        self.signatures.text(row, &self.text);
    }

    fn own_fields(&mut self, span: &Span<'a>, tenant: u32, keys: &mut KeyTable<'a>) {
        let trace = match self.trace {
            (last, code) if last == span.trace_id => code,
            _ => {
                let [high, low] = halves(span.trace_id).map(hex_digits);
                self.trace_ids.names.code([high, low].as_flattened())
            }
        };
        self.trace = (span.trace_id, trace);
        self.trace_ids.codes.push(trace);
        self.parents.push(crate::parents::Row { tenant, trace, span: span.span_id, parent: span.parent_id });
        self.span_ids.push(&hex_digits(span.span_id));
        if span.parent_id == 0 {
            self.parent_ids.push(b"");
        } else {
            self.parent_ids.push(&hex_digits(span.parent_id));
        }
        self.starts.push(span.start as i64);
        self.durations.push(span.end.saturating_sub(span.start));
        self.states.push(span.state);
        let name = self.names.names.code(span.name);
        self.names.codes.push(name);
        self.kinds.push(enum_code(span.kind, KINDS.len()));
        self.statuses.push(enum_code(span.status, STATUSES.len()));
        self.messages.push(span.status_message);
        self.detector.begin(name, span.name, keys);
    }

    /// What the spans of a resource repeat.
    fn repeat(&mut self, body: &Body<'a>, resource: u32, keys: &mut KeyTable<'a>) -> Repeated<'a> {
        let resource = body.resources.get(resource as usize).copied().unwrap_or_default();
        let attrs = resource.attrs.of(&body.resource_attrs);
        let mut repeated = Repeated {
            service: -1,
            facts: self.detector.resource(attrs, keys),
            wanted: vec![Value::Empty; self.plan.resource_keys],
            ..Repeated::default()
        };
        for attr in attrs {
            let key = attr.key;
            self.text.clear();
            as_string(&attr.value, &mut self.text);
            repeated.keys.push(keys.code(key));
            repeated.values.push(self.resources.values.names.code(&self.text));
            if keys.name(key) == b"service.name" {
                repeated.service = self.services.names.code(&self.text);
            }
            let Some(planned) = keys.planned(key) else { continue };
            if let Some(wanted) =
                planned.resource.and_then(|place| repeated.wanted.get_mut(usize::from(place)))
            {
                *wanted = attr.value;
                repeated.bytes += if planned.is_copied { 2 * self.text.len() } else { 0 };
            }
        }
        if repeated.service < 0 {
            repeated.service = self.services.names.code(b"");
        }
        repeated.bytes += RESOURCE_ATTRIBUTE_BYTES * repeated.keys.len();
        if self.resources.keys.is_empty() {
            // That all resources have as many attributes is only a guess: it may not take more than the input does.
            let room = (self.expected * repeated.keys.len()).min(self.input / RESOURCE_ATTRIBUTE_BYTES);
            self.resources.keys.reserve(room);
            self.resources.values.codes.reserve(room);
        }
        repeated
    }

    fn resource_fields(&mut self, repeated: &Repeated<'a>) {
        self.resource_bytes += repeated.bytes;
        self.resources.keys.extend_from_slice(&repeated.keys);
        self.resources.values.codes.extend_from_slice(&repeated.values);
        self.resources.end();
        self.services.codes.push(repeated.service);
    }

    /// Offers the span's attributes to the plan's slots and writes those that cannot become contents.
    fn span_attributes(
        &mut self,
        layout: &Layout<'a>,
        attrs: &[Attr<'a>],
        subject: &Subject<'a>,
        owner: &Owner,
    ) {
        let plan = self.plan;
        self.picks.begin();
        self.scratch.clear();
        self.gathered.begin();
        self.remainders.clear();
        let dialect = plan.dialects.get(usize::from(subject.dialect)).filter(|d| !d.sentinels.is_empty());
        let is_sentinel = |value: Value<'_>| match (dialect, value) {
            (Some(dialect), Value::Str(text)) => dialect.is_sentinel(text),
            _ => false,
        };
        let value = |place: u32| attrs.get(place as usize).map_or(Value::Empty, |attr| attr.value);
        for (place, slot) in &layout.plain {
            let (value, slot) = (value(*place), usize::from(*slot));
            if let Some(column) = plan.columns.get(slot)
                && !is_sentinel(value)
                && let Some(cell) = coerce(column.kind, value)
            {
                self.cell(slot, cell, owner);
            }
        }
        for Offer { place, wanted, part } in &layout.offers {
            let value = value(*place);
            match part {
                Some((index, path)) => {
                    self.gather(wanted, *place, Entry { index: *index, path, value });
                }
                None if is_sentinel(value) => {}
                None => self.offer(subject, wanted, *place, value),
            }
        }
        self.attributes.keys.extend_from_slice(&layout.codes);
        for place in &layout.kept {
            match value(*place) {
                Value::Str(text) => self.attributes.values.push(text),
                other => self.attributes.values.push_with(|out| as_string(&other, out)),
            }
        }
    }

    #[inline(always)]
    fn offer(&mut self, subject: &Subject<'a>, wanted: &Use, place: u32, value: Value<'a>) {
        if wanted.how != 0 {
            return self.offer_refined(subject, wanted, place, value);
        }
        let column = self.plan.columns.get(usize::from(wanted.slot));
        self.picks.offer(*wanted, place, || match column {
            Some(column) => coerce(column.kind, value),
            None => (value != Value::Empty).then_some(Cell::Text(value)),
        });
    }

    /// Offers what the use makes of the value.
    fn offer_refined(&mut self, subject: &Subject<'a>, wanted: &Use, place: u32, value: Value<'a>) {
        let plan = self.plan;
        let Some(how) = plan.how(wanted.how) else { return };
        if let Some((index, path)) = how.part {
            if !value.is_empty() {
                self.gather(wanted, place, Entry { index, path, value });
            }
            return;
        }
        let Self { picks, extractor, scratch, .. } = self;
        picks.offer(*wanted, place, || match plan.columns.get(usize::from(wanted.slot)) {
            Some(column) => extract::cell(how, column.kind, value, subject.start, extractor, scratch),
            None => extract::content(how, value, extractor, scratch),
        });
    }

    /// Offers a part of what a slot may hold.
    fn gather(&mut self, wanted: &Use, place: u32, entry: Entry<'a>) {
        let Use { slot, rank, .. } = *wanted;
        self.gathered.push(Part { slot, rank, place, entry });
        self.picks.offer(*wanted, place, || Some(Cell::Gathered));
    }

    /// Offers what is no attribute of the span.
    fn other_sources(
        &mut self,
        layout: &Layout<'a>,
        subject: &Subject<'a>,
        repeated: &Repeated<'a>,
        body: &Body<'a>,
        span: &Span<'a>,
        keys: &KeyTable<'a>,
    ) {
        let plan = self.plan;
        for (origin, wanted) in &layout.others {
            let value = match origin {
                Origin::Events(_) => {
                    self.picks.offer(*wanted, NOWHERE, || Some(Cell::Gathered));
                    continue;
                }
                Origin::Resource(place) => repeated.wanted.get(usize::from(*place)).copied(),
                Origin::Event(place) => {
                    let source = plan.events.get(usize::from(*place));
                    source.and_then(|source| event_value(body, span, source, keys))
                }
                Origin::Duration => Some(Value::Int(span.end.saturating_sub(span.start) as i64)),
                Origin::Name => Some(Value::Str(subject.name)),
                Origin::Scope => Some(Value::Str(subject.scope)),
                Origin::Nowhere => Some(Value::Bool(true)),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.offer(subject, wanted, NOWHERE, value);
            }
        }
    }

    /// Writes the attributes that became no content, what is left of those that did in part, and ends the span's.
    fn remaining_attributes(&mut self, layout: &Layout<'a>, attrs: &[Attr<'a>], keys: &mut KeyTable<'a>) {
        if !layout.offered.is_empty() {
            self.note_winners();
        }
        for place in layout.offered.iter().copied() {
            let Some(attr) = attrs.get(place as usize) else { continue };
            if attr.value == Value::Empty {
                continue;
            }
            if self.won.binary_search(&place).is_err() {
                self.attributes.keys.push(keys.code(attr.key));
                self.attributes.values.push_with(|out| as_string(&attr.value, out));
            } else if self.remainder(place, attr.value) {
                self.attributes.keys.push(keys.code(attr.key));
                self.attributes.values.push(&self.text);
            }
        }
        self.attributes.end();
    }

    /// Puts what is left of an attribute that became content into `text`; false where that is nothing.
    fn remainder(&mut self, place: u32, value: Value<'a>) -> bool {
        let Self { plan, picks, remainders, text: left, .. } = self;
        let mut all = Vec::new();
        let picked = || {
            let contents = (0..picks.len()).filter_map(|index| picks.get(index));
            contents.filter(|(slot, pick)| usize::from(*slot) >= plan.columns.len() && pick.place == place)
        };
        let path = |pick: &Pick<'a>| plan.how(pick.how).and_then(|how| how.path.as_deref());
        let whole = match remainders.of(place) {
            Some(kept) => kept,
            // A part of a numbered message has no pick of its own.
            None if picked().next().is_none() || picked().any(|(_, pick)| path(pick).is_none()) => {
                return false;
            }
            None => match value {
                Value::Str(text) | Value::Bytes(text) => text,
                value => {
                    as_string(&value, &mut all);
                    &all
                }
            },
        };
        left.clear();
        strip(trim(whole), picked().filter_map(|(_, pick)| path(pick)), left);
        !left.is_empty()
    }

    /// Which of the span's attributes won a content's slot.
    fn note_winners(&mut self) {
        self.won.clear();
        for index in 0..self.picks.len() {
            match self.picks.get(index) {
                Some((slot, _)) if usize::from(slot) < self.plan.columns.len() => {}
                Some((slot, Pick { rank, cell: Cell::Gathered, .. })) => {
                    self.won.extend(self.gathered.of(slot, *rank).map(|part| part.place));
                }
                Some((_, pick)) => self.won.push(pick.place),
                None => {}
            }
        }
        self.won.sort_unstable();
    }

    /// Writes what won the plan's slots.
    fn picked(
        &mut self,
        memory: &mut Memory,
        owner: &Owner,
        request: u32,
        body: &Body<'a>,
        span: &Span<'a>,
        keys: &KeyTable<'a>,
    ) {
        for index in 0..self.picks.len() {
            let Some((slot, pick)) = self.picks.get(index) else {
                continue;
            };
            let pick = *pick;
            let Some(index) = usize::from(slot).checked_sub(self.plan.columns.len()) else {
                self.cell(usize::from(slot), pick.cell, owner);
                continue;
            };
            if let (Cell::Gathered, Some(how), Some(planned)) =
                (pick.cell, self.plan.how(pick.how), self.plan.contents.get(index))
            {
                match how.events.and_then(|events| self.plan.events.get(usize::from(events))) {
                    Some(source) => {
                        let role = how.role.unwrap_or(planned.role);
                        self.gathered.build_events(body, span, keys, source, role, &mut self.cutter);
                    }
                    None => {
                        let (reading, are_many) =
                            (planned.reading_by(how.role), planned.form == Form::Elements);
                        self.gathered.build(slot, pick.rank, how, reading, are_many);
                    }
                }
            }
            self.content(index, pick, memory, owner, request, span.trace_id);
        }
    }

    fn cell(&mut self, slot: usize, cell: Cell<'a>, owner: &Owner) {
        let row = self.row();
        let (Some(column), Some(planned)) = (self.columns.get_mut(slot), self.plan.columns.get(slot)) else {
            return;
        };
        let text = match cell {
            Cell::Text(Value::Str(text)) => text,
            // Some senders send text as bytes.
            Cell::Text(Value::Bytes(text)) if is_utf8(text) => text,
            Cell::Made { start, end } => self.scratch.get(start..end).unwrap_or_default(),
            Cell::Text(value) => {
                self.text.clear();
                as_string(&value, &mut self.text);
                &self.text
            }
            _ => &[],
        };
        match cell {
            Cell::U64(number) => column.u64(row, number),
            Cell::I64(number) => column.i64(row, number),
            Cell::F64(number) => column.f64(row, number),
            Cell::Bool(flag) => column.bool(row, flag),
            _ if planned.kind != Type::Hash64 => column.text(row, text),
            _ if text.is_empty() => {}
            _ => column.u64(row, owner.keyed.hash64(text)),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn content(
        &mut self,
        index: usize,
        pick: Pick<'a>,
        memory: &mut Memory,
        owner: &Owner,
        request: u32,
        trace: [u8; 16],
    ) {
        let row = self.row();
        let Self {
            plan,
            content_columns,
            contents,
            text: rendered,
            scratch,
            work,
            cutter,
            gathered,
            remainders,
            expected,
            ..
        } = self;
        let (Some(planned), Some(column)) = (plan.contents.get(index), content_columns.get_mut(index)) else {
            return;
        };
        let text = match pick.cell {
            Cell::Text(Value::Str(text)) => text,
            // Some senders send text as bytes.
            Cell::Text(Value::Bytes(text)) if is_utf8(text) => text,
            Cell::Made { start, end } => scratch.get(start..end).unwrap_or_default(),
            Cell::Gathered => &gathered.text,
            Cell::Text(other) => {
                rendered.clear();
                as_json(&other, rendered);
                rendered
            }
            _ => return,
        };
        let Some(how) = plan.how(pick.how) else { return };
        let reading = planned.reading_by(how.role);
        let text = if matches!(pick.cell, Cell::Gathered) { text } else { trim(text) };
        if text.is_empty() {
            return;
        }
        let is_gathered = matches!(pick.cell, Cell::Gathered);
        let strand = match (&*column, reading) {
            (ContentColumn::List { calls: None, .. }, Reading::Message(role))
                if !is_gathered && how.form != Shape::Text =>
            {
                Strand::of(owner, trace, index, role, text)
            }
            _ => None,
        };
        let told = strand.and_then(|strand| {
            let told = memory.histories.take(&strand, text, owner)?;
            cutter.cut_on(text, told.end, told.names.len(), strand.role).then_some(told)
        });
        let mut whole = [Piece { range: 0..text.len(), reading }];
        let (text, pieces) = match (&*column, reading) {
            _ if told.is_some() => (text, cutter.pieces()),
            (ContentColumn::List { .. }, _) if is_gathered => (text, &gathered.pieces[..]),
            (ContentColumn::List { .. }, Reading::Message(role)) if how.form == Shape::Text => {
                whole = [Piece { range: 0..text.len(), reading: Reading::Words(role) }];
                (text, &whole[..])
            }
            (ContentColumn::List { .. }, Reading::Message(role)) => cutter.cut(text, role),
            _ => (text, &whole[..]),
        };
        let are_parts = pieces.first().is_none_or(|piece| piece.range != (0..text.len()));
        if are_parts && pick.place != NOWHERE && how.path.is_none() && !is_gathered {
            // Beside the messages of a list there is nothing.
            let outside = if told.is_some() { (&[][..], &[][..]) } else { (text, pieces) };
            remainders.keep(pick.place, outside.0, outside.1);
        }
        work.begin(told.as_ref().map_or(&[], |told| &told.names));
        let are_calls_wanted = matches!(column, ContentColumn::List { calls: Some(_), .. });
        let first_ns = take(memory, owner, text, pieces, work, are_calls_wanted, |found| {
            contents.push(request, &planned.kind, &found);
        });
        if let Some(strand) = strand.filter(|_| are_parts && is_remembered(work.names.len())) {
            let mut told = told.unwrap_or_else(|| Told::nothing(owner));
            let end = pieces.last().map_or(told.end, |piece| piece.range.end);
            told.add(text, end, &work.names, first_ns);
            memory.histories.keep(strand, told);
        }
        match column {
            ContentColumn::One { hashes, form, sizes } => {
                if hashes.is_empty() {
                    hashes.reserve(*expected * size_of::<Hash>());
                }
                hashes.resize(row * size_of::<Hash>(), 0);
                for names in &work.names {
                    let is_canonical = *form == Form::Canonical;
                    hashes.extend_from_slice(if is_canonical { &names.canonical } else { &names.raw });
                }
                if let Some(sizes) = sizes {
                    sizes.pad(row);
                    sizes.extend(&work.names);
                }
            }
            ContentColumn::List { ends, hashes, calls, sizes } => {
                if hashes.is_empty() {
                    ends.reserve(*expected);
                }
                for names in &work.names {
                    hashes.extend_from_slice(&names.raw);
                }
                ends.pad(row);
                ends.end(hashes.len() / 16);
                if let Some(sizes) = sizes {
                    sizes.extend(&work.names);
                }
                if let Some(calls) = calls {
                    calls.ends.pad(row);
                    work.calls.iter().flat_map(|of_one| &of_one[..]).for_each(|call| calls.add(call));
                    calls.ends.end(calls.names.len());
                }
            }
        }
    }

    fn events(&mut self, body: &Body<'a>, span: &Span<'a>, keys: &mut KeyTable<'a>) {
        for event in span.events.of(&body.events) {
            self.event_times.push(event.time as i64);
            let name = self.event_names.names.code(event.name);
            self.event_names.codes.push(name);
            self.detector.event(name, event.name, keys);
            push_map(&mut self.event_attributes, event.attrs.of(&body.inner_attrs), keys);
        }
        self.event_ends.end(self.event_times.len());
    }

    fn links(&mut self, body: &Body<'a>, span: &Span<'a>, keys: &mut KeyTable<'a>) {
        for link in span.links.of(&body.links) {
            self.link_trace_ids.push_with(|out| hex_or_empty(link.trace_id, out));
            self.link_span_ids.push_with(|out| hex_or_empty(link.span_id, out));
            self.link_states.push(link.state);
            push_map(&mut self.link_attributes, link.attrs.of(&body.inner_attrs), keys);
        }
        self.link_ends.end(self.link_states.len());
    }

    /// The batches of spans and of contents. `starts` are the rows of start records, in order.
    pub fn build(
        self,
        keys: &KeyTable<'a>,
        starts: &[u32],
    ) -> Result<(RecordBatch, RecordBatch), ArrowError> {
        let (plan, rows) = (self.plan, self.requests.len());
        let mut names = Strings::default();
        for name in keys.dictionary() {
            names.push(name);
        }
        let keys: ArrayRef = Arc::new(names.utf8(None));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.requests)),
            Arc::new(Int32Array::from(self.parents.find(starts))),
            timestamps(self.starts),
            self.trace_ids.build(None)?,
            Arc::new(self.span_ids.utf8(None)),
            Arc::new(self.parent_ids.utf8(None)),
            self.states.build(None)?,
            self.names.build(None)?,
            fixed_names(self.kinds, &KINDS)?,
            self.services.build(None)?,
            self.resources.build(&keys)?,
            self.scope_names.build(None)?,
            self.scope_versions.build(None)?,
            self.attributes.build(&keys)?,
            Arc::new(UInt64Array::from(self.durations)),
            fixed_names(self.statuses, &STATUSES)?,
            Arc::new(self.messages.utf8(None)),
            list(self.event_ends.clone(), timestamps(self.event_times))?,
            list(self.event_ends.clone(), self.event_names.build(None)?)?,
            list(self.event_ends, self.event_attributes.build(&keys)?)?,
            list(self.link_ends.clone(), Arc::new(self.link_trace_ids.utf8(None)))?,
            list(self.link_ends.clone(), Arc::new(self.link_span_ids.utf8(None)))?,
            list(self.link_ends.clone(), Arc::new(self.link_states.utf8(None)))?,
            list(self.link_ends, self.link_attributes.build(&keys)?)?,
        ];
        let zeros = Zeros::new(rows);
        let mut batch = Batch::default();
        for (name, column) in FIXED_COLUMNS.iter().zip(columns) {
            batch.add(name, column, false);
        }
        if plan.dialects.len() > 1 {
            let dialects = named(plan.dialects.iter().map(|dialect| &dialect.name));
            let columns: Vec<ArrayRef> = vec![
                fixed_names(self.dialects, &dialects)?,
                fixed_names(self.ops, &named(plan.ops.iter()))?,
                Arc::new(BooleanArray::new(self.known.buffer(rows), None)),
                self.signatures.build(rows, &zeros)?,
            ];
            for (name, column) in DIALECT_COLUMNS.iter().zip(columns) {
                batch.add(name, column, *name == "signature");
            }
        }
        for (planned, column) in plan.columns.iter().zip(self.columns) {
            batch.add(&planned.name, column.build(rows, &zeros)?, true);
        }
        for (planned, column) in plan.contents.iter().zip(self.content_columns) {
            match column {
                ContentColumn::One { hashes: mut data, sizes, .. } => {
                    data.resize(rows * 16, 0);
                    batch.add(&planned.name, hashes(data)?, false);
                    if let Some(mut sizes) = sizes {
                        sizes.pad(rows);
                        let [roles, bytes] = sizes.build();
                        batch.add(&roles_name(planned), roles, false);
                        batch.add(&bytes_name(planned), bytes, false);
                    }
                }
                ContentColumn::List { mut ends, hashes: data, calls, sizes } => {
                    ends.pad(rows);
                    if let Some(sizes) = sizes {
                        let [roles, bytes] = sizes.build();
                        batch.add(&roles_name(planned), list(ends.clone(), roles)?, false);
                        batch.add(&bytes_name(planned), list(ends.clone(), bytes)?, false);
                    }
                    batch.add(&planned.name, list(ends, hashes(data)?)?, false);
                    if let Some(calls) = calls {
                        batch.add(&calls_name(planned), calls.build(rows)?, false);
                    }
                }
            }
        }
        Ok((batch.build(rows)?, self.contents.build()?))
    }
}

impl Sizes {
    fn pad(&mut self, rows: usize) {
        self.roles.resize(rows, 0);
        self.bytes.resize(rows, 0);
    }

    fn extend(&mut self, contents: &[Names]) {
        self.roles.extend(contents.iter().map(|names| names.facts.role as u8));
        self.bytes.extend(contents.iter().map(|names| names.facts.bytes));
    }

    fn build(self) -> [ArrayRef; 2] {
        [Arc::new(UInt8Array::from(self.roles)), Arc::new(UInt32Array::from(self.bytes))]
    }
}

impl Calls {
    fn add(&mut self, call: &Call) {
        let index = self.names.len();
        if call.name.is_some() {
            self.named.set(index);
        }
        if call.id.is_some() {
            self.identified.set(index);
        }
        self.names.push(call.name.as_deref().unwrap_or_default());
        self.ids.push(call.id.as_deref().unwrap_or_default());
        self.arguments.extend_from_slice(&call.arguments);
    }

    fn build(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.ends.pad(rows);
        let count = self.names.len();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.names.utf8(self.named.nulls(count))),
            Arc::new(self.ids.utf8(self.identified.nulls(count))),
            hashes(self.arguments)?,
        ];
        let field =
            |name: &str, array: &ArrayRef, nullable| Field::new(name, array.data_type().clone(), nullable);
        let fields: Fields = ["name", "id", "args"]
            .into_iter()
            .zip(&arrays)
            .map(|(name, array)| field(name, array, name != "args"))
            .collect();
        list(self.ends, Arc::new(StructArray::try_new_with_length(fields, arrays, None, count)?))
    }
}

impl Contents {
    pub fn push(&mut self, request: u32, kind: &str, found: &crate::content::Found<'_>) {
        self.requests.push(request);
        self.raw.extend_from_slice(&found.names.raw);
        self.canonical.extend_from_slice(&found.names.canonical);
        self.kinds.push(kind.as_bytes());
        self.content.push(found.text);
        self.lengths.push(found.text.len() as u64);
    }

    pub fn build(self) -> Result<RecordBatch, ArrowError> {
        let rows = self.requests.len();
        let mut batch = Batch::default();
        batch.add("request", Arc::new(UInt32Array::from(self.requests)), false);
        batch.add("hash", hashes(self.raw)?, false);
        batch.add("canonical_hash", hashes(self.canonical)?, false);
        batch.add("kind", self.kinds.build(None)?, false);
        batch.add("content", Arc::new(self.content.binary()?), false);
        batch.add("bytes", Arc::new(UInt64Array::from(self.lengths)), false);
        batch.build(rows)
    }
}

/// Columns on their way to being a record batch.
#[derive(Default)]
pub struct Batch {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Batch {
    pub fn add(&mut self, name: &str, column: ArrayRef, nullable: bool) {
        self.fields.push(Field::new(name, column.data_type().clone(), nullable));
        self.columns.push(column);
    }

    pub fn build(self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(self.fields)), self.columns, &options)
    }
}

/// The attribute of the first such event that has it.
fn event_value<'a>(
    body: &Body<'a>,
    span: &Span<'a>,
    source: &EventSource,
    keys: &KeyTable<'a>,
) -> Option<Value<'a>> {
    let events = span.events.of(&body.events).iter();
    let mut events = events.filter(|event| source.names.iter().any(|name| name == event.name));
    events.find_map(|event| {
        let mut attrs = event.attrs.of(&body.inner_attrs).iter();
        attrs.find(|attr| keys.name(attr.key) == source.key).map(|attr| attr.value)
    })
}

fn named<'n>(names: impl Iterator<Item = &'n String>) -> Vec<&'n str> {
    names.map(String::as_str).collect()
}

/// Adds a row of these attributes.
pub fn push_map<'a>(map: &mut Map<Strings>, attrs: &[Attr<'a>], keys: &mut KeyTable<'a>) {
    for attr in attrs {
        map.keys.push(keys.code(attr.key));
        map.values.push_with(|out| as_string(&attr.value, out));
    }
    map.end();
}

/// A trace id as two numbers.
fn halves(id: [u8; 16]) -> [u64; 2] {
    let id = u128::from_be_bytes(id);
    [(id >> 64) as u64, id as u64]
}

/// The code of an enumeration's value; unknown numbers are its first name. Only the low 32 bits count, as in protobuf.
fn enum_code(number: u64, names: usize) -> i32 {
    let number = number as i32;
    if usize::try_from(number).is_ok_and(|number| number < names) { number } else { 0 }
}

/// Hex of an id; nothing for one that is all zero, as the Collector writes it.
fn hex_or_empty(id: &[u8], out: &mut Vec<u8>) {
    if id.iter().any(|byte| *byte != 0) {
        hex(id, out);
    }
}
