//! What is taken out of a value on its way into a cell.

use std::borrow::Cow;

use crate::cells::{Cell, coerce, scalar};
use crate::json::{Json, Kind, Tape};
use crate::literal;
use crate::otlp::Value;
use crate::plan::{As, How, Step, Type};
use crate::render::{as_json, as_string};
use crate::text::is_utf8;
use crate::times;

/// Parses the values of a span; the one parsed last is kept, for many columns may be in it.
#[derive(Debug, Default)]
pub struct Extractor<'a> {
    tape: Tape,
    rendered: Vec<u8>,
    /// The text that `tape` is of, and whether it could be read. It lives as long as the call, so that another text
    /// cannot take its place.
    parsed: Option<(&'a [u8], bool)>,
}

impl<'a> Extractor<'a> {
    /// Gives what is at `path` in `value` to `found`; none when nothing is there.
    pub fn at<T>(
        &mut self,
        value: Value<'a>,
        path: &[Step],
        found: impl FnOnce(Value<'_>) -> T,
    ) -> Option<T> {
        self.node(value, path, |node| scalar_of(node, found)).flatten()
    }

    /// Gives the node at `path`, which may be an array or object, to `found`.
    pub fn node<T>(
        &mut self,
        value: Value<'a>,
        path: &[Step],
        found: impl FnOnce(Json<'_>) -> T,
    ) -> Option<T> {
        let root = self.root(value)?;
        let mut found = Some(found);
        let mut result = None;
        reach(root, path, &mut |node| result = found.take().map(|found| found(node)));
        result
    }

    /// The value as JSON: text that is JSON or Python's, or a structured value. Some senders send text as bytes.
    fn root(&mut self, value: Value<'a>) -> Option<Json<'_>> {
        let text = match value {
            Value::Str(text) => text,
            Value::Bytes(text) if is_utf8(text) => text,
            Value::Array(_) | Value::KvList(_) => {
                self.parsed = None;
                self.rendered.clear();
                as_json(&value, &mut self.rendered);
                return self.tape.parse(&self.rendered);
            }
            _ => return None,
        };
        let is_read = match self.parsed {
            Some((last, is_read)) if std::ptr::eq(last, text) => is_read,
            _ => parse(&mut self.tape, text).is_some(),
        };
        self.parsed = Some((text, is_read));
        is_read.then(|| self.tape.root(text))
    }
}

/// Text that is JSON or Python's.
fn parse<'t>(tape: &'t mut Tape, text: &'t [u8]) -> Option<Json<'t>> {
    if tape.parse(text).is_some() { Some(tape.root(text)) } else { literal::parse(tape, text) }
}

/// Goes down `path` from `node`. A string on the way is taken for the text of a value: some senders encode twice. Each
/// is shorter than what it is in, to which its escapes add, so there are few.
fn reach(node: Json<'_>, path: &[Step], found: &mut dyn FnMut(Json<'_>)) {
    let Some((step, rest)) = path.split_first() else {
        return found(node);
    };
    if let Some(text) = node.string() {
        let mut tape = Tape::default();
        if let Some(inner) = parse(&mut tape, &text) {
            reach(inner, path, found);
        }
        return;
    }
    let next = match step {
        Step::Member(key) => node.member(key.as_bytes()),
        Step::Index(_) if !node.is_array() => None,
        Step::Index(index) if *index < 0 => {
            let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            node.inside().count().checked_sub(from_end).and_then(|place| node.inside().nth(place))
        }
        Step::Index(index) => usize::try_from(*index).ok().and_then(|place| node.inside().nth(place)),
    };
    if let Some(next) = next {
        reach(next, rest, found);
    }
}

/// A node as a value: strings decoded, numbers as their digits, the first element of an array.
fn scalar_of<T>(node: Json<'_>, found: impl FnOnce(Value<'_>) -> T) -> Option<T> {
    let node = if node.is_array() { node.inside().next()? } else { node };
    if let Some(text) = node.string() {
        // A lone surrogate, which JSON can write, is no text.
        return is_utf8(&text).then(|| found(Value::Str(&text)));
    }
    Some(found(match node.kind() {
        Kind::True => Value::Bool(true),
        Kind::False => Value::Bool(false),
        Kind::Number => Value::Str(node.raw()),
        _ => return None,
    }))
}

/// The value, after all that `how` asks, as a cell of a column of this type. Text that is made here goes to `scratch`.
pub fn cell<'a>(
    how: &'a How,
    kind: Type,
    value: Value<'a>,
    start_ns: u64,
    extractor: &mut Extractor<'a>,
    scratch: &mut Vec<u8>,
) -> Option<Cell<'a>> {
    let Some(path) = &how.path else {
        return refine(how, kind, value, start_ns);
    };
    extractor.at(value, path, |value| refine(how, kind, value, start_ns).map(|cell| keep(cell, scratch)))?
}

