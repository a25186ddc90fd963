//! The canonical form of contents, whose hash is their canonical hash: the same for the same message in every shape.
//!
//! A message is `{"parts":[...],"role":"..."}` with parts as the OpenTelemetry conventions have them:
//!
//! - `{"content":"...","type":"text"}`, and so `reasoning` and `refusal`; empty ones are left out
//! - `{"arguments":...,"id":"...","name":"...","type":"tool_call"}`
//! - `{"id":"...","response":...,"type":"tool_call_response"}`
//! - `{"content":"base64","type":"blob"}`, `{"type":"uri","uri":"..."}`, `{"file_id":"...","type":"file"}`
//! - anything else as it is, in canonical JSON
//!
//! The canonical form of a canonical form is itself.

use std::ops::Range;

use crate::json::{Json, Kind, Parse, Tape, Tapes, trim, write_text};
use crate::literal;
use crate::marks;
use crate::shapes::{self, Call, Part, Role, Said, Speaker};

/// How a content is brought to its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// A message in any known shape, of this role where it does not say. Plain text is a message too.
    Message(Role),
    /// Words, whatever they look like: a message of one text.
    Words(Role),
    /// A value such as the arguments of a tool call: canonical JSON. What is no object or array is a string.
    Value,
    /// A value a tool gave back: as [`Reading::Value`], taken out of what it may be wrapped in.
    Answer,
}

/// One content in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub range: Range<usize>,
    pub reading: Reading,
}

/// What is learned of a content on the way to its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Who speaks; nobody in particular in what is no message.
    pub role: Role,
    /// Whether the role is the content's own, and not what it was taken for.
    pub said: bool,
    /// Bytes of text it has for a model to read: words, names and arguments of calls, answers; media count nothing.
    pub bytes: u32,
    /// Whether it calls tools.
    pub calls: bool,
}

/// One tool call of a message: name and id where it has them, and where in the message's canonical form that of its
/// arguments is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    pub name: Option<Box<[u8]>>,
    pub id: Option<Box<[u8]>>,
    pub arguments: Option<Range<usize>>,
}

/// Appends the content's canonical form to `out`, and the tool calls in it to `calls`.
pub fn canonical(
    text: &[u8],
    reading: Reading,
    tapes: &Tapes,
    out: &mut Vec<u8>,
    calls: &mut Vec<Called>,
) -> Facts {
    let text = trim(text);
    let start = out.len();
    let mut value = |is_answer, role| {
        let bytes = write_value(text, is_answer, tapes, out);
        Facts { role, said: false, bytes: size(stood_for(bytes, out, start)), calls: false }
    };
    match reading {
        Reading::Value => value(false, Role::User),
        Reading::Answer => value(true, Role::Tool),
        Reading::Words(role) | Reading::Message(role) => {
            let mut writer = Writer::begin(tapes, out, calls);
            let read = match reading {
                Reading::Message(_) => read(text, role, tapes, &mut |part| writer.part(part)),
                _ => None,
            };
            match read {
                Some(said) => writer.end(said, role),
                None => {
                    writer.words(text, role);
                    writer.end(None, role)
                }
            }
        }
    }
}

/// The size of what was written from `start` on, with what marks stand for in place of the marks.
fn stood_for(bytes: usize, out: &[u8], start: usize) -> usize {
    match marks::beyond(out.get(start..).unwrap_or_default()) {
        0 => bytes,
        more => bytes.saturating_add_signed(isize::try_from(more).unwrap_or(0)),
    }
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Reads a text that is JSON or looks like Python's; none for other texts.
fn read(
    text: &[u8],
    role: Role,
    tapes: &Tapes,
    found: &mut dyn FnMut(Part<'_>),
) -> Option<Option<Speaker<'static>>> {
    let mut whole = |value: Json<'_>| {
        let inside = shapes::opened(value, tapes, |inner| {
            (shapes::is_message(inner) || shapes::are_parts(inner))
                .then(|| shapes::read(inner, role, tapes, found))
        });
        inside.flatten().unwrap_or_else(|| shapes::read(value, role, tapes, found))
    };
    tapes.with(Tape::parse, text, &mut whole).or_else(|| tapes.with(parse_python(text)?, text, &mut whole))
}

