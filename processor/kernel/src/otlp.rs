//! One `ExportTraceServiceRequest`, walked and checked; what is found is given to a [`SpanSink`].
//!
//! What all OTLP requests have in common (resources, scopes, attributes) is in [`Walk`]; log records: `crate::logs`.
//!
//! [`Body`] is the sink that keeps everything as flat records, which borrow the body's bytes. A body is parsed
//! completely before anything of it is used, so a body refused half way leaves nothing behind. Everything is checked
//! here; later stages cannot fail on a parsed span. Spans that are refused leave only their count: what is held in
//! memory is in proportion to the input, whatever it holds.
//!
//! Where protobuf would merge a repeated singular message, resource, scope and status merge; an AnyValue given twice
//! does not: the last one stands.

use crate::keys::{KeyId, KeyTable};
use crate::paths::{Path, START, UNKNOWN};
use crate::refusal::{Noun, Reason, Refusals};
use crate::text::is_utf8;
use crate::wire::{Malformed, Reader, bytes, fixed64, short, varint};

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

impl Value<'_> {
    /// Whether it is none, or an empty string.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty | Self::Str(b""))
    }
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
    /// From there to the end of the array as it is now.
    pub fn since<T>(start: u32, all: &[T]) -> Self {
        Self { start, end: mark(all) }
    }

    pub fn of<T>(self, all: &[T]) -> &[T] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a run begins: the length of the array before its entries are pushed.
pub fn mark<T>(all: &[T]) -> u32 {
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

/// A span with nothing wrong with it. Its scope and runs are the sink's to fill in.
#[derive(Debug, Clone, Copy, Default)]
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
    /// The sequence of the attributes' keys.
    pub path: Path,
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
pub struct Flaws {
    pub too_deep: bool,
    pub bad_utf8: bool,
    bad_link_trace: bool,
    bad_link_span: bool,
}

/// What attributes belong to: a resource, a scope (of log records only), a span or log record, or an event or link of a
/// span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Resource,
    Scope,
    Record,
    Part,
}

/// Takes what a walk finds, in order: a resource's attributes before its scopes.
pub trait Sink<'a> {
    /// A new owner of attributes; the ones that follow are its own.
    fn begin(&mut self, owner: Owner);
    /// An attribute of the owner begun last; a key given before takes the new value. False when the key is not UTF-8.
    fn attribute(&mut self, owner: Owner, key: &'a [u8], value: Value<'a>) -> bool;
    /// All attributes of the resource have been given.
    fn resource(&mut self, schema_url: &'a [u8]);
}

