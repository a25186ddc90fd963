//! Log records of coding agents as spans.
//!
//! Some agents tell of their model calls, tools and approvals in log records only. Each such record becomes a span of an
//! `ExportTraceServiceRequest`, which then goes the way of all requests. What a dialect's records are called, and which
//! of their attributes tell one from another, is in its [`Rules`]. Ids are hashes of these attributes: a record that
//! comes again becomes the same span again, which is then known as a duplicate, in whatever request it comes.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cells::{Cell, coerce};
use crate::hash::Keyed;
use crate::keys::{KeyId, KeyTable};
use crate::logs::{Body, Log, Scope};
use crate::otlp::{Attr, Value};
use crate::plan::{Plan, Type};
use crate::render::as_string;
use crate::wire::{bytes, fixed64, varint};

/// Bytes of spans that one call makes at most; records beyond it stay log records only. With the bodies of spans that are
/// decoded beside them they stay within [`crate::decode::MAX_CALL_BYTES`].
pub const MAX_MADE_BYTES: usize = 128 << 20;

/// Names the event of a log record, where the field of that name does not.
const EVENT_NAME: &[u8] = b"event.name";
/// Marks a span that was made of a log record.
const FROM_LOG: &[u8] = b"clew.from_log";
/// Ids need not be secret: what they are made of is in the span.
const ID_KEY: &[u8; 16] = b"clew log records";

/// What the log records of one dialect become.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    name: String,
    /// Before the names of its events; the span's name has it in any case.
    prefix: String,
    /// Scopes whose events are its own even without the prefix.
    #[serde(default)]
    scopes: Vec<String>,
    /// Whether a record that has a trace and span of its own stays there, below that span.
    #[serde(default)]
    joins: bool,
    /// What makes the trace of others: the first of these of which all attributes are there.
    traces: Vec<Trace>,
    /// The attribute with the milliseconds until the record's time.
    #[serde(default)]
    duration_ms: Option<String>,
    /// The attribute that is false when it failed, and those with the text about it.
    #[serde(default)]
    success: Option<String>,
    #[serde(default)]
    messages: Vec<String>,
    /// By name without the prefix; other events become nothing.
    events: BTreeMap<String, Event>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    keys: Vec<String>,
    /// The event, once for each trace, below which the others are.
    #[serde(default)]
    root: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// Attributes that tell it from others of its name and trace: the first list of which all are there. Else its time
    /// and all attributes do.
    #[serde(default)]
    ids: Vec<Vec<String>>,
    /// It becomes a span only with these attributes.
    #[serde(default)]
    needs: Vec<String>,
    /// It tells of a failure.
    #[serde(default)]
    failed: bool,
}

/// The rules of a plan with their keys as numbers of one call.
pub struct Transcoder<'a> {
    dialects: Vec<Dialect<'a>>,
    event_name: Option<KeyId>,
    ids: Keyed,
    room: usize,
    /// Reused: what is hashed, a rendered value, the span at hand.
    parts: Vec<u8>,
    text: Vec<u8>,
    span: Vec<u8>,
}

struct Dialect<'a> {
    rules: &'a Rules,
    traces: Vec<(Vec<KeyId>, Option<&'a str>)>,
    duration_ms: Option<KeyId>,
    success: Option<KeyId>,
    messages: Vec<KeyId>,
    events: BTreeMap<&'a [u8], Known<'a>>,
}

struct Known<'a> {
    name: &'a str,
    ids: Vec<Vec<KeyId>>,
    needs: Vec<KeyId>,
    failed: bool,
}

/// The attributes of one record.
#[derive(Clone, Copy)]
struct Attrs<'r, 'a>(&'r [Attr<'a>]);

impl<'a> Attrs<'_, 'a> {
    fn get(self, key: KeyId) -> Option<Value<'a>> {
        self.0.iter().find(|attr| attr.key == key).map(|attr| attr.value)
    }

    /// Whether it is there and not empty.
    fn has(self, key: KeyId) -> bool {
        !matches!(self.get(key), None | Some(Value::Empty | Value::Str([]) | Value::Bytes([])))
    }

    fn has_all(self, keys: &[KeyId]) -> bool {
        keys.iter().all(|key| self.has(*key))
    }
}