/// How to parse a text that is not JSON; none where that is of no use.
fn parse_python(text: &[u8]) -> Option<Parse> {
    literal::is_likely(text).then_some(literal::parse)
}

/// Writes a message.
struct Writer<'w> {
    tapes: &'w Tapes,
    out: &'w mut Vec<u8>,
    calls: &'w mut Vec<Called>,
    parts: usize,
    bytes: usize,
    asks: bool,
}

impl<'w> Writer<'w> {
    fn begin(tapes: &'w Tapes, out: &'w mut Vec<u8>, calls: &'w mut Vec<Called>) -> Self {
        out.extend_from_slice(b"{\"parts\":[");
        Self { tapes, out, calls, parts: 0, bytes: 0, asks: false }
    }

    fn end(self, said: Option<Speaker<'_>>, role: Role) -> Facts {
        let Self { out, bytes, asks: calls, .. } = self;
        out.extend_from_slice(b"],\"role\":");
        let known = match &said {
            Some(Speaker::Named(name)) => {
                write_text(name, out);
                role
            }
            Some(Speaker::Known(role)) => {
                write_text(role.name(), out);
                *role
            }
            None => {
                write_text(role.name(), out);
                role
            }
        };
        out.push(b'}');
        Facts { role: known, said: said.is_some(), bytes: size(bytes), calls }
    }

    /// A text that is no JSON.
    fn words(&mut self, text: &[u8], role: Role) {
        let words = Said::Text(text);
        if role == Role::Tool {
            self.part(Part::Answer { id: None, response: Some(words) });
        } else if !text.is_empty() {
            self.part(Part::Text(words));
        }
    }

    fn part(&mut self, part: Part<'_>) {
        if self.parts > 0 {
            self.out.push(b',');
        }
        self.parts += 1;
        let out = &mut *self.out;
        let start = out.len();
        let bytes = match part {
            Part::Text(words) => write_worded(b"text", words, out),
            Part::Reasoning(words) => write_worded(b"reasoning", words, out),
            Part::Refusal(words) => write_worded(b"refusal", words, out),
            Part::Call(call) => {
                self.asks = true;
                let (bytes, arguments) = write_call(&call, self.tapes, out);
                let [name, id] = [call.name, call.id].map(|text| text.as_deref().map(Box::from));
                self.calls.push(Called { name, id, arguments });
                bytes
            }
            Part::Answer { id, response } => write_answer(id.as_deref(), response, self.tapes, out),
            Part::Blob(data) => {
                write_worded(b"blob", data, out);
                0
            }
            Part::Uri(address) => {
                out.extend_from_slice(b"{\"type\":\"uri\",\"uri\":");
                write_said(address, out);
                out.push(b'}');
                0
            }
            Part::File(id) => {
                out.extend_from_slice(b"{\"file_id\":");
                write_said(id, out);
                out.extend_from_slice(b",\"type\":\"file\"}");
                0
            }
            Part::Other(value) => {
                value.write(out);
                out.len() - start
            }
        };
        self.bytes += if bytes > 0 { stood_for(bytes, out, start) } else { 0 };
    }
}

fn write_worded(kind: &[u8], words: Said<'_>, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"{\"content\":");
    let size = write_said(words, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\"}");
    size
}

/// Appends words as a JSON string and returns their size.
fn write_said(words: Said<'_>, out: &mut Vec<u8>) -> usize {
    match words {
        Said::Json(json) => json.write_string(out),
        Said::Text(text) => {
            write_text(text, out);
            text.len()
        }
    }
}

