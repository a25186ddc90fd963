//! One `ExportLogsServiceRequest`, walked and checked; what is found is given to a [`LogSink`].
//!
//! [`Body`] is the sink that keeps everything as flat records, as [`crate::otlp::Body`] does for spans.

use crate::keys::KeyTable;
use crate::otlp::{
    Attr, Flaws, Limits, MAX_RESOURCE_BYTES, Owner, RECORD, RESOURCE_ATTRIBUTE_BYTES, Run, Sink, Value, Walk,
    Walked, any_value, mark, strict, strict_string, string,
};
use crate::refusal::{Noun, Reason};
use crate::wire::{Malformed, Reader, bytes, fixed32, fixed64, varint};

/// Takes log records: a scope's attributes come before it, and a scope before its records.
pub trait LogSink<'a>: Sink<'a> {
    fn scope(&mut self, scope: Scope<'a>);
    /// The record at hand, its attributes given before, is accepted, or refused: then nothing of it is to stay.
    fn log(&mut self, log: Log<'a>);
    fn refused(&mut self);
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Resource<'a> {
    pub schema_url: &'a [u8],
    pub attrs: Run,
}

/// A scope; resource and run are the sink's to fill in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    pub resource: u32,
    pub name: &'a [u8],
    pub version: &'a [u8],
    pub schema_url: &'a [u8],
    pub attrs: Run,
}

/// A log record with nothing wrong with it. Its scope and run are the sink's to fill in.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    pub scope: u32,
    /// Its own time, else when it was observed; 0 when it tells neither.
    pub time: u64,
    pub severity: u64,
    pub severity_text: &'a [u8],
    pub flags: u32,
    /// Empty where it has none (all zero counts as none).
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub event_name: &'a [u8],
    pub body: Value<'a>,
    pub attrs: Run,
}

/// Walks through `message` and gives `sink` what it holds. On an error what was given is void.
pub fn walk<'a>(message: &'a [u8], limits: Limits, sink: &mut impl LogSink<'a>) -> Result<Walked, Malformed> {
    Walk::new(sink, limits, Noun::LogRecord, Walk::scope_logs).request(message)
}

impl<'a, S: LogSink<'a>> Walk<'_, 'a, S> {
    /// Fields of ScopeLogs: scope = 1, log_records = 2, schema_url = 3. The scope first, wherever it stands.
    fn scope_logs(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        const SCOPE: u32 = bytes(1);
        const SCHEMA_URL: u32 = bytes(3);
        self.sink.begin(Owner::Scope);
        let mut scope = Scope::default();
        let mut attributes = 0;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                SCOPE => {
                    let inner = reader.bytes()?;
                    attributes += self.scope_message(inner, &mut scope)?;
                }
                SCHEMA_URL => scope.schema_url = strict_string(&mut reader)?,
                _ => reader.skip(tag)?,
            }
        }
        self.sink.scope(scope);
        let row_bytes = self.row_bytes + attributes * RESOURCE_ATTRIBUTE_BYTES;
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                RECORD => {
                    let inner = reader.bytes()?;
                    self.log_record(inner, row_bytes)?;
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }

    /// Fields of InstrumentationScope: name = 1, version = 2, attributes = 3. Returns how many attributes it has,
    /// repeated ones counted again.
    fn scope_message(&mut self, message: &'a [u8], scope: &mut Scope<'a>) -> Result<usize, Malformed> {
        const NAME: u32 = bytes(1);
        const VERSION: u32 = bytes(2);
        const ATTRIBUTE: u32 = bytes(3);
        let mut attributes = 0;
        let mut flaws = Flaws::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                NAME => scope.name = strict_string(&mut reader)?,
                VERSION => scope.version = strict_string(&mut reader)?,
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Scope, inner, &mut flaws)?;
                    attributes += 1;
                }
                _ => reader.skip(tag)?,
            }
        }
        strict(flaws)?;
        Ok(attributes)
    }

    fn log_record(&mut self, message: &'a [u8], row_bytes: usize) -> Result<(), Malformed> {
        const TIME: u32 = fixed64(1);
        const SEVERITY: u32 = varint(2);
        const SEVERITY_TEXT: u32 = bytes(3);
        const BODY: u32 = bytes(5);
        const ATTRIBUTE: u32 = bytes(6);
        const FLAGS: u32 = fixed32(8);
        const TRACE_ID: u32 = bytes(9);
        const SPAN_ID: u32 = bytes(10);
        const OBSERVED: u32 = fixed64(11);
        const EVENT_NAME: u32 = bytes(12);

        if message.len() > self.limits.max_span_bytes {
            self.found.refusals.note(Reason::TooLarge, &[], &[]);
            return Ok(());
        }
        self.sink.begin(Owner::Record);
        let mut log = Log::default();
        let mut observed = 0;
        let mut flaws = Flaws::default();
        let mut reader = Reader::new(message);
        while let Some(tag) = reader.tag()? {
            match tag {
                ATTRIBUTE => {
                    let inner = reader.bytes()?;
                    self.attribute(Owner::Record, inner, &mut flaws)?;
                }
                TIME => log.time = reader.fixed64()?,
                OBSERVED => observed = reader.fixed64()?,
                SEVERITY => log.severity = reader.varint()?,
                SEVERITY_TEXT => log.severity_text = string(&mut reader, &mut flaws)?,
                BODY => {
                    let inner = reader.bytes()?;
                    log.body = any_value(inner, 0, self.limits.max_depth, &mut flaws)?;
                }
                FLAGS => log.flags = reader.fixed32()?,
                TRACE_ID => log.trace_id = reader.bytes()?,
                SPAN_ID => log.span_id = reader.bytes()?,
                EVENT_NAME => log.event_name = string(&mut reader, &mut flaws)?,
                _ => reader.skip(tag)?,
            }
        }
        if log.time == 0 {
            log.time = observed;
        }
        let resource_bytes = self.found.resource_bytes + row_bytes;
        let checked = match log.check(flaws, self.limits) {
            Ok(_) if resource_bytes > MAX_RESOURCE_BYTES => Err(Reason::TooLarge),
            checked => checked,
        };
        match checked {
            Ok(checked) => {
                self.found.spans += 1;
                self.found.resource_bytes = resource_bytes;
                self.sink.log(checked);
            }
            Err(reason) => {
                self.found.refusals.note(reason, log.span_id, log.event_name);
                self.sink.refused();
            }
        }
        Ok(())
    }
}