impl<'a> Transcoder<'a> {
    pub fn new(plan: &'a Plan, keys: &mut KeyTable<'a>) -> Self {
        let mut number = |name: &'a String| keys.id(name.as_bytes()).unwrap_or(KeyId::MAX);
        let mut all = |names: &'a [String]| names.iter().map(&mut number).collect::<Vec<_>>();
        let mut dialects = Vec::with_capacity(plan.logs.len());
        for rules in &plan.logs {
            let known = |(name, event): (&'a String, &'a Event)| {
                let ids = event.ids.iter().map(|names| all(names)).collect();
                let needs = all(&event.needs);
                (name.as_bytes(), Known { name, ids, needs, failed: event.failed })
            };
            let events = rules.events.iter().map(known).collect();
            let traces = rules.traces.iter().map(|trace| (all(&trace.keys), trace.root.as_deref())).collect();
            let mut one = |name: &'a Option<String>| all(name.as_slice()).first().copied();
            dialects.push(Dialect {
                rules,
                traces,
                duration_ms: one(&rules.duration_ms),
                success: one(&rules.success),
                messages: all(&rules.messages),
                events,
            });
        }
        let event_name = keys.id(EVENT_NAME);
        let (parts, text, span) = Default::default();
        Self { dialects, event_name, ids: Keyed::new(ID_KEY), room: MAX_MADE_BYTES, parts, text, span }
    }

    /// The spans that the records of a body become, as an `ExportTraceServiceRequest`; nothing when there are none.
    pub fn spans(&mut self, body: &Body<'a>, keys: &KeyTable<'a>, now_ns: i64) -> Option<Vec<u8>> {
        if self.dialects.is_empty() {
            return None;
        }
        let mut made = Request::default();
        for log in &body.logs {
            let scope = body.scopes.get(log.scope as usize).copied().unwrap_or_default();
            let attrs = Attrs(log.attrs.of(&body.log_attrs));
            if !self.span(log, &scope, attrs, keys, now_ns) {
                continue;
            }
            let Some(room) = self.room.checked_sub(self.span.len()) else {
                continue;
            };
            self.room = room;
            if made.at != Some((log.scope, scope.resource)) {
                made.turn_to(body, log.scope, &scope, keys);
            }
            message(SPAN, &self.span, &mut made.scope);
        }
        made.finished()
    }