/// Appends a call, and returns the size of its texts and where its arguments are.
fn write_call(call: &Call<'_>, tapes: &Tapes, out: &mut Vec<u8>) -> (usize, Option<Range<usize>>) {
    out.push(b'{');
    let mut bytes = call.name.as_deref().unwrap_or_default().len();
    let arguments = call.arguments.map(|value| {
        out.extend_from_slice(b"\"arguments\":");
        let start = out.len();
        bytes += settle(value, false, tapes, out);
        start..out.len()
    });
    if arguments.is_some() {
        out.push(b',');
    }
    for (key, value) in [(&b"\"id\":"[..], &call.id), (b"\"name\":", &call.name)] {
        if let Some(value) = value {
            out.extend_from_slice(key);
            write_text(value, out);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"type\":\"tool_call\"}");
    (bytes, arguments)
}

fn write_answer(id: Option<&[u8]>, response: Option<Said<'_>>, tapes: &Tapes, out: &mut Vec<u8>) -> usize {
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        write_text(id, out);
        out.push(b',');
    }
    let mut bytes = 0;
    if let Some(response) = response {
        out.extend_from_slice(b"\"response\":");
        bytes = match response {
            Said::Json(json) => settle(json, true, tapes, out),
            Said::Text(text) => settle_text(text, true, tapes, out),
        };
        out.push(b',');
    }
    out.extend_from_slice(b"\"type\":\"tool_call_response\"}");
    bytes
}

/// Appends the canonical form of a value's text, which may be JSON, Python's or plain, and returns its size.
fn write_value(text: &[u8], is_answer: bool, tapes: &Tapes, out: &mut Vec<u8>) -> usize {
    let json = tapes.with(Tape::parse, text, |value| settle(value, is_answer, tapes, out));
    json.unwrap_or_else(|| settle_text(text, is_answer, tapes, out))
}

/// Appends the canonical form of a value: objects and arrays as they are, those encoded in a string too, all else as a
/// string. Dialects differ in whether a number is one or its text.
fn settle(value: Json<'_>, is_answer: bool, tapes: &Tapes, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    match value.kind() {
        Kind::Str | Kind::Escaped => {
            return settle_text(&value.string().unwrap_or_default(), is_answer, tapes, out);
        }
        Kind::Number | Kind::True | Kind::False => {
            out.push(b'"');
            value.write(out);
            out.push(b'"');
            return out.len() - start - 2;
        }
        Kind::Array | Kind::Object if is_answer => {
            if let Some(inner) = unwrapped(value) {
                return settle(inner, true, tapes, out);
            }
            value.write(out);
        }
        Kind::Array | Kind::Object | Kind::Null => value.write(out),
    }
    out.len() - start
}

fn settle_text(text: &[u8], is_answer: bool, tapes: &Tapes, out: &mut Vec<u8>) -> usize {
    let inside = trim(text);
    let encoded = parse_python(inside).and_then(|python| {
        let json = tapes.with(Tape::parse, inside, |value| settle(value, is_answer, tapes, out));
        json.or_else(|| tapes.with(python, inside, |value| settle(value, is_answer, tapes, out)))
    });
    encoded.unwrap_or_else(|| {
        write_text(text, out);
        text.len()
    })
}

