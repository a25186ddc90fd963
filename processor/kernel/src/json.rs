//! JSON as bytes: splitting an array without parsing it, and a canonical form to hash.

use std::borrow::Cow;
use std::ops::Range;

use crate::render::{escape, go_double};

/// Most elements of an array that are contents of their own; a longer array is taken whole. A conversation has some
/// hundreds. Two bytes of `1,` would otherwise become a hash of sixteen.
const MAX_ELEMENTS: usize = 65_536;

/// Deepest nesting that is looked into. Deeper texts are treated as opaque bytes.
pub const MAX_DEPTH: u32 = 128;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// `text` without the white space JSON allows around a value.
pub fn trim(text: &[u8]) -> &[u8] {
    trimmed(text, 0..text.len()).and_then(|range| text.get(range)).unwrap_or_default()
}

/// Finds the elements of a JSON array in its text (trimmed before): the range of each, white space left out.
///
/// This looks at strings, brackets and commas only; what the elements hold is not judged. False (and nothing in
/// `elements`) when the text is not an array by that measure, nests deeper than [`MAX_DEPTH`] or holds more than
/// [`MAX_ELEMENTS`].
pub fn split_array(text: &[u8], elements: &mut Vec<Range<usize>>) -> bool {
    elements.clear();
    let done = split(text, elements).is_some();
    if !done {
        elements.clear();
    }
    done
}

fn split(text: &[u8], elements: &mut Vec<Range<usize>>) -> Option<()> {
    let inside = text.strip_suffix(b"]")?;
    if !inside.starts_with(b"[") {
        return None;
    }
    let mut start = 1;
    let mut at = 1;
    if trim(inside.get(at..)?).is_empty() {
        return Some(());
    }
    // One bit a level: set for an object, clear for an array.
    let mut open = 0u128;
    let mut depth = 1u32;
    while let Some(byte) = inside.get(at) {
        match byte {
            b'"' => at = string_end(inside, at + 1)?.0,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
                open = open << 1 | u128::from(*byte == b'{');
            }
            b'}' | b']' => {
                if depth == 1 || (open & 1 == 1) != (*byte == b'}') {
                    return None;
                }
                depth -= 1;
                open >>= 1;
            }
            b',' if depth == 1 && elements.len() + 1 >= MAX_ELEMENTS => return None,
            b',' if depth == 1 => {
                elements.push(trimmed(inside, start..at)?);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if depth != 1 {
        return None;
    }
    elements.push(trimmed(inside, start..at)?);
    Some(())
}

/// The range without the white space at its ends; none when nothing else is in it.
fn trimmed(text: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let whole = text.get(range.clone())?;
    let start = range.start + whole.iter().position(|byte| !is_space(*byte))?;
    let end = range.start + whole.iter().rposition(|byte| !is_space(*byte))? + 1;
    Some(start..end)
}

/// Where the string whose contents begin at `at` closes (the place of its quote), and whether a backslash comes before.
#[inline]
fn string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    // Keys and short values are over before a vectorised search has begun.
    for _ in 0..8 {
        match text.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// What a node is; a key is a `Str` before its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes.
    Str,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// One value of a parsed text. Nodes stand in reading order, so that what an array or object holds follows it.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    /// The text of a number, or of a string between its quotes.
    start: u32,
    end: u32,
    /// The node after this one and all it holds.
    next: u32,
}

const VOID: Node = Node { kind: Kind::Null, start: 0, end: 0, next: u32::MAX };

/// Room for a parsed text, kept from one to the next.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
}

impl Tape {
    /// Parses a complete JSON text (RFC 8259). None when it is not one, or nests deeper than [`MAX_DEPTH`].
    pub fn parse<'a>(&'a mut self, text: &'a [u8]) -> Option<Json<'a>> {
        u32::try_from(text.len()).ok()?;
        self.nodes.clear();
        let mut parser = Parser { text, at: 0, nodes: &mut self.nodes };
        parser.value(0)?;
        parser.space();
        (parser.at == text.len()).then_some(Json { text, nodes: &self.nodes, at: 0 })
    }
}

/// A value of a parsed text.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: u32,
}

impl<'a> Json<'a> {
    fn node(self) -> Node {
        self.nodes.get(self.at as usize).copied().unwrap_or(VOID)
    }

