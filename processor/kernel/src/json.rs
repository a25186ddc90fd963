//! JSON as bytes: splitting an array without parsing it, and a canonical form to hash.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use crate::render::{escape, go_double};
use crate::scan::{end_of_plain, quote_or_backslash, special};

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

/// The same for the elements that come after `count` others, of which the last ends at `end`.
pub fn split_array_on(text: &[u8], end: usize, count: usize, elements: &mut Vec<Range<usize>>) -> bool {
    elements.clear();
    let inside = text.strip_suffix(b"]").unwrap_or_default();
    let at = after_space(inside, end);
    let done = match inside.get(at) {
        None => at == inside.len(),
        Some(b',') => count < MAX_ELEMENTS && split_from(inside, at + 1, count, elements).is_some(),
        Some(_) => false,
    };
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
    if trim(inside.get(1..)?).is_empty() {
        return Some(());
    }
    split_from(inside, 1, 0, elements)
}

/// Splits what comes from `start` on, `count` elements being there before.
fn split_from(inside: &[u8], mut start: usize, count: usize, elements: &mut Vec<Range<usize>>) -> Option<()> {
    let mut at = start;
    // One bit a level: set for an object, clear for an array.
    let mut open = 0u128;
    let mut depth = 1u32;
    while let Some(byte) = inside.get(at) {
        match byte {
            b'"' => at = string_end(inside, at + 1)?,
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
            b',' if depth == 1 && count + elements.len() + 1 >= MAX_ELEMENTS => return None,
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

/// Finds the members of a JSON object in its text (trimmed before), by strings, brackets and commas only, as
/// [`split_array`] does: gives each key, as written between its quotes, with the range of its value, until `found` says
/// that this will do. None when the text up to there is not an object by that measure.
pub fn split_object<'t>(text: &'t [u8], mut found: impl FnMut(&'t [u8], Range<usize>) -> bool) -> Option<()> {
    let inside = text.strip_suffix(b"}")?;
    if !inside.starts_with(b"{") {
        return None;
    }
    let mut at = after_space(inside, 1);
    if at == inside.len() {
        return Some(());
    }
    loop {
        if inside.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = string_end(inside, at + 1)?;
        let key = inside.get(at + 1..key_end)?;
        at = after_space(inside, key_end + 1);
        if inside.get(at) != Some(&b':') {
            return None;
        }
        let start = after_space(inside, at + 1);
        let end = value_end(inside, start)?;
        if found(key, start..end) {
            return Some(());
        }
        at = after_space(inside, end);
        match inside.get(at) {
            None => return Some(()),
            Some(b',') => at = after_space(inside, at + 1),
            Some(_) => return None,
        }
    }
}

fn after_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

/// Where the value that starts at `at` ends.
fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => return string_end(text, at + 1).map(|end| end + 1),
        b'{' | b'[' => {}
        _ => {
            let rest = text.get(at..)?;
            let size = rest.iter().position(|byte| is_space(*byte) || matches!(byte, b',' | b'}' | b']'));
            return Some(at + size.unwrap_or(rest.len())).filter(|end| *end > at);
        }
    }
    // One bit a level, as in `split`.
    let (mut open, mut depth) = (0u128, 0u32);
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at + 1)?,
            byte @ (b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
                open = open << 1 | u128::from(*byte == b'{');
            }
            byte @ (b'}' | b']') => {
                if (open & 1 == 1) != (*byte == b'}') {
                    return None;
                }
                depth -= 1;
                open >>= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the string whose contents begin at `at` closes: the place of its quote.
#[inline]
pub fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = quote_or_backslash(text, at)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// What a node is; a key is a `Str` before its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes.
    Str,
    /// A string whose text is not written as JSON would write it: with escapes, or in other quotes.
    Escaped,
    Array,
    Object,
}

/// One value of a parsed text. Nodes stand in reading order, so that what an array or object holds follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub kind: Kind,
    /// The text of a number, or of a string between its quotes.
    pub start: u32,
    pub end: u32,
    /// The node after this one and all it holds.
    pub next: u32,
}