/// Takes spans: a span's attributes come before its events and links.
pub trait SpanSink<'a>: Sink<'a> {
    fn begin_scope(&mut self);
    fn end_scope(&mut self, name: &'a [u8], version: &'a [u8]);
    /// An event or link of the span at hand, its attributes given before.
    fn event(&mut self, event: Event<'a>);
    fn link(&mut self, link: Link<'a>);
    /// The span at hand is accepted, or refused: then nothing of it is to stay.
    fn span(&mut self, span: Span<'a>);
    fn refused(&mut self);
}

/// What a walk to the end of a body says of it as a whole.
#[derive(Debug)]
pub struct Walked {
    /// Spans, or log records, accepted.
    pub spans: u64,
    pub refusals: Refusals,
    /// Bytes of the resource (and, of log records, scope) attributes that the accepted ones' rows repeat.
    pub resource_bytes: usize,
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

/// Bytes of resource attributes that the rows of a body may repeat, and those of one call. Every span repeats its
/// resource, so without a bound a small request of many spans and one large resource would grow without measure.
pub const MAX_RESOURCE_BYTES: usize = 256 << 20;
/// What a row takes for each attribute of its resource: two dictionary codes.
pub const RESOURCE_ATTRIBUTE_BYTES: usize = 8;

impl<'a> Body<'a> {
    /// Parses `message` in place of what was here before.
    pub fn parse(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<Walked, Malformed> {
        self.clear();
        walk(message, limits, &mut Filling { body: self, keys, at: Marks::default() })
    }

    /// Where attributes of the owner at hand go, where its own begin, and their keys so far.
    #[inline]
    fn of<'b>(&'b mut self, owner: Owner, at: &'b mut Marks) -> (&'b mut Vec<Attr<'a>>, u32, &'b mut Path) {
        match owner {
            Owner::Resource => (&mut self.resource_attrs, at.resource_attrs, &mut at.path),
            Owner::Record => (&mut self.span_attrs, at.span_attrs, &mut at.span_path),
            Owner::Scope | Owner::Part => (&mut self.inner_attrs, at.inner_attrs, &mut at.path),
        }
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
    }
}

/// Where the records at hand begin in the body's arrays.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    resource_attrs: u32,
    scope: u32,
    scope_spans: u32,
    span_attrs: u32,
    events: u32,
    links: u32,
    /// Of the whole span, and of the event or link at hand.
    span_inner_attrs: u32,
    inner_attrs: u32,
    /// The keys so far, of the span and of any other owner.
    span_path: Path,
    path: Path,
}

/// A body being filled.
struct Filling<'b, 'a> {
    body: &'b mut Body<'a>,
    keys: &'b mut KeyTable<'a>,
    at: Marks,
}

impl<'a> Filling<'_, 'a> {
    /// Takes an attribute whose key did not follow the ones before it so far.
    #[cold]
    fn turn(&mut self, owner: Owner, name: &'a [u8], value: Value<'a>) -> bool {
        // A key that was met before is known to be UTF-8; only a new one is checked.
        let Some(key) = self.keys.id(name) else {
            return false;
        };
        let Self { body, keys, at } = self;
        let (attrs, start, path) = body.of(owner, at);
        let own = attrs.get(start as usize..).unwrap_or_default();
        if *path != UNKNOWN {
            let is_new = own.iter().all(|attr| attr.key != key);
            let longer = if is_new { keys.extend(*path, key, value.is_empty()) } else { UNKNOWN };
            *path = longer;
            if longer == UNKNOWN {
                keys.begin();
                for (place, attr) in (start..).zip(own) {
                    keys.claim(attr.key, place);
                }
            }
        }
        let earlier = if *path == UNKNOWN { keys.claim(key, mark(attrs)) } else { None };
        match earlier.and_then(|earlier| attrs.get_mut(earlier as usize)) {
            Some(earlier) => earlier.value = value,
            None => attrs.push(Attr { key, value }),
        }
        true
    }
}

impl<'a> Sink<'a> for Filling<'_, 'a> {
    #[inline]
    fn begin(&mut self, owner: Owner) {
        let Self { body, at, .. } = self;
        at.path = START;
        match owner {
            Owner::Resource => at.resource_attrs = mark(&body.resource_attrs),
            Owner::Scope => {}
            Owner::Record => {
                at.span_path = START;
                at.span_attrs = mark(&body.span_attrs);
                at.events = mark(&body.events);
                at.links = mark(&body.links);
                at.span_inner_attrs = mark(&body.inner_attrs);
            }
            Owner::Part => at.inner_attrs = mark(&body.inner_attrs),
        }
    }

    #[inline]
    fn attribute(&mut self, owner: Owner, key: &'a [u8], value: Value<'a>) -> bool {
        let Self { body, keys, at } = self;
        let (attrs, _, path) = body.of(owner, at);
        match keys.follow(*path, key, value.is_empty()) {
            Some((longer, key)) => {
                *path = longer;
                attrs.push(Attr { key, value });
                true
            }
            None => self.turn(owner, key, value),
        }
    }

    fn resource(&mut self, _: &'a [u8]) {
        let attrs = Run::since(self.at.resource_attrs, &self.body.resource_attrs);
        self.body.resources.push(Resource { attrs });
    }
}

impl<'a> SpanSink<'a> for Filling<'_, 'a> {
    fn begin_scope(&mut self) {
        let Self { body, at, .. } = self;
        (at.scope, at.scope_spans) = (mark(&body.scopes), mark(&body.spans));
        body.scopes.push(Scope { resource: mark(&body.resources).saturating_sub(1), ..Scope::default() });
    }

    fn end_scope(&mut self, name: &'a [u8], version: &'a [u8]) {
        let Self { body, at, .. } = self;
        if mark(&body.spans) == at.scope_spans {
            body.scopes.truncate(at.scope as usize);
        } else if let Some(scope) = body.scopes.get_mut(at.scope as usize) {
            (scope.name, scope.version) = (name, version);
        }
    }

    fn event(&mut self, mut event: Event<'a>) {
        event.attrs = Run::since(self.at.inner_attrs, &self.body.inner_attrs);
        self.body.events.push(event);
    }

    fn link(&mut self, mut link: Link<'a>) {
        link.attrs = Run::since(self.at.inner_attrs, &self.body.inner_attrs);
        self.body.links.push(link);
    }

    #[inline]
    fn span(&mut self, span: Span<'a>) {
        let Self { body, at, .. } = self;
        body.spans.push(Span {
            scope: at.scope,
            attrs: Run::since(at.span_attrs, &body.span_attrs),
            path: at.span_path,
            events: Run::since(at.events, &body.events),
            links: Run::since(at.links, &body.links),
            ..span
        });
    }

    fn refused(&mut self) {
        let Self { body, at, .. } = self;
        body.span_attrs.truncate(at.span_attrs as usize);
        body.events.truncate(at.events as usize);
        body.links.truncate(at.links as usize);
        body.inner_attrs.truncate(at.span_inner_attrs as usize);
    }
}

/// Walks through `message` and gives `sink` what it holds. On an error what was given is void.
pub fn walk<'a>(
    message: &'a [u8],
    limits: Limits,
    sink: &mut impl SpanSink<'a>,
) -> Result<Walked, Malformed> {
    Walk::new(sink, limits, Noun::Span, Walk::scope_spans).request(message)
}

/// The way through a request. `scope` reads a ScopeSpans or its like.
pub struct Walk<'s, 'a, S> {
    pub sink: &'s mut S,
    pub limits: Limits,
    pub found: Walked,
    /// What each row of the resource at hand repeats of it.
    pub row_bytes: usize,
    scope: fn(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    waiting_events: Vec<&'a [u8]>,
    waiting_links: Vec<&'a [u8]>,
}

impl<'s, 'a, S: Sink<'a>> Walk<'s, 'a, S> {
    pub fn new(
        sink: &'s mut S,
        limits: Limits,
        noun: Noun,
        scope: fn(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Self {
        let found = Walked { spans: 0, refusals: Refusals::of(noun), resource_bytes: 0 };
        let (waiting_events, waiting_links) = (Vec::new(), Vec::new());
        Self { sink, limits, found, row_bytes: 0, scope, waiting_events, waiting_links }
    }

    /// Walks to the end of the request.
    pub fn request(mut self, message: &'a [u8]) -> Result<Walked, Malformed> {
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                OF_RESOURCE => {
                    let inner = reader.bytes()?;
                    self.of_resource(inner)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(self.found)
    }

    /// A ResourceSpans or its like.
    fn of_resource(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        const RESOURCE: u32 = bytes(1);
        const SCHEMA_URL: u32 = bytes(3);
        // The resource first, wherever it stands: its attributes are one run, and one key set even when it is split.
        self.sink.begin(Owner::Resource);
        let mut flaws = Flaws::default();
        let mut attributes = 0;
        let mut schema_url: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                RESOURCE => {
                    let inner = reader.bytes()?;
                    attributes += self.resource(inner, &mut flaws)?;
                }
                SCHEMA_URL => schema_url = strict_string(&mut reader)?,
                _ => reader.skip(tag)?,
            }
        }
        strict(flaws)?;
        self.sink.resource(schema_url);
        self.row_bytes = attributes * RESOURCE_ATTRIBUTE_BYTES;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                OF_SCOPE => {
                    let inner = reader.bytes()?;
                    (self.scope)(self, inner)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }

    /// Fields of Resource: attributes = 1, dropped_attributes_count = 2, entity_refs = 3. Returns how many attributes
    /// it has, repeated ones counted again.
    fn resource(&mut self, message: &'a [u8], flaws: &mut Flaws) -> Result<usize, Malformed> {
        const ATTRIBUTE: u32 = bytes(1);
        const ENTITY_REF: u32 = bytes(3);
        let mut attributes = 0;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Resource, inner, flaws)?;
                    attributes += 1;
                }
                ENTITY_REF => {
                    let inner = reader.bytes()?;
                    entity_ref(inner)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(attributes)
    }

    /// Parses one KeyValue.
    #[inline]
    pub fn attribute(&mut self, owner: Owner, message: &'a [u8], flaws: &mut Flaws) -> Result<(), Malformed> {
        const KEY: u32 = bytes(1);
        const VALUE: u32 = bytes(2);
        // As exporters write it: the key, the value, and nothing else.
        if let Some((key, rest)) = short(message, KEY)
            && let Some((inner, [])) = short(rest, VALUE)
        {
            let value = any_value(inner, 0, self.limits.max_depth, flaws)?;
            flaws.bad_utf8 |= !self.sink.attribute(owner, key, value);
            return Ok(());
        }
        let mut key: &[u8] = &[];
        let mut value = Value::Empty;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                KEY => key = reader.bytes()?,
                VALUE => {
                    let inner = reader.bytes()?;
                    value = any_value(inner, 0, self.limits.max_depth, flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        flaws.bad_utf8 |= !self.sink.attribute(owner, key, value);
        Ok(())
    }
}

impl<'a, S: SpanSink<'a>> Walk<'_, 'a, S> {
    fn scope_spans(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        const SCOPE: u32 = bytes(1);
        const SCHEMA_URL: u32 = bytes(3);
        let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
        self.sink.begin_scope();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                RECORD => {
                    let inner = reader.bytes()?;
                    self.span(inner)?;
                }
                SCOPE => {
                    let inner = reader.bytes()?;
                    scope_message(inner, self.limits, &mut name, &mut version)?;
                }
                SCHEMA_URL => strict_string(&mut reader).map(drop)?,
                _ => reader.skip(tag)?,
            }
        }
        self.sink.end_scope(name, version);
        Ok(())
    }

    fn span(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
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

        if message.len() > self.limits.max_span_bytes {
            self.found.refusals.note(Reason::TooLarge, &[], &[]);
            return Ok(());
        }
        self.sink.begin(Owner::Record);
        let mut span = Fields::default();
        let mut flaws = Flaws::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Record, inner, &mut flaws)?;
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
        let crowded = parts > FREE_PARTS && parts * LEAST_PART_BYTES > message.len();
        if !crowded {
            self.parts(&mut flaws)?;
        }
        self.waiting_events.clear();
        self.waiting_links.clear();
        let resource_bytes = self.found.resource_bytes + self.row_bytes;
        let checked = match span.check(flaws, self.limits) {
            _ if crowded => Err(Reason::TooLarge),
            Ok(_) if resource_bytes > MAX_RESOURCE_BYTES => Err(Reason::TooLarge),
            checked => checked,
        };
        match checked {
            Ok(span) => {
                self.found.spans += 1;
                self.found.resource_bytes = resource_bytes;
                self.sink.span(span);
            }
            Err(reason) => {
                self.found.refusals.note(reason, span.span_id, span.name);
                self.sink.refused();
            }
        }
        Ok(())
    }