    fn raw(self) -> &'a [u8] {
        let node = self.node();
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// The value as it came.
    pub fn text(self) -> &'a [u8] {
        let node = self.node();
        match node.kind {
            // Without the quotes a node ends before them.
            Kind::Str | Kind::Escaped => self
                .text
                .get((node.start as usize).saturating_sub(1)..node.end as usize + 1)
                .unwrap_or_default(),
            _ => self.raw(),
        }
    }

    /// The text of a number, `true` or `false`.
    pub fn scalar(self) -> Option<&'a [u8]> {
        matches!(self.node().kind, Kind::Number | Kind::True | Kind::False).then(|| self.raw())
    }

    pub fn is_null(self) -> bool {
        self.node().kind == Kind::Null
    }

    pub fn is_array(self) -> bool {
        self.node().kind == Kind::Array
    }

    /// The decoded text of a string; borrowed exactly when it is written without escapes.
    pub fn string(self) -> Option<Cow<'a, [u8]>> {
        match self.node().kind {
            Kind::Str => Some(Cow::Borrowed(self.raw())),
            Kind::Escaped => Some(Cow::Owned(decode(self.raw()))),
            _ => None,
        }
    }

    /// The values right inside an array, or the keys and values in turn of an object.
    pub fn inside(self) -> impl Iterator<Item = Json<'a>> {
        let node = self.node();
        let mut at = self.at + 1;
        let end = if matches!(node.kind, Kind::Array | Kind::Object) { node.next } else { at };
        std::iter::from_fn(move || {
            let inner = Json { at, ..self };
            (at < end).then(|| {
                at = inner.node().next;
                inner
            })
        })
    }

    /// Keys and values of an object; nothing for other values.
    pub fn members(self) -> impl Iterator<Item = (Json<'a>, Json<'a>)> {
        let is_object = self.node().kind == Kind::Object;
        let mut inside = self.inside();
        std::iter::from_fn(move || if is_object { inside.next().zip(inside.next()) } else { None })
    }

    /// Whether this is the string `text`.
    pub fn is(self, text: &[u8]) -> bool {
        match self.node().kind {
            Kind::Str => self.raw() == text,
            Kind::Escaped => decode(self.raw()) == text,
            _ => false,
        }
    }

    /// The member of an object; the last one when the key is repeated.
    pub fn member(self, key: &[u8]) -> Option<Json<'a>> {
        self.members().filter(|(name, _)| name.is(key)).map(|(_, value)| value).last()
    }

    /// Appends the canonical form: object keys sorted by their bytes, null members dropped, no white space, one way to
    /// write each number and string.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.node().kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::True => out.extend_from_slice(b"true"),
            Kind::False => out.extend_from_slice(b"false"),
            Kind::Number => write_number(self.raw(), out),
            Kind::Str | Kind::Escaped => self.write_string(out),
            Kind::Array => write_array(self.inside(), out, Json::write),
            Kind::Object => write_object(self.members(), out, |_, value, out| value.write(out)),
        }
    }

    fn write_string(self, out: &mut Vec<u8>) {
        out.push(b'"');
        match self.node().kind {
            Kind::Escaped => escape_into(&decode(self.raw()), out),
            _ => out.extend_from_slice(self.raw()),
        }
        out.push(b'"');
    }
}

/// Appends an array of the given elements, each written by `write`.
pub fn write_array<'a>(
    elements: impl Iterator<Item = Json<'a>>,
    out: &mut Vec<u8>,
    write: impl Fn(Json<'a>, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

/// Appends an object of the given members in canonical form, the values written by `write`, which is given the decoded
/// key too. The last of equal keys counts.
pub fn write_object<'a>(
    members: impl Iterator<Item = (Json<'a>, Json<'a>)>,
    out: &mut Vec<u8>,
    write: impl Fn(&[u8], Json<'a>, &mut Vec<u8>),
) {
    write_named(members.map(|(key, value)| (key.string().unwrap_or_default(), value)), out, write);
}

/// As [`write_object`], with keys that need not be those of the text (borrowed ones hold nothing to escape).
pub fn write_named<'a>(
    members: impl Iterator<Item = (Cow<'a, [u8]>, Json<'a>)>,
    out: &mut Vec<u8>,
    write: impl Fn(&[u8], Json<'a>, &mut Vec<u8>),
) {
    let mut sorted = Vec::with_capacity(8);
    sorted.extend(members);
    // Stable, so the last of equal keys is the last received.
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut rest = sorted.iter().peekable();
    let mut first = true;
    out.push(b'{');
    while let Some((key, value)) = rest.next() {
        let repeated = rest.peek().is_some_and(|(next, _)| next == key);
        if repeated || value.is_null() {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.push(b'"');
        match key {
            Cow::Borrowed(plain) => out.extend_from_slice(plain),
            Cow::Owned(decoded) => escape_into(decoded, out),
        }
        out.extend_from_slice(b"\":");
        write(key, *value, out);
    }
    out.push(b'}');
}

fn write_number(digits: &[u8], out: &mut Vec<u8>) {
    if digits == b"-0" {
        out.push(b'0');
        return;
    }
    let is_integer = !digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<f64>().ok());
    match number {
        Some(number) if !is_integer && number.is_finite() => {
            go_double(if number == 0.0 { 0.0 } else { number }, out)
        }
        // Integers of any size stay exact, and so does what no double can hold.
        _ => out.extend_from_slice(digits),
    }
}

/// Appends decoded text with the escapes JSON demands. A lone surrogate, which no UTF-8 can hold, comes out of
/// [`decode`] in its three-byte form and is written as the escape it came as.
fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (index, byte) in text.iter().enumerate() {
        let surrogate = *byte == 0xed && text.get(index + 1).is_some_and(|next| *next >= 0xa0);
        if !(surrogate || matches!(byte, b'"' | b'\\' | 0..0x20)) {
            continue;
        }
        out.extend_from_slice(text.get(plain..index).unwrap_or_default());
        if surrogate {
            let (high, low) = (text.get(index + 1), text.get(index + 2));
            let (high, low) = (high.copied().unwrap_or_default(), low.copied().unwrap_or_default());
            let unit = 0xd000 | u16::from(high & 0x3f) << 6 | u16::from(low & 0x3f);
            out.extend_from_slice(b"\\u");
            crate::render::hex(&unit.to_be_bytes(), out);
            plain = index + 3;
        } else {
            escape(*byte, out);
            plain = index + 1;
        }
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default());
}