const VOID: Node = Node { kind: Kind::Null, start: 0, end: 0, next: u32::MAX };

/// Room for a parsed text, kept from one to the next.
#[derive(Debug, Default)]
pub struct Tape {
    pub(crate) nodes: Vec<Node>,
}

/// Most nodes of a tape that is kept: 1 MiB of them.
const KEPT_NODES: usize = 1 << 16;

/// Tapes to parse with, one inside the other.
#[derive(Default)]
pub struct Tapes {
    free: Cell<Vec<Tape>>,
}

impl std::fmt::Debug for Tapes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tapes")
    }
}

/// A way to parse: [`Tape::parse`], or the lenient one of [`crate::literal`].
pub type Parse = for<'t> fn(&'t mut Tape, &'t [u8]) -> Option<Json<'t>>;

impl Tapes {
    /// Parses `text` with a tape of its own and gives what comes out to `found`, which may parse again.
    pub fn with<R>(&self, parse: Parse, text: &[u8], found: impl FnOnce(Json<'_>) -> R) -> Option<R> {
        let mut free = self.free.take();
        let mut tape = free.pop().unwrap_or_default();
        self.free.set(free);
        let result = parse(&mut tape, text).map(found);
        if tape.nodes.capacity() <= KEPT_NODES {
            let mut free = self.free.take();
            free.push(tape);
            self.free.set(free);
        }
        result
    }
}

impl Tape {
    /// Parses a complete JSON text (RFC 8259). None when it is not one, or nests deeper than [`MAX_DEPTH`].
    pub fn parse<'a>(&'a mut self, text: &'a [u8]) -> Option<Json<'a>> {
        u32::try_from(text.len()).ok()?;
        self.nodes.clear();
        let mut parser = Parser { text, at: 0, nodes: &mut self.nodes };
        parser.value(0)?;
        parser.space();
        (parser.at == text.len()).then(|| self.root(text))
    }