/// The node at the path of `how` as text in `scratch`: a string's own text, JSON as it came.
pub fn content<'a>(
    how: &'a How,
    value: Value<'a>,
    extractor: &mut Extractor<'a>,
    scratch: &mut Vec<u8>,
) -> Option<Cell<'a>> {
    let Some(path) = &how.path else {
        return Some(Cell::Text(value));
    };
    let found = extractor.node(value, path, |node| {
        let text = node.string().filter(|text| is_utf8(text)).unwrap_or(Cow::Borrowed(node.text()));
        (!node.is_null() && !text.is_empty()).then(|| keep(Cell::Text(Value::Str(&text)), scratch))
    });
    found.flatten()
}

fn keep<'a>(cell: Cell<'_>, scratch: &mut Vec<u8>) -> Cell<'a> {
    match cell {
        Cell::U64(number) => Cell::U64(number),
        Cell::I64(number) => Cell::I64(number),
        Cell::F64(number) => Cell::F64(number),
        Cell::Bool(flag) => Cell::Bool(flag),
        Cell::Made { start, end } => Cell::Made { start, end },
        Cell::Gathered => Cell::Gathered,
        Cell::Text(value) => {
            let start = scratch.len();
            as_string(&value, scratch);
            Cell::Made { start, end: scratch.len() }
        }
    }
}

fn refine<'v>(how: &'v How, kind: Type, value: Value<'v>, start_ns: u64) -> Option<Cell<'v>> {
    let mut value = value;
    if let Some(constant) = &how.constant {
        if matches!(value, Value::Str(b"")) {
            return None;
        }
        value = Value::Str(constant);
    }
    if !(how.after.is_empty() && how.before.is_empty()) {
        let Value::Str(text) = value else { return None };
        let text = text.strip_prefix(&how.after[..])?.strip_suffix(&how.before[..])?;
        value = Value::Str(Some(text).filter(|text| !text.is_empty())?);
    }
    if !how.only.is_empty() {
        let mut room = Vec::new();
        let text = plain_text(value, &mut room);
        how.only.iter().find(|wanted| *wanted == text)?;
    }
    if how.reading == Some(As::SinceStart) {
        value = Value::Double(times::since(value, start_ns)?);
    }
    if how.nonzero && !matches!(coerce(Type::F64, value), Some(Cell::F64(number)) if number != 0.0) {
        return None;
    }
    let Some(scale) = how.scale else {
        return coerce(kind, value);
    };
    let Cell::F64(number) = coerce(Type::F64, value)? else { return None };
    let scaled = number * scale;
    let whole = || coerce(kind, Value::Double(scaled.round()));
    if matches!(kind, Type::U64 | Type::I64) { whole() } else { coerce(kind, Value::Double(scaled)) }
}

/// The text of a value that is one, or of the first of an array; empty for others.
pub fn plain_text<'t>(value: Value<'t>, room: &'t mut Vec<u8>) -> &'t [u8] {
    match scalar(value) {
        Some(Value::Str(text)) => text,
        Some(value) => {
            room.clear();
            as_string(&value, room);
            room
        }
        None => &[],
    }
}