/// The text between a string's quotes, escapes resolved.
fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(jump) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        out.extend_from_slice(raw.get(at..at + jump).unwrap_or_default());
        at += jump + 2;
        match raw.get(at - 1) {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'b') => out.push(0x08),
            Some(b'f') => out.push(0x0c),
            Some(b'u') => {
                let mut point = unit(raw, at);
                at += 4;
                if (0xd800..0xdc00).contains(&point) && raw.get(at..at + 2) == Some(b"\\u") {
                    let low = unit(raw, at + 2);
                    if (0xdc00..0xe000).contains(&low) {
                        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
                        at += 6;
                    }
                }
                push_point(point, &mut out);
            }
            Some(other) => out.push(*other),
            None => {}
        }
    }
    out.extend_from_slice(raw.get(at..).unwrap_or_default());
    out
}

/// The four hex digits at `at`; the parser has checked them.
fn unit(raw: &[u8], at: usize) -> u32 {
    let digits = raw.get(at..at + 4).unwrap_or_default();
    digits.iter().fold(0, |sum, digit| sum << 4 | char::from(*digit).to_digit(16).unwrap_or_default())
}

fn push_point(point: u32, out: &mut Vec<u8>) {
    match char::from_u32(point) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        // A lone surrogate: three bytes as UTF-8 would have it, if it allowed that.
        None => out.extend_from_slice(&[
            0xe0 | (point >> 12) as u8,
            0x80 | (point >> 6 & 0x3f) as u8,
            0x80 | (point & 0x3f) as u8,
        ]),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

/// `Some` where parsing can go on.
type Parsed = Option<()>;

impl Parser<'_> {
    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| is_space(*byte)) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space; stays on it.
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.get(self.at).copied()
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        // Offsets fit: `Tape::parse` takes no longer texts.
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }

    fn value(&mut self, depth: u32) -> Parsed {
        match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => None,
            b'{' => self.nested(Kind::Object, b'}', depth),
            b'[' => self.nested(Kind::Array, b']', depth),
            b'"' => self.string(),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Parsed {
        self.text.get(self.at..)?.strip_prefix(word)?;
        self.push(kind, self.at, self.at + word.len());
        self.at += word.len();
        Some(())
    }

    fn nested(&mut self, kind: Kind, close: u8, depth: u32) -> Parsed {
        let own = self.nodes.len();
        self.push(kind, self.at, self.at);
        self.at += 1;
        if self.peek()? == close {
            self.at += 1;
            self.nodes.get_mut(own)?.end = self.at as u32;
            return Some(());
        }
        loop {
            if kind == Kind::Object {
                if self.peek()? != b'"' {
                    return None;
                }
                self.string()?;
                if self.peek()? != b':' {
                    return None;
                }
                self.at += 1;
            }
            self.value(depth + 1)?;
            let next = self.peek()?;
            self.at += 1;
            if next == close {
                break;
            }
            if next != b',' {
                return None;
            }
        }
        let (next, end) = (self.nodes.len() as u32, self.at as u32);
        let node = self.nodes.get_mut(own)?;
        (node.next, node.end) = (next, end);
        Some(())
    }

    /// The string at hand, its escapes checked; none when there is a control character in it.
    fn string(&mut self) -> Parsed {
        let start = self.at + 1;
        let (end, escaped) = string_end(self.text, start)?;
        self.at = end + 1;
        let text = self.text.get(start..end)?;
        // The least byte, because compilers know how to find that many bytes at a time.
        let least = text.iter().fold(u8::MAX, |least, byte| least.min(*byte));
        if least < 0x20 || (escaped && !check_escapes(text)) {
            return None;
        }
        self.push(if escaped { Kind::Escaped } else { Kind::Str }, start, end);
        Some(())
    }

    fn number(&mut self) -> Parsed {
        let size = number_len(self.text.get(self.at..)?)?;
        self.push(Kind::Number, self.at, self.at + size);
        self.at += size;
        Some(())
    }
}

fn check_escapes(raw: &[u8]) -> bool {
    let mut at = 0;
    while let Some(jump) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        at += jump + 2;
        match raw.get(at - 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
            Some(b'u') => {
                let digits = raw.get(at..at + 4).unwrap_or_default();
                if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return false;
                }
                at += 4;
            }
            _ => return false,
        }
    }
    true
}

/// Length of the JSON number at the start of `text`.
fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}
