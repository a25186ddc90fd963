//! One `ExportTraceServiceRequest` parsed into flat records that borrow its bytes.
//!
//! A body is parsed completely before anything of it is used, so a body refused half way leaves nothing behind.
//! Everything is checked here; later stages cannot fail on a parsed span. Spans that are refused leave only their
//! count: what is held in memory is in proportion to the input, whatever it holds.
//!
//! Where protobuf would merge a repeated singular message, resource, scope and status merge; an AnyValue given twice
//! does not: the last one stands.

use crate::keys::{KeyId, KeyTable};
use crate::refusal::{Reason, Refusals};
use crate::text::is_utf8;
use crate::wire::{Malformed, Reader, bytes, fixed64, varint};

/// A value as it came, strings not yet copied and nested values still in wire form (already checked).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Empty,
    Str(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(&'a [u8]),
    KvList(&'a [u8]),
}

#[derive(Debug, Clone, Copy)]
pub struct Attr<'a> {
    /// Each key once for each owner: the last value wins.
    pub key: KeyId,
    pub value: Value<'a>,
}

/// A run of entries in one of the body's arrays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    start: u32,
    end: u32,
}

impl Run {
    pub fn of<T>(self, all: &[T]) -> &[T] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a run begins: the length of the array before its entries are pushed.
fn mark<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Resource {
    pub attrs: Run,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    pub resource: u32,
    pub name: &'a [u8],
    pub version: &'a [u8],
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'a> {
    pub time: u64,
    pub name: &'a [u8],
    pub attrs: Run,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub state: &'a [u8],
    pub attrs: Run,
}

/// A span with nothing wrong with it.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    pub scope: u32,
    pub trace_id: [u8; 16],
    /// As big-endian numbers. The parent is 0 for a root.
    pub span_id: u64,
    pub parent_id: u64,
    pub state: &'a [u8],
    pub name: &'a [u8],
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub status: u64,
    pub status_message: &'a [u8],
    pub attrs: Run,
    pub events: Run,
    pub links: Run,
}

/// A span's own fields as they came.
#[derive(Debug, Default)]
struct Fields<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    state: &'a [u8],
    name: &'a [u8],
    kind: u64,
    start: u64,
    end: u64,
    status: u64,
    status_message: &'a [u8],
}

/// What is wrong with one span but not with the message around it.
#[derive(Debug, Clone, Copy, Default)]
struct Flaws {
    too_deep: bool,
    bad_utf8: bool,
}

/// The parsed body. Reused from body to body so that its arrays keep their capacity.
#[derive(Debug, Default)]
pub struct Body<'a> {
    pub resources: Vec<Resource>,
    pub scopes: Vec<Scope<'a>>,
    pub spans: Vec<Span<'a>>,
    pub events: Vec<Event<'a>>,
    pub links: Vec<Link<'a>>,
    /// Attributes of spans; those of events and links; those of resources. Apart, so that each owner's are one run.
    pub span_attrs: Vec<Attr<'a>>,
    pub inner_attrs: Vec<Attr<'a>>,
    pub resource_attrs: Vec<Attr<'a>>,
    pub refusals: Refusals,
    waiting_events: Vec<&'a [u8]>,
    waiting_links: Vec<&'a [u8]>,
}

/// Bounds on one span.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_span_bytes: usize,
    pub max_depth: u32,
    /// Which start and end times are taken (nanoseconds since 1970, both included).
    pub min_time: u64,
    pub max_time: u64,
}

/// Events and links a span may have whatever their size; more than these must have some bytes each. An empty event
/// takes two bytes on the wire and forty times that in memory.
const FREE_PARTS: usize = 64;
const LEAST_PART_BYTES: usize = 8;

const NOT_UTF8: Malformed = Malformed("a string of its resource or scope is not valid UTF-8");
const DEEP_SCOPE: Malformed = Malformed("a value of its resource or scope is nested too deeply");

