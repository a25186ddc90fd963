//! Messages that come in log records: what a span was asked and answered, told apart from it.
//!
//! Newer instrumentations send one record a call with all messages, older ones a record a message. Both name the span by
//! its ids.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array, UInt64Array};
use arrow_schema::ArrowError;

use crate::columns::{Dict, Offsets, Strings, hashes, list, timestamps};
use crate::content::{Memory, Owner, Work, take};
use crate::hash::Hash;
use crate::json::{Tape, trim};
use crate::keys::{KeyId, KeyTable};
use crate::logs::Log;
use crate::message::{Piece, Reading};
use crate::otlp::{Attr, Value, members};
use crate::pieces::Cutter;
use crate::render::{as_json, hex};
use crate::rows::{Batch, Contents};
use crate::shapes::Role;

/// The record with all messages of a call, and where they are: attribute, what the content is, and how it is read.
const DETAILS: &[u8] = b"gen_ai.client.inference.operation.details";
const WHOLE: [(&[u8], &str, Reading); 4] = [
    (b"gen_ai.input.messages", "message", Reading::Message(Role::User)),
    (b"gen_ai.output.messages", "message", Reading::Message(Role::Assistant)),
    (b"gen_ai.system_instructions", "system", Reading::Message(Role::System)),
    (b"gen_ai.tool.definitions", "tools", Reading::Value),
];

/// So many of these are lists of messages.
const LISTS: usize = 2;

/// Records of one message: their names, who speaks where that is not said, and whether it is an answer.
const SINGLE: [(&[u8], Role, bool); 5] = [
    (b"gen_ai.system.message", Role::System, false),
    (b"gen_ai.user.message", Role::User, false),
    (b"gen_ai.assistant.message", Role::Assistant, false),
    (b"gen_ai.tool.message", Role::Tool, false),
    (b"gen_ai.choice", Role::Assistant, true),
];

/// An attribute that holds a message as JSON, where the body does not.
const CONTENT: &[u8] = b"gen_ai.event.content";
const EVENT_NAME: &[u8] = b"event.name";

/// The records that hold messages, as growing columns.
pub struct Late {
    requests: Vec<u32>,
    times: Vec<i64>,
    numbers: Vec<u32>,
    trace_ids: Dict,
    span_ids: Strings,
    digests: Vec<u64>,
    /// 1 where a record is one message of several records.
    parts: Vec<u8>,
    lists: [(Offsets, Vec<u8>); LISTS],
    ones: [Vec<u8>; WHOLE.len() - LISTS],
    contents: Contents,
    whole: [Option<KeyId>; WHOLE.len()],
    content: Option<KeyId>,
    event_name: Option<KeyId>,
    work: Work,
    cutter: Cutter,
}

/// Whose a record is: its tenant, request and number in it.
#[derive(Clone, Copy)]
pub struct Place<'o> {
    pub owner: &'o Owner,
    pub request: u32,
    pub number: u32,
}

impl Late {
    pub fn new(keys: &mut KeyTable<'_>) -> Self {
        Self {
            requests: Vec::new(),
            times: Vec::new(),
            numbers: Vec::new(),
            trace_ids: Dict::default(),
            span_ids: Strings::default(),
            digests: Vec::new(),
            parts: Vec::new(),
            lists: Default::default(),
            ones: Default::default(),
            contents: Contents::default(),
            whole: WHOLE.map(|(key, ..)| keys.id(key)),
            content: keys.id(CONTENT),
            event_name: keys.id(EVENT_NAME),
            work: Work::default(),
            cutter: Cutter::default(),
        }
    }