    /// The root of `text`, which was parsed last, and could be.
    pub(crate) fn root<'a>(&'a self, text: &'a [u8]) -> Json<'a> {
        Json { text, nodes: &self.nodes, at: 0 }
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
    /// Where this value stands in its text, for [`Json::placed`].
    pub(crate) fn place(self) -> u32 {
        self.at
    }

    /// The value of this text that stands there.
    pub(crate) fn placed(self, place: u32) -> Self {
        Self { at: place, ..self }
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    fn node(self) -> Node {
        self.nodes.get(self.at as usize).copied().unwrap_or(VOID)
    }

    /// The text of a number; of a string, what is between its quotes.
    pub(crate) fn raw(self) -> &'a [u8] {
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

    pub fn is_null(self) -> bool {
        self.node().kind == Kind::Null
    }

    pub fn is_array(self) -> bool {
        self.node().kind == Kind::Array
    }

    pub fn is_object(self) -> bool {
        self.node().kind == Kind::Object
    }

    pub fn is_string(self) -> bool {
        matches!(self.node().kind, Kind::Str | Kind::Escaped)
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

    /// The members the canonical form keeps: sorted by key, the last of equal keys, nulls left out.
    pub fn kept(self) -> Vec<(Cow<'a, [u8]>, Json<'a>)> {
        let members = self.members().map(|(key, value)| (key.string().unwrap_or_default(), value));
        let mut kept: Vec<_> = members.collect();
        // Stable, so the last of equal keys is the last received.
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept.reverse();
        kept.dedup_by(|later, first| later.0 == first.0);
        kept.reverse();
        kept.retain(|(_, value)| !value.is_null());
        kept
    }

    /// Appends the canonical form: object keys sorted by their bytes, null members dropped, no white space, one way to
    /// write each number and string.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.node().kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::True => out.extend_from_slice(b"true"),
            Kind::False => out.extend_from_slice(b"false"),
            Kind::Number => write_number(self.raw(), out),
            Kind::Str | Kind::Escaped => {
                self.write_string(out);
            }
            Kind::Array => {
                out.push(b'[');
                for (index, element) in self.inside().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Kind::Object => self.write_object(out),
        }
    }

    fn write_object(self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (key, value)) in self.kept().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match key {
                // Written without escapes, it needs none.
                Cow::Borrowed(plain) => {
                    out.push(b'"');
                    out.extend_from_slice(plain);
                    out.push(b'"');
                }
                Cow::Owned(decoded) => write_text(decoded, out),
            }
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }

    /// Appends a string in canonical form and returns the size of its decoded text; nothing for what is no string.
    pub fn write_string(self, out: &mut Vec<u8>) -> usize {
        match self.string() {
            Some(Cow::Borrowed(plain)) => {
                out.push(b'"');
                out.extend_from_slice(plain);
                out.push(b'"');
                plain.len()
            }
            Some(Cow::Owned(decoded)) => {
                write_text(&decoded, out);
                decoded.len()
            }
            None => 0,
        }
    }
}

/// Appends decoded text as a JSON string.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_into(text, out);
    out.push(b'"');
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
    const FIRST: u8 = 0xed; // of a surrogate, and of some letters
    let mut plain = 0;
    let mut at = special::<FIRST>(text, 0);
    while let Some(byte) = text.get(at) {
        if *byte != FIRST {
            out.extend_from_slice(text.get(plain..at).unwrap_or_default());
            escape(*byte, out);
            plain = at + 1;
        } else if let Some([high @ 0xa0..=0xbf, low @ 0x80..=0xbf]) = text.get(at + 1..at + 3) {
            out.extend_from_slice(text.get(plain..at).unwrap_or_default());
            let unit = 0xd000 | u16::from(high & 0x3f) << 6 | u16::from(low & 0x3f);
            out.extend_from_slice(b"\\u");
            crate::render::hex(&unit.to_be_bytes(), out);
            plain = at + 3;
        }
        at = special::<FIRST>(text, plain.max(at + 1));
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
            // These two are Python's; JSON's parser has refused them.
            Some(b'x') => {
                push_point(hex_number(raw, at, 2), &mut out);
                at += 2;
            }
            Some(b'U') => {
                push_point(hex_number(raw, at, 8), &mut out);
                at += 8;
            }
            Some(b'u') => {
                let mut point = hex_number(raw, at, 4);
                at += 4;
                if (0xd800..0xdc00).contains(&point) && raw.get(at..at + 2) == Some(b"\\u") {
                    let low = hex_number(raw, at + 2, 4);
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

/// The number of `size` hex digits at `at`; the parser has checked them.
fn hex_number(raw: &[u8], at: usize, size: usize) -> u32 {
    let digits = raw.get(at..at + size).unwrap_or_default();
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
        let mut kind = Kind::Str;
        let mut at = end_of_plain(self.text, start)?;
        while self.text.get(at) == Some(&b'\\') {
            kind = Kind::Escaped;
            at += 1 + escape_len(self.text.get(at + 1..)?)?;
            at = end_of_plain(self.text, at)?;
        }
        self.push(kind, start, at);
        self.at = at + 1;
        Some(())
    }

    fn number(&mut self) -> Parsed {
        let size = number_len(self.text.get(self.at..)?)?;
        self.push(Kind::Number, self.at, self.at + size);
        self.at += size;
        Some(())
    }
}

/// Length of the escape at the start of `text`, which comes after its backslash.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(1),
        [b'u', digits @ ..] => digits.get(..4)?.iter().all(u8::is_ascii_hexdigit).then_some(5),
        _ => None,
    }
}

/// Length of the JSON number at the start of `text`.
pub(crate) fn number_len(text: &[u8]) -> Option<usize> {
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