    /// Writes what the record becomes; false when it becomes nothing.
    fn span(
        &mut self,
        log: &Log<'a>,
        scope: &Scope<'a>,
        attrs: Attrs<'_, 'a>,
        keys: &KeyTable<'a>,
        now_ns: i64,
    ) -> bool {
        let Self { dialects, event_name, ids, parts, text, span, .. } = self;
        let own_name = match event_name.and_then(|key| attrs.get(key)) {
            Some(Value::Str(name)) => name,
            _ => &[],
        };
        let names = [own_name, log.event_name, if let Value::Str(body) = log.body { body } else { &[] }];
        let found = dialects.iter().find_map(|dialect| Some((dialect, dialect.event(names, scope.name)?)));
        let Some((dialect, event)) = found.filter(|(_, event)| attrs.has_all(&event.needs)) else {
            return false;
        };
        let joins = dialect.rules.joins && !log.trace_id.is_empty();
        let mut id = Id { ids, parts, text };
        let (trace_id, root) = if joins {
            (log.trace_id.try_into().unwrap_or_default(), None)
        } else {
            let Some((of, root)) = dialect.traces.iter().find(|(keys, _)| attrs.has_all(keys)) else {
                return false;
            };
            id.begin(dialect.rules, b"trace");
            id.values(attrs, of);
            (id.hash(), *root)
        };
        let parent: [u8; 8] = match root {
            _ if joins => log.span_id.try_into().unwrap_or_default(),
            Some(root) if root != event.name => id.span(dialect.rules, &trace_id, root, |_| {}),
            _ => [0; 8],
        };
        let span_id = id.span(dialect.rules, &trace_id, event.name, |id| {
            if root == Some(event.name) {
                return;
            }
            match event.ids.iter().find(|keys| attrs.has_all(keys)) {
                Some(keys) => id.values(attrs, keys),
                None => id.everything(log, attrs, keys),
            }
        });
        let end = if log.time == 0 { u64::try_from(now_ns).unwrap_or(0) } else { log.time };
        let took = dialect.duration_ms.and_then(|key| nanoseconds(attrs.get(key)?)).unwrap_or(0);
        let told = dialect.success.and_then(|key| coerce(Type::Bool, attrs.get(key)?));
        let failed = event.failed || matches!(told, Some(Cell::Bool(false)));

        span.clear();
        message(bytes(1), &trace_id, span);
        message(bytes(2), &span_id, span);
        if parent != [0; 8] {
            message(bytes(4), &parent, span);
        }
        text.clear();
        text.extend_from_slice(dialect.rules.prefix.as_bytes());
        text.extend_from_slice(event.name.as_bytes());
        message(bytes(5), text, span);
        number(varint(6), INTERNAL, span);
        time(fixed64(7), end.saturating_sub(took), span);
        time(fixed64(8), end, span);
        for attr in attrs.0 {
            attribute(bytes(9), keys.name(attr.key), &attr.value, span);
        }
        if own_name.is_empty() {
            attribute(bytes(9), EVENT_NAME, &Value::Str(text), span);
        }
        attribute(bytes(9), FROM_LOG, &Value::Bool(true), span);
        if failed {
            text.clear();
            if let Some(key) = dialect.messages.iter().find(|key| attrs.has(**key)) {
                attrs.get(*key).iter().for_each(|value| as_string(value, text));
            }
            let mut status = Vec::new();
            message(bytes(2), text, &mut status);
            number(varint(3), ERROR, &mut status);
            message(bytes(15), &status, span);
        }
        true
    }
}

impl<'a> Dialect<'a> {
    /// The event that a record of these names in this scope tells of.
    fn event(&self, names: [&[u8]; 3], scope: &[u8]) -> Option<&Known<'a>> {
        let prefix = self.rules.prefix.as_bytes();
        let bare = names.iter().find_map(|name| name.strip_prefix(prefix)).or_else(|| {
            let is_own = self.rules.scopes.iter().any(|own| own.as_bytes() == scope);
            names.into_iter().find(|name| is_own && !name.is_empty())
        });
        self.events.get(bare?)
    }
}

/// An id being made.
struct Id<'t> {
    ids: &'t Keyed,
    parts: &'t mut Vec<u8>,
    text: &'t mut Vec<u8>,
}

impl<'a> Id<'_> {
    fn begin(&mut self, rules: &Rules, what: &[u8]) {
        self.parts.clear();
        self.part(what);
        self.part(rules.name.as_bytes());
    }

    /// Parts are told apart by their lengths.
    fn part(&mut self, part: &[u8]) {
        self.parts.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.parts.extend_from_slice(part);
    }

    fn value(&mut self, value: &Value<'_>) {
        let mut text = std::mem::take(self.text);
        text.clear();
        as_string(value, &mut text);
        self.part(&text);
        *self.text = text;
    }

    fn values(&mut self, attrs: Attrs<'_, 'a>, keys: &[KeyId]) {
        for key in keys {
            self.value(&attrs.get(*key).unwrap_or(Value::Empty));
        }
    }

    /// All that tells a record from others.
    fn everything(&mut self, log: &Log<'_>, attrs: Attrs<'_, 'a>, keys: &KeyTable<'_>) {
        self.part(&log.time.to_le_bytes());
        for attr in attrs.0 {
            self.part(keys.name(attr.key));
            self.value(&attr.value);
        }
    }

    fn hash(&self) -> [u8; 16] {
        self.ids.hash128(self.parts)
    }