impl Default for Log<'_> {
    fn default() -> Self {
        Self {
            scope: 0,
            time: 0,
            severity: 0,
            severity_text: &[],
            flags: 0,
            trace_id: &[],
            span_id: &[],
            event_name: &[],
            body: Value::Empty,
            attrs: Run::default(),
        }
    }
}

impl Log<'_> {
    /// The record, or why it is refused.
    fn check(self, flaws: Flaws, limits: Limits) -> Result<Self, Reason> {
        if flaws.too_deep {
            return Err(Reason::TooDeep);
        }
        if flaws.bad_utf8 {
            return Err(Reason::BadUtf8);
        }
        if !matches!(self.trace_id.len(), 0 | 16) {
            return Err(Reason::BadTraceId);
        }
        if !matches!(self.span_id.len(), 0 | 8) {
            return Err(Reason::BadSpanId);
        }
        if self.time != 0 && !(limits.min_time..=limits.max_time).contains(&self.time) {
            return Err(Reason::BadTime);
        }
        Ok(Self { trace_id: unless_zero(self.trace_id), span_id: unless_zero(self.span_id), ..self })
    }
}

fn unless_zero(id: &[u8]) -> &[u8] {
    if id.iter().all(|byte| *byte == 0) { &[] } else { id }
}

/// The parsed body. Reused from body to body so that its arrays keep their capacity.
#[derive(Debug, Default)]
pub struct Body<'a> {
    pub resources: Vec<Resource<'a>>,
    pub scopes: Vec<Scope<'a>>,
    pub logs: Vec<Log<'a>>,
    pub resource_attrs: Vec<Attr<'a>>,
    pub scope_attrs: Vec<Attr<'a>>,
    pub log_attrs: Vec<Attr<'a>>,
}

impl<'a> Body<'a> {
    /// Parses `message` in place of what was here before.
    pub fn parse(
        &mut self,
        message: &'a [u8],
        keys: &mut KeyTable<'a>,
        limits: Limits,
    ) -> Result<Walked, Malformed> {
        self.resources.clear();
        self.scopes.clear();
        self.logs.clear();
        self.resource_attrs.clear();
        self.scope_attrs.clear();
        self.log_attrs.clear();
        walk(message, limits, &mut Filling { body: self, keys, start: 0 })
    }
}

/// A body being filled; `start` is where the attributes of the owner at hand begin.
struct Filling<'b, 'a> {
    body: &'b mut Body<'a>,
    keys: &'b mut KeyTable<'a>,
    start: u32,
}

impl<'a> Filling<'_, 'a> {
    fn attrs(&mut self, owner: Owner) -> &mut Vec<Attr<'a>> {
        match owner {
            Owner::Resource => &mut self.body.resource_attrs,
            Owner::Scope => &mut self.body.scope_attrs,
            Owner::Record | Owner::Part => &mut self.body.log_attrs,
        }
    }
}

impl<'a> Sink<'a> for Filling<'_, 'a> {
    fn begin(&mut self, owner: Owner) {
        self.keys.begin();
        self.start = mark(self.attrs(owner));
    }

    fn attribute(&mut self, owner: Owner, key: &'a [u8], value: Value<'a>) -> bool {
        let Some(key) = self.keys.id(key) else {
            return false;
        };
        let place = mark(self.attrs(owner));
        let earlier = self.keys.claim(key, place);
        let attrs = self.attrs(owner);
        match earlier.and_then(|earlier| attrs.get_mut(earlier as usize)) {
            Some(earlier) => earlier.value = value,
            None => attrs.push(Attr { key, value }),
        }
        true
    }

    fn resource(&mut self, schema_url: &'a [u8]) {
        let attrs = Run::since(self.start, &self.body.resource_attrs);
        self.body.resources.push(Resource { schema_url, attrs });
    }
}

impl<'a> LogSink<'a> for Filling<'_, 'a> {
    fn scope(&mut self, scope: Scope<'a>) {
        let attrs = Run::since(self.start, &self.body.scope_attrs);
        let resource = mark(&self.body.resources).saturating_sub(1);
        self.body.scopes.push(Scope { resource, attrs, ..scope });
    }

    fn log(&mut self, log: Log<'a>) {
        let attrs = Run::since(self.start, &self.body.log_attrs);
        let scope = mark(&self.body.scopes).saturating_sub(1);
        self.body.logs.push(Log { scope, attrs, ..log });
    }

    fn refused(&mut self) {
        self.body.log_attrs.truncate(self.start as usize);
    }
}