/// What a tool gave back, where this is only its wrapping: a list of one text, `{"result": ...}`, `{"type": "json",
/// "value": ...}` (Vercel AI), `[{"json": ...}]` (Bedrock), a text part.
fn unwrapped(value: Json<'_>) -> Option<Json<'_>> {
    if value.is_array() {
        let mut inside = value.inside();
        let (only, None) = (inside.next()?, inside.next()) else { return None };
        return match &only.kept()[..] {
            [(key, inner)] if matches!(&key[..], b"json" | b"text") => Some(*inner),
            _ => shapes::text_of(only),
        };
    }
    if !value
        .members()
        .any(|(key, _)| [&b"result"[..], b"output", b"value", b"text"].iter().any(|word| key.is(word)))
    {
        return None;
    }
    match &value.kept()[..] {
        [(key, inner)] if matches!(&key[..], b"result" | b"output") => Some(*inner),
        [(kind, _), (key, inner)] if kind[..] == *b"type" && key[..] == *b"value" => Some(*inner),
        _ => shapes::text_of(value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::pieces::Cutter;

    fn form(text: &[u8], reading: Reading) -> (Vec<u8>, Facts) {
        let (mut out, mut calls) = (Vec::new(), Vec::new());
        let facts = canonical(text, reading, &Tapes::default(), &mut out, &mut calls);
        assert_eq!(facts.calls, !calls.is_empty());
        (out, facts)
    }

    fn shown(text: &str, reading: Reading) -> String {
        String::from_utf8(form(text.as_bytes(), reading).0).unwrap()
    }

    const USER: Reading = Reading::Message(Role::User);

    #[test]
    fn words_are_words_whatever_they_look_like() {
        let text = r#" {"role":"assistant","content":"x"} "#;
        assert_eq!(shown(text, USER), r#"{"parts":[{"content":"x","type":"text"}],"role":"assistant"}"#);
        assert_eq!(
            shown(text, Reading::Words(Role::Assistant)),
            r#"{"parts":[{"content":"{\"role\":\"assistant\",\"content\":\"x\"}","type":"text"}],"role":"assistant"}"#
        );
        assert_eq!(shown("  ", Reading::Words(Role::User)), r#"{"parts":[],"role":"user"}"#);
    }

    #[test]
    fn results_are_taken_out_of_their_wrapping_and_arguments_are_not() {
        let text = r#"{"result": "21"}"#;
        assert_eq!(shown(text, Reading::Answer), r#""21""#);
        assert_eq!(shown(text, Reading::Value), r#"{"result":"21"}"#);
        for text in ["21", "\"21\"", "{'output': 21}", r#"[{"type":"text","text":"21"}]"#] {
            assert_eq!(shown(text, Reading::Answer), r#""21""#, "{text}");
        }
    }

    #[test]
    fn facts_tell_who_speaks_whether_that_is_said_and_how_much() {
        let facts = |text: &str, reading| form(text.as_bytes(), reading).1;
        let of = |role, said, bytes, calls| Facts { role, said, bytes, calls };
        assert_eq!(facts("hello", USER), of(Role::User, false, 5, false));
        assert_eq!(facts("hello", Reading::Words(Role::System)), of(Role::System, false, 5, false));
        assert_eq!(facts(r#"{"role":"system","content":"a\nb"}"#, USER), of(Role::System, true, 3, false));
        assert_eq!(facts(r#"{"role":"critic","content":"abc"}"#, USER), of(Role::User, true, 3, false));
        let call = r#"{"type":"tool_call","id":"1","name":"f","arguments":{"a": 1}}"#;
        assert_eq!(facts(call, USER), of(Role::Assistant, true, 8, true));
        assert_eq!(facts(r#"{"a": 1}"#, Reading::Value), of(Role::User, false, 7, false));
    }

    #[test]
    fn lengths_are_those_of_the_texts_that_marks_stand_for() {
        let hashed = format!("<HASHED:1000 bytes:{}>", "0a".repeat(16));
        let message = format!(r#"{{"role":"user","parts":[{{"type":"text","content":"{hashed}"}}]}}"#);
        assert_eq!(form(message.as_bytes(), USER).1.bytes, 1000);
        let call = format!(r#"{{"type":"tool_call","id":"1","name":"f","arguments":"{hashed}"}}"#);
        assert_eq!(form(call.as_bytes(), USER).1.bytes, 1001);
        for reading in [Reading::Value, Reading::Answer, USER, Reading::Message(Role::Tool)] {
            assert_eq!(form(hashed.as_bytes(), reading).1.bytes, 1000, "{reading:?}");
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }

        fn of<'w>(&mut self, words: &[&'w str]) -> &'w str {
            words[self.below(words.len())]
        }

        /// A value made of the words of all shapes: nearly a message.
        fn value(&mut self, depth: u32) -> String {
            let kind = if depth == 0 { self.below(3) } else { self.below(9) };
            match kind {
                0 => self
                    .of(&["null", "true", "0", "-1.5", "\"\"", "\"\\u00e9\\n\"", "\"\\ud800\""])
                    .to_owned(),
                1 | 2 => format!("\"{}\"", self.of(WORDS)),
                3 => serde_json::to_string(&self.value(depth - 1)).unwrap(),
                4 | 5 => {
                    let values: Vec<_> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                    format!("[{}]", values.join(","))
                }
                _ => {
                    let members: Vec<_> = (0..self.below(5))
                        .map(|_| format!("\"{}\":{}", self.of(KEYS), self.value(depth - 1)))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }
            }
        }
    }

    const WORDS: &[&str] = &[
        "system",
        "user",
        "assistant",
        "tool",
        "human",
        "function",
        "text",
        "tool_call",
        "tool_use",
        "tool-result",
        "tool_call_response",
        "function_call",
        "reasoning",
        "thinking",
        "refusal",
        "image",
        "blob",
        "uri",
        "file",
        "message",
        "AIMessage",
        "gen_ai.choice",
        "gen_ai.tool.message",
        "data:x,y",
        "https://x",
        "[]",
        "json",
        "x",
        "{'role': 'tool', 'content': 'x'}",
        "ChatMessage(role='ai', content='x')",
        "unknown",
    ];
    const KEYS: &[&str] = &[
        "role",
        "type",
        "content",
        "contents",
        "parts",
        "blocks",
        "message",
        "messages",
        "data",
        "kwargs",
        "id",
        "tool_calls",
        "function_call",
        "additional_kwargs",
        "function",
        "name",
        "arguments",
        "input",
        "toolCallId",
        "toolName",
        "tool_call_id",
        "output",
        "result",
        "response",
        "value",
        "text",
        "thought",
        "reasoning",
        "summary",
        "refusal",
        "functionCall",
        "functionResponse",
        "toolUse",
        "toolResult",
        "json",
        "tool_call",
        "tool_call_result",
        "message_content",
        "inlineData",
        "source",
        "image",
        "url",
        "uri",
        "file_id",
        "event.name",
        "prompt",
        "choices",
        "config",
        "system",
        "other",
        "r\\u006fle",
        "call_id",
        "message.role",
        "lc",
        "args",
    ];

    #[test]
    fn calls_are_told_with_the_canonical_form_of_their_arguments() {
        let text = concat!(
            r#"[{"type":"text","text":"x"},{"type":"tool_use","id":"1","name":"f","input":{"b": 1, "a": null}},"#,
            r#"{"type":"tool_use","name":"g","input":"{\"a\": 2}"},{"type":"tool_use","id":"3"}]"#
        );
        let (mut out, mut calls) = (b"before".to_vec(), Vec::new());
        canonical(text.as_bytes(), USER, &Tapes::default(), &mut out, &mut calls);
        let text =
            |text: &Option<Box<[u8]>>| text.as_deref().map(|text| str::from_utf8(text).unwrap().to_owned());
        let told: Vec<_> = calls
            .iter()
            .map(|call| (text(&call.name), text(&call.id), call.arguments.clone().map(|place| &out[place])))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                (some("f"), some("1"), Some(&br#"{"b":1}"#[..])),
                (some("g"), None, Some(br#"{"a":2}"#)),
                (None, some("3"), None),
            ]
        );
    }

    #[test]
    fn a_canonical_form_is_its_own() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut called = 0;
        for round in 0..20_000 {
            let text = random.value(4);
            for reading in [USER, Reading::Message(Role::Tool), Reading::Value, Reading::Answer] {
                let (once, facts) = form(text.as_bytes(), reading);
                let (twice, _) = form(&once, reading);
                assert_eq!(once, twice, "round {round}: {text}");
                called += usize::from(facts.calls);
            }
        }
        assert!(called > 100);
    }

    #[test]
    fn pieces_are_in_the_text_in_order_or_one_is_the_whole() {
        let mut random = Random(7);
        let mut cutter = Cutter::default();
        for round in 0..20_000 {
            let mut text = random.value(4).into_bytes();
            if random.below(3) == 0 && !text.is_empty() {
                // Not JSON any more.
                let at = random.below(text.len());
                text[at] = b"{}[]\",:\\ x"[random.below(10)];
            }
            let (whole, pieces) = cutter.cut(trim(&text), Role::User);
            let mut end = 0;
            for piece in pieces {
                // System instructions come first, wherever they stand.
                assert!(piece.range.start >= end || piece.reading != USER, "round {round}");
                assert!(piece.range.end <= whole.len());
                end = if piece.reading == USER { piece.range.end } else { 0 };
                form(&whole[piece.range.clone()], piece.reading);
            }
        }
    }
}