    /// Parses the events and links of the span at hand.
    fn parts(&mut self, flaws: &mut Flaws) -> Result<(), Malformed> {
        for index in 0..self.waiting_events.len() {
            if let Some(message) = self.waiting_events.get(index) {
                self.event(message, flaws)?;
            }
        }
        for index in 0..self.waiting_links.len() {
            if let Some(message) = self.waiting_links.get(index) {
                self.link(message, flaws)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, message: &'a [u8], flaws: &mut Flaws) -> Result<(), Malformed> {
        const TIME: u32 = fixed64(1);
        const NAME: u32 = bytes(2);
        const ATTRIBUTE: u32 = bytes(3);
        self.sink.begin(Owner::Part);
        let mut event = Event::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                TIME => event.time = reader.fixed64()?,
                NAME => event.name = string(&mut reader, flaws)?,
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Part, inner, flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        // Nothing is decided by an event's time: an absurd one is brought into range instead of costing a span.
        event.time = event.time.min(self.limits.max_time);
        self.sink.event(event);
        Ok(())
    }

    fn link(&mut self, message: &'a [u8], flaws: &mut Flaws) -> Result<(), Malformed> {
        const TRACE_ID: u32 = bytes(1);
        const SPAN_ID: u32 = bytes(2);
        const STATE: u32 = bytes(3);
        const ATTRIBUTE: u32 = bytes(4);
        self.sink.begin(Owner::Part);
        let mut link = Link::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                TRACE_ID => link.trace_id = reader.bytes()?,
                SPAN_ID => link.span_id = reader.bytes()?,
                STATE => link.state = string(&mut reader, flaws)?,
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Part, inner, flaws)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        flaws.bad_link_trace |= !matches!(link.trace_id.len(), 0 | 16);
        flaws.bad_link_span |= !matches!(link.span_id.len(), 0 | 8);
        self.sink.link(link);
        Ok(())
    }
}

/// `resource_spans` of a request, `scope_spans` of these, `spans` of these; log records are framed alike.
const OF_RESOURCE: u32 = bytes(1);
const OF_SCOPE: u32 = bytes(2);
pub const RECORD: u32 = bytes(2);

/// How many spans, or log records, a body holds, by its frames alone; too few where it is malformed.
pub fn count_spans(message: &[u8]) -> usize {
    let resources = fields(message, OF_RESOURCE);
    let scopes = resources.flat_map(|resource| fields(resource, OF_SCOPE));
    scopes.map(|scope| fields(scope, RECORD).count()).sum()
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
fn scope_message<'a>(
    message: &'a [u8],
    limits: Limits,
    name: &mut &'a [u8],
    version: &mut &'a [u8],
) -> Result<(), Malformed> {
    const NAME: u32 = bytes(1);
    const VERSION: u32 = bytes(2);
    const ATTRIBUTE: u32 = bytes(3);
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        match tag {
            NAME => *name = strict_string(&mut reader)?,
            VERSION => *version = strict_string(&mut reader)?,
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

impl<'a> Fields<'a> {
    /// The span, or why it is refused.
    fn check(&self, flaws: Flaws, limits: Limits) -> Result<Span<'a>, Reason> {
        if flaws.too_deep {
            return Err(Reason::TooDeep);
        }
        if flaws.bad_utf8 {
            return Err(Reason::BadUtf8);
        }
        let trace_id = <[u8; 16]>::try_from(self.trace_id).map_err(|_| Reason::BadTraceId)?;
        if trace_id == [0; 16] || flaws.bad_link_trace {
            return Err(Reason::BadTraceId);
        }
        let id = |bytes: &[u8]| match bytes {
            [] => Ok(0),
            _ => bytes.try_into().map(u64::from_be_bytes).map_err(|_| Reason::BadSpanId),
        };
        let (span_id, parent_id) = (id(self.span_id)?, id(self.parent_id)?);
        if span_id == 0 || flaws.bad_link_span {
            return Err(Reason::BadSpanId);
        }
        let taken = limits.min_time..=limits.max_time;
        if !taken.contains(&self.start) || !(self.end == 0 || taken.contains(&self.end)) {
            return Err(Reason::BadTime);
        }
        Ok(Span {
            trace_id,
            span_id,
            parent_id,
            state: self.state,
            name: self.name,
            kind: self.kind,
            start: self.start,
            end: self.end,
            status: self.status,
            status_message: self.status_message,
            ..Span::default()
        })
    }
}

pub fn strict(flaws: Flaws) -> Result<(), Malformed> {
    match flaws {
        Flaws { bad_utf8: true, .. } => Err(NOT_UTF8),
        Flaws { too_deep: true, .. } => Err(DEEP_SCOPE),
        _ => Ok(()),
    }
}

pub fn strict_string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let text = reader.bytes()?;
    if is_utf8(text) { Ok(text) } else { Err(NOT_UTF8) }
}

#[inline]
pub fn string<'a>(reader: &mut Reader<'a>, flaws: &mut Flaws) -> Result<&'a [u8], Malformed> {
    let text = reader.bytes()?;
    flaws.bad_utf8 |= !is_utf8(text);
    Ok(text)
}

/// Checks one AnyValue with everything in it and gives its value, nested ones in wire form.
///
/// `depth` counts the arrays and lists around it. What lies deeper than `max_depth` is flagged and not looked at.
#[inline]
pub fn any_value<'a>(
    message: &'a [u8],
    depth: u32,
    max_depth: u32,
    flaws: &mut Flaws,
) -> Result<Value<'a>, Malformed> {
    match short(message, STRING) {
        Some((text, [])) => {
            flaws.bad_utf8 |= !is_utf8(text);
            Ok(Value::Str(text))
        }
        _ => any_long_value(message, depth, max_depth, flaws),
    }
}

fn any_long_value<'a>(
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