    /// Adds what the record holds, if it is one of these and names its span.
    pub fn add(
        &mut self,
        log: &Log<'_>,
        attrs: &[Attr<'_>],
        keys: &KeyTable<'_>,
        memory: &mut Memory,
        place: Place<'_>,
    ) {
        if log.trace_id.is_empty() || log.span_id.is_empty() {
            return;
        }
        let get = |key: Option<KeyId>| attrs.iter().find(|attr| Some(attr.key) == key).map(|attr| attr.value);
        let told = match get(self.event_name) {
            Some(Value::Str(name)) => name,
            _ => &[],
        };
        let is = |name: &[u8]| name == told || name == log.event_name;
        if is(DETAILS) {
            let whole = self.whole;
            let texts = whole.map(|key| get(key).map(|value| text_of(&value)).unwrap_or_default());
            let [input, output, system, tools] = &texts;
            self.row(log, [input, output, system, tools], None, memory, place);
        } else if let Some((_, role, answers)) = SINGLE.iter().find(|(name, ..)| is(name)) {
            let mut text = Vec::new();
            let name = role.name();
            match (log.body, get(self.content)) {
                (Value::Empty, Some(content)) => one_message(&content, name, *answers, &mut text),
                (Value::Empty, None) => {
                    let told = attrs.iter().map(|attr| (keys.name(attr.key), attr.value));
                    object(told.filter(|(key, _)| !key.contains(&b'.')).collect(), name, *answers, &mut text);
                }
                (body, _) => one_message(&body, name, *answers, &mut text),
            }
            let texts: [&[u8]; 4] = if *answers { [&[], &text, &[], &[]] } else { [&text, &[], &[], &[]] };
            self.row(log, texts, Some(*role), memory, place);
        }
    }

    /// Adds a row unless all texts are empty. The texts are those of one message if it is told who speaks there.
    fn row(
        &mut self,
        log: &Log<'_>,
        texts: [&[u8]; 4],
        single: Option<Role>,
        memory: &mut Memory,
        place: Place<'_>,
    ) {
        let Place { owner, request, number } = place;
        let texts = texts.map(trim);
        if texts.iter().all(|text| text.is_empty()) {
            return;
        }
        let Self { lists, ones, contents, work, cutter, .. } = self;
        let mut named = vec![u8::from(single.is_some())];
        for (index, (text, (_, kind, reading))) in texts.into_iter().zip(WHOLE).enumerate() {
            let reading = single.map_or(reading, Reading::Message);
            let whole = [Piece { range: 0..text.len(), reading }];
            let (text, pieces) = match reading {
                _ if text.is_empty() => (text, &[][..]),
                Reading::Message(role) if index < LISTS && single.is_none() => cutter.cut(text, role),
                _ => (text, &whole[..]),
            };
            work.begin(&[]);
            take(memory, owner, text, pieces, work, false, |found| contents.push(request, kind, &found));
            named.push(u8::try_from(index).unwrap_or(u8::MAX));
            for names in &work.names {
                named.extend_from_slice(&names.raw);
            }
            if let Some((ends, data)) = lists.get_mut(index) {
                work.names.iter().for_each(|names| data.extend_from_slice(&names.raw));
                ends.end(data.len() / size_of::<Hash>());
            } else if let Some(data) = ones.get_mut(index - LISTS) {
                let hash = work.names.first().map_or(Hash::default(), |names| names.raw);
                data.extend_from_slice(&hash);
            }
        }
        self.requests.push(request);
        self.numbers.push(number);
        self.times.push(if log.time == 0 { owner.now_ns } else { log.time as i64 });
        let mut id = Vec::with_capacity(32);
        hex(log.trace_id, &mut id);
        self.trace_ids.push(&id);
        self.span_ids.push_with(|out| hex(log.span_id, out));
        self.digests.push(owner.keyed.hash64(&named));
        self.parts.push(u8::from(single.is_some()));
    }

    /// The batches of messages and of contents.
    pub fn build(self) -> Result<(RecordBatch, RecordBatch), ArrowError> {
        let rows = self.requests.len();
        let [(input_ends, input), (output_ends, output)] = self.lists;
        let [system, tools] = self.ones;
        let columns: [(&str, ArrayRef); 11] = [
            ("request", Arc::new(UInt32Array::from(self.requests))),
            ("trace_id", self.trace_ids.build(None)?),
            ("span_id", Arc::new(self.span_ids.utf8(None))),
            ("at", timestamps(self.times)),
            ("number", Arc::new(UInt32Array::from(self.numbers))),
            ("digest", Arc::new(UInt64Array::from(self.digests))),
            ("is_part", Arc::new(UInt8Array::from(self.parts))),
            ("input_messages", list(input_ends, hashes(input)?)?),
            ("output_messages", list(output_ends, hashes(output)?)?),
            ("system_hash", hashes(system)?),
            ("tools_hash", hashes(tools)?),
        ];
        let mut batch = Batch::default();
        for (name, column) in columns {
            batch.add(name, column, false);
        }
        Ok((batch.build(rows)?, self.contents.build()?))
    }
}

/// JSON text of a value: its own text, or the value written as JSON.
fn text_of<'a>(value: &Value<'a>) -> Cow<'a, [u8]> {
    match value {
        Value::Empty => Cow::Borrowed(&[]),
        Value::Str(text) => Cow::Borrowed(text),
        other => {
            let mut text = Vec::new();
            as_json(other, &mut text);
            Cow::Owned(text)
        }
    }
}

/// Appends a message as a JSON object that says who speaks; nothing when there is none. An answer may be inside a choice.
fn one_message(value: &Value<'_>, role: &[u8], answers: bool, out: &mut Vec<u8>) {
    match value {
        Value::KvList(list) => object(members(list).collect(), role, answers, out),
        Value::Str(text) if trim(text).starts_with(b"{") => {
            let mut tape = Tape::default();
            let Some(whole) = tape.parse(text) else {
                return words(value, role, out);
            };
            let message = if answers { whole.member(b"message") } else { None }.unwrap_or(whole);
            let mut inner = Vec::new();
            message.write(&mut inner);
            if message.member(b"role").is_some() || !inner.starts_with(b"{") {
                out.extend_from_slice(&inner);
                return;
            }
            begin(role, out);
            let rest = inner.get(1..).unwrap_or_default();
            out.extend_from_slice(if rest == b"}" { b"" } else { b"," });
            out.extend_from_slice(rest);
        }
        Value::Empty | Value::Str([]) => {}
        other => words(other, role, out),
    }
}

/// `{"role":"user"`
fn begin(role: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"role\":");
    as_json(&Value::Str(role), out);
}

fn words(value: &Value<'_>, role: &[u8], out: &mut Vec<u8>) {
    begin(role, out);
    out.extend_from_slice(b",\"content\":");
    as_json(value, out);
    out.push(b'}');
}

fn object(told: Vec<(&[u8], Value<'_>)>, role: &[u8], answers: bool, out: &mut Vec<u8>) {
    let inner = told.iter().find(|(key, _)| answers && *key == b"message").map(|(_, value)| *value);
    match inner {
        Some(Value::KvList(list)) => return object(members(list).collect(), role, false, out),
        Some(other @ Value::Str(_)) => return one_message(&other, role, false, out),
        _ => {}
    }
    if told.is_empty() {
        return;
    }
    match told.iter().find(|(key, _)| *key == b"role") {
        Some((_, Value::Str(own))) => begin(own, out),
        _ => begin(role, out),
    }
    for (key, value) in told.iter().filter(|(key, _)| *key != b"role") {
        out.push(b',');
        as_json(&Value::Str(key), out);
        out.push(b':');
        as_json(value, out);
    }
    out.push(b'}');
}