impl<'a> Body<'a> {
    /// Parses `message` in place of what was here before.
    pub fn parse(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<(), Malformed> {
        self.clear();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                RESOURCE_SPANS => {
                    let inner = reader.bytes()?;
                    self.resource_spans(inner, keys, limits)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.spans.clear();
        self.events.clear();
        self.links.clear();
        self.span_attrs.clear();
        self.inner_attrs.clear();
        self.resource_attrs.clear();
        self.refusals = Refusals::default();
        self.waiting_events.clear();
        self.waiting_links.clear();
    }

    fn resource_spans(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<(), Malformed> {
        const RESOURCE: u32 = bytes(1);
        const SCHEMA_URL: u32 = bytes(3);
        let resource = mark(&self.resources);
        self.resources.push(Resource::default());
        // The resource first, wherever it stands: its attributes are one run, and one key set even when it is split.
        let start = mark(&self.resource_attrs);
        keys.begin();
        let mut flaws = Flaws::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                RESOURCE => {
                    let inner = reader.bytes()?;
                    resource_message(inner, keys, limits, &mut self.resource_attrs, &mut flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        strict(flaws)?;
        if let Some(place) = self.resources.get_mut(resource as usize) {
            place.attrs = Run { start, end: mark(&self.resource_attrs) };
        }
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                SCOPE_SPANS => {
                    let inner = reader.bytes()?;
                    self.scope_spans(inner, resource, keys, limits)?;
                }
                SCHEMA_URL => strict_string(&mut reader).map(drop)?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        message: &'a [u8],
        resource: u32,
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<(), Malformed> {
        const SCOPE: u32 = bytes(1);
        const SCHEMA_URL: u32 = bytes(3);
        let before = self.spans.len();
        let index = mark(&self.scopes);
        let mut scope = Scope { resource, ..Scope::default() };
        self.scopes.push(scope);
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                SPAN => {
                    let inner = reader.bytes()?;
                    self.span(inner, index, keys, limits)?;
                }
                SCOPE => {
                    let inner = reader.bytes()?;
                    scope_message(inner, limits, &mut scope)?;
                }
                SCHEMA_URL => strict_string(&mut reader).map(drop)?,
                _ => reader.skip(tag)?,
            }
        }
        if self.spans.len() == before {
            self.scopes.truncate(index as usize);
        } else if let Some(place) = self.scopes.get_mut(index as usize) {
            *place = scope;
        }
        Ok(())
    }

    fn span(
        &mut self,
        message: &'a [u8],
        scope: u32,
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<(), Malformed> {
        const TRACE_ID: u32 = bytes(1);
        const SPAN_ID: u32 = bytes(2);
        const STATE: u32 = bytes(3);
        const PARENT_ID: u32 = bytes(4);
        const NAME: u32 = bytes(5);
        const KIND: u32 = varint(6);
        const START: u32 = fixed64(7);
        const END: u32 = fixed64(8);
        const ATTRIBUTE: u32 = bytes(9);
        const EVENT: u32 = bytes(11);
        const LINK: u32 = bytes(13);
        const STATUS: u32 = bytes(15);

        if message.len() > limits.max_span_bytes {
            self.refusals.note(Reason::TooLarge, &[], &[]);
            return Ok(());
        }
        let (attrs, events, links) = (mark(&self.span_attrs), mark(&self.events), mark(&self.links));
        let inner_attrs = mark(&self.inner_attrs);
        let mut span = Fields::default();
        keys.begin();
        let mut flaws = Flaws::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    attribute(inner, keys, limits, &mut self.span_attrs, &mut flaws)?;
                }
                TRACE_ID => span.trace_id = reader.bytes()?,
                SPAN_ID => span.span_id = reader.bytes()?,
                PARENT_ID => span.parent_id = reader.bytes()?,
                NAME => span.name = string(&mut reader, &mut flaws)?,
                STATE => span.state = string(&mut reader, &mut flaws)?,
                KIND => span.kind = reader.varint()?,
                START => span.start = reader.fixed64()?,
                END => span.end = reader.fixed64()?,
                // Events and links own attributes too, so they wait until the span has all of its own.
                EVENT => self.waiting_events.push(reader.bytes()?),
                LINK => self.waiting_links.push(reader.bytes()?),
                STATUS => {
                    let inner = reader.bytes()?;
                    status(inner, &mut span, &mut flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        let parts = self.waiting_events.len() + self.waiting_links.len();
        let reason = if parts > FREE_PARTS && parts * LEAST_PART_BYTES > message.len() {
            Some(Reason::TooLarge)
        } else {
            self.waiting(keys, limits, &mut flaws)?;
            None
        };
        self.waiting_events.clear();
        self.waiting_links.clear();
        let reason = reason.map_or_else(
            || span.check(flaws, Run { start: links, end: mark(&self.links) }.of(&self.links), limits),
            Err,
        );
        match reason {
            Ok((trace_id, span_id, parent_id)) => self.spans.push(Span {
                scope,
                trace_id,
                span_id,
                parent_id,
                state: span.state,
                name: span.name,
                kind: span.kind,
                start: span.start,
                end: span.end,
                status: span.status,
                status_message: span.status_message,
                attrs: Run { start: attrs, end: mark(&self.span_attrs) },
                events: Run { start: events, end: mark(&self.events) },
                links: Run { start: links, end: mark(&self.links) },
            }),
            Err(reason) => {
                self.refusals.note(reason, span.span_id, span.name);
                self.span_attrs.truncate(attrs as usize);
                self.events.truncate(events as usize);
                self.links.truncate(links as usize);
                self.inner_attrs.truncate(inner_attrs as usize);
            }
        }
        Ok(())
    }

    /// Parses the events and links of the span at hand.
    fn waiting(
        &mut self,
        keys: &mut KeyTable<'a>,
        limits: Limits,
        flaws: &mut Flaws,
    ) -> Result<(), Malformed> {
        for index in 0..self.waiting_events.len() {
            if let Some(message) = self.waiting_events.get(index) {
                self.event(message, keys, limits, flaws)?;
            }
        }
        for index in 0..self.waiting_links.len() {
            if let Some(message) = self.waiting_links.get(index) {
                self.link(message, keys, limits, flaws)?;
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
        flaws: &mut Flaws,
    ) -> Result<(), Malformed> {
        const TIME: u32 = fixed64(1);
        const NAME: u32 = bytes(2);
        const ATTRIBUTE: u32 = bytes(3);
        let start = mark(&self.inner_attrs);
        keys.begin();
        let mut event = Event::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                TIME => event.time = reader.fixed64()?,
                NAME => event.name = string(&mut reader, flaws)?,
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    attribute(inner, keys, limits, &mut self.inner_attrs, flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        // Nothing is decided by an event's time: an absurd one is brought into range instead of costing a span.
        event.time = event.time.min(limits.max_time);
        event.attrs = Run { start, end: mark(&self.inner_attrs) };
        self.events.push(event);
        Ok(())
    }

    fn link(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
        flaws: &mut Flaws,
    ) -> Result<(), Malformed> {
        const TRACE_ID: u32 = bytes(1);
        const SPAN_ID: u32 = bytes(2);
        const STATE: u32 = bytes(3);
        const ATTRIBUTE: u32 = bytes(4);
        let start = mark(&self.inner_attrs);
        keys.begin();
        let mut link = Link::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                TRACE_ID => link.trace_id = reader.bytes()?,
                SPAN_ID => link.span_id = reader.bytes()?,
                STATE => link.state = string(&mut reader, flaws)?,
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    attribute(inner, keys, limits, &mut self.inner_attrs, flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        link.attrs = Run { start, end: mark(&self.inner_attrs) };
        self.links.push(link);
        Ok(())
    }
}

const RESOURCE_SPANS: u32 = bytes(1);
const SCOPE_SPANS: u32 = bytes(2);
const SPAN: u32 = bytes(2);

/// How many spans a body holds, by its frames alone; too few where it is malformed.
pub fn count_spans(message: &[u8]) -> usize {
    let resources = fields(message, RESOURCE_SPANS);
    let scopes = resources.flat_map(|resource| fields(resource, SCOPE_SPANS));
    scopes.map(|scope| fields(scope, SPAN).count()).sum()
}

/// Fields of Resource: attributes = 1, dropped_attributes_count = 2, entity_refs = 3.
fn resource_message<'a>(
    message: &'a [u8],
    keys: &mut KeyTable<'a>,
    limits: Limits,
    attrs: &mut Vec<Attr<'a>>,
    flaws: &mut Flaws,
) -> Result<(), Malformed> {
    const ATTRIBUTE: u32 = bytes(1);
    const ENTITY_REF: u32 = bytes(3);
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            ATTRIBUTE => {
                let inner = reader.bytes()?;
                attribute(inner, keys, limits, attrs, flaws)?;
            }
            ENTITY_REF => {
                let inner = reader.bytes()?;
                entity_ref(inner)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// EntityRef holds only strings (fields 1 to 4), which nobody reads here; they still must be strings.
fn entity_ref(message: &[u8]) -> Result<(), Malformed> {
    const FIRST: u32 = bytes(1);
    const SECOND: u32 = bytes(2);
    const THIRD: u32 = bytes(3);
    const FOURTH: u32 = bytes(4);
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            FIRST | SECOND | THIRD | FOURTH => strict_string(&mut reader).map(drop)?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// Fields of InstrumentationScope: name = 1, version = 2, attributes = 3 (checked, not kept).
fn scope_message<'a>(message: &'a [u8], limits: Limits, scope: &mut Scope<'a>) -> Result<(), Malformed> {
    const NAME: u32 = bytes(1);
    const VERSION: u32 = bytes(2);
    const ATTRIBUTE: u32 = bytes(3);
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            NAME => scope.name = strict_string(&mut reader)?,
            VERSION => scope.version = strict_string(&mut reader)?,
            ATTRIBUTE => {
                let inner = reader.bytes()?;
                let mut flaws = Flaws::default();
                key_value(inner, 0, limits.max_depth, &mut flaws)?;
                strict(flaws)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// Fields of Status: message = 2, code = 3.
fn status<'a>(message: &'a [u8], span: &mut Fields<'a>, flaws: &mut Flaws) -> Result<(), Malformed> {
    const MESSAGE: u32 = bytes(2);
    const CODE: u32 = varint(3);
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            MESSAGE => span.status_message = string(&mut reader, flaws)?,
            CODE => span.status = reader.varint()?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

impl Fields<'_> {
    /// The ids (trace, span, parent), or why the span is refused.
    fn check(
        &self,
        flaws: Flaws,
        links: &[Link<'_>],
        limits: Limits,
    ) -> Result<([u8; 16], u64, u64), Reason> {
        if flaws.too_deep {
            return Err(Reason::TooDeep);
        }
        if flaws.bad_utf8 {
            return Err(Reason::BadUtf8);
        }
        let trace_id = <[u8; 16]>::try_from(self.trace_id).map_err(|_| Reason::BadTraceId)?;
        if trace_id == [0; 16] || links.iter().any(|link| !matches!(link.trace_id.len(), 0 | 16)) {
            return Err(Reason::BadTraceId);
        }
        let id = |bytes: &[u8]| match bytes {
            [] => Ok(0),
            _ => bytes.try_into().map(u64::from_be_bytes).map_err(|_| Reason::BadSpanId),
        };
        let (span_id, parent_id) = (id(self.span_id)?, id(self.parent_id)?);
        if span_id == 0 || links.iter().any(|link| id(link.span_id).is_err()) {
            return Err(Reason::BadSpanId);
        }
        let taken = limits.min_time..=limits.max_time;
        if !taken.contains(&self.start) || !(self.end == 0 || taken.contains(&self.end)) {
            return Err(Reason::BadTime);
        }
        Ok((trace_id, span_id, parent_id))
    }
}

fn strict(flaws: Flaws) -> Result<(), Malformed> {
    match flaws {
        Flaws { bad_utf8: true, .. } => Err(NOT_UTF8),
        Flaws { too_deep: true, .. } => Err(DEEP_SCOPE),
        _ => Ok(()),
    }
}

fn strict_string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let text = reader.bytes()?;
    if is_utf8(text) { Ok(text) } else { Err(NOT_UTF8) }
}

#[inline]
fn string<'a>(reader: &mut Reader<'a>, flaws: &mut Flaws) -> Result<&'a [u8], Malformed> {
    let text = reader.bytes()?;
    flaws.bad_utf8 |= !is_utf8(text);
    Ok(text)
}

/// Parses one KeyValue into `attrs`; an earlier attribute of the same owner and key gets the new value.
#[inline]
fn attribute<'a>(
    message: &'a [u8],
    keys: &mut KeyTable<'a>,
    limits: Limits,
    attrs: &mut Vec<Attr<'a>>,
    flaws: &mut Flaws,
) -> Result<(), Malformed> {
    const KEY: u32 = bytes(1);
    const VALUE: u32 = bytes(2);
    let mut key: &[u8] = &[];
    let mut value = Value::Empty;
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            KEY => key = reader.bytes()?,
            VALUE => {
                let inner = reader.bytes()?;
                value = any_value(inner, 0, limits.max_depth, flaws)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    // A key that was met before is known to be UTF-8; only a new one is checked.
    let Some(id) = keys.id(key) else {
        flaws.bad_utf8 = true;
        return Ok(());
    };
    match keys.claim(id, mark(attrs)).and_then(|earlier| attrs.get_mut(earlier as usize)) {
        Some(earlier) => earlier.value = value,
        None => attrs.push(Attr { key: id, value }),
    }
    Ok(())
}

/// Checks one AnyValue with everything in it and gives its value, nested ones in wire form.
///
/// `depth` counts the arrays and lists around it. What lies deeper than `max_depth` is flagged and not looked at.
fn any_value<'a>(
    message: &'a [u8],
    depth: u32,
    max_depth: u32,
    flaws: &mut Flaws,
) -> Result<Value<'a>, Malformed> {
    let mut value = Value::Empty;
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            STRING => value = Value::Str(string(&mut reader, flaws)?),
            BOOL => value = Value::Bool(reader.varint()? != 0),
            INT => value = Value::Int(reader.varint()? as i64),
            DOUBLE => value = Value::Double(f64::from_bits(reader.fixed64()?)),
            BYTES => value = Value::Bytes(reader.bytes()?),
            ARRAY => {
                let inner = reader.bytes()?;
                nested(inner, depth + 1, max_depth, flaws, any_value)?;
                value = Value::Array(inner);
            }
            KVLIST => {
                let inner = reader.bytes()?;
                nested(inner, depth + 1, max_depth, flaws, key_value)?;
                value = Value::KvList(inner);
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(value)
}

// Fields of AnyValue.
const STRING: u32 = bytes(1);
const BOOL: u32 = varint(2);
const INT: u32 = varint(3);
const DOUBLE: u32 = fixed64(4);
const ARRAY: u32 = bytes(5);
const KVLIST: u32 = bytes(6);
const BYTES: u32 = bytes(7);
/// `values`, the only field of ArrayValue and of KeyValueList.
const VALUES: u32 = bytes(1);

type Check<'a, T> = fn(&'a [u8], u32, u32, &mut Flaws) -> Result<T, Malformed>;

fn nested<'a, T>(
    message: &'a [u8],
    depth: u32,
    max_depth: u32,
    flaws: &mut Flaws,
    check: Check<'a, T>,
) -> Result<(), Malformed> {
    if depth > max_depth {
        flaws.too_deep = true;
        return Ok(());
    }
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            VALUES => {
                let inner = reader.bytes()?;
                check(inner, depth, max_depth, flaws)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// Checks a nested KeyValue.
fn key_value<'a>(
    message: &'a [u8],
    depth: u32,
    max_depth: u32,
    flaws: &mut Flaws,
) -> Result<(&'a [u8], Value<'a>), Malformed> {
    const KEY: u32 = bytes(1);
    const VALUE: u32 = bytes(2);
    let mut key: &[u8] = &[];
    let mut value = Value::Empty;
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            KEY => key = string(&mut reader, flaws)?,
            VALUE => {
                let inner = reader.bytes()?;
                value = any_value(inner, depth, max_depth, flaws)?;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok((key, value))
}

/// The payloads of the fields with this tag. Ends at the first byte that is not as it should be.
fn fields(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || {
        loop {
            let tag = reader.tag().ok()??;
            if tag == wanted {
                return reader.bytes().ok();
            }
            reader.skip(tag).ok()?;
        }
    })
}

/// Elements of a checked ArrayValue. Only the elements' own level is read.
pub fn elements(array: &[u8]) -> impl Iterator<Item = Value<'_>> {
    fields(array, VALUES).map(|message| shallow(message).unwrap_or(Value::Empty))
}

/// Members of a checked KeyValueList, in received order, duplicates included.
pub fn members(list: &[u8]) -> impl Iterator<Item = (&[u8], Value<'_>)> {
    const KEY: u32 = bytes(1);
    const VALUE: u32 = bytes(2);
    fields(list, VALUES).map(|message| {
        let mut key: &[u8] = &[];
        let mut value = Value::Empty;
        let mut reader = Reader::new(message);
        while let Ok(Some(tag)) = reader.tag() {
            let done = match tag {
                KEY => reader.bytes().map(|text| key = text),
                VALUE => reader.bytes().map(|inner| value = shallow(inner).unwrap_or(Value::Empty)),
                _ => reader.skip(tag),
            };
            if done.is_err() {
                break;
            }
        }
        (key, value)
    })
}

/// An AnyValue that was checked before, without descending into it.
fn shallow(message: &[u8]) -> Result<Value<'_>, Malformed> {
    let mut value = Value::Empty;
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            STRING => value = Value::Str(reader.bytes()?),
            BOOL => value = Value::Bool(reader.varint()? != 0),
            INT => value = Value::Int(reader.varint()? as i64),
            DOUBLE => value = Value::Double(f64::from_bits(reader.fixed64()?)),
            BYTES => value = Value::Bytes(reader.bytes()?),
            ARRAY => value = Value::Array(reader.bytes()?),
            KVLIST => value = Value::KvList(reader.bytes()?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(value)
}