    /// The id of an event's span; `more` adds what tells it from others of its name.
    fn span(
        &mut self,
        rules: &Rules,
        trace_id: &[u8; 16],
        event: &str,
        more: impl FnOnce(&mut Self),
    ) -> [u8; 8] {
        self.begin(rules, b"span");
        self.part(trace_id);
        self.part(event.as_bytes());
        more(self);
        self.ids.hash64(self.parts).to_le_bytes()
    }
}

/// Nothing an agent does takes longer: 30 days.
const LONGEST_MS: f64 = 30.0 * 86_400e3;

/// Milliseconds as whole nanoseconds; none when it is no length of time.
fn nanoseconds(value: Value<'_>) -> Option<u64> {
    match coerce(Type::F64, value) {
        Some(Cell::F64(time)) if (0.0..=LONGEST_MS).contains(&time) => Some((time * 1e6) as u64),
        _ => None,
    }
}

/// A request being written: finished parts go from the scope into its resource, and from there into the request.
#[derive(Default)]
struct Request {
    request: Vec<u8>,
    resource: Vec<u8>,
    scope: Vec<u8>,
    /// The scope, and its resource, of the spans at hand.
    at: Option<(u32, u32)>,
}

impl Request {
    fn turn_to(&mut self, body: &Body<'_>, index: u32, scope: &Scope<'_>, keys: &KeyTable<'_>) {
        self.end_scope();
        if self.at.is_none_or(|(_, resource)| resource != scope.resource) {
            self.end_resource();
            let resource = body.resources.get(scope.resource as usize).copied().unwrap_or_default();
            let mut attrs = Vec::new();
            for attr in resource.attrs.of(&body.resource_attrs) {
                attribute(bytes(1), keys.name(attr.key), &attr.value, &mut attrs);
            }
            message(bytes(1), &attrs, &mut self.resource);
        }
        let mut head = Vec::new();
        message(bytes(1), scope.name, &mut head);
        message(bytes(2), scope.version, &mut head);
        message(bytes(1), &head, &mut self.scope);
        self.at = Some((index, scope.resource));
    }

    fn end_scope(&mut self) {
        if !self.scope.is_empty() {
            message(bytes(2), &self.scope, &mut self.resource);
            self.scope.clear();
        }
    }

    fn end_resource(&mut self) {
        if !self.resource.is_empty() {
            message(bytes(1), &self.resource, &mut self.request);
            self.resource.clear();
        }
    }

    fn finished(mut self) -> Option<Vec<u8>> {
        self.end_scope();
        self.end_resource();
        (!self.request.is_empty()).then_some(self.request)
    }
}

/// `spans` of ScopeSpans; a span's kind, and its status code.
const SPAN: u32 = bytes(2);
const INTERNAL: u64 = 1;
const ERROR: u64 = 2;

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn message(tag: u32, payload: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(tag), out);
    put_varint(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

fn number(tag: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(tag), out);
    put_varint(value, out);
}

fn time(tag: u32, nanoseconds: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(tag), out);
    out.extend_from_slice(&nanoseconds.to_le_bytes());
}

/// Appends a KeyValue. Arrays and lists go as they came.
fn attribute(tag: u32, key: &[u8], value: &Value<'_>, out: &mut Vec<u8>) {
    let mut pair = Vec::with_capacity(key.len() + 32);
    message(bytes(1), key, &mut pair);
    let mut any = Vec::new();
    match value {
        Value::Empty => {}
        Value::Str(text) => message(bytes(1), text, &mut any),
        Value::Bool(flag) => number(varint(2), u64::from(*flag), &mut any),
        Value::Int(whole) => number(varint(3), *whole as u64, &mut any),
        Value::Double(real) => time(fixed64(4), real.to_bits(), &mut any),
        Value::Array(array) => message(bytes(5), array, &mut any),
        Value::KvList(list) => message(bytes(6), list, &mut any),
        Value::Bytes(data) => message(bytes(7), data, &mut any),
    }
    message(bytes(2), &any, &mut pair);
    message(tag, &pair, out);
}
