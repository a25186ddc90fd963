//! The two shapes of content whose inside the kernel knows: chat messages and tool call arguments.
//!
//! A message is an object with `role` and `parts`; a part has a `type`, and one of type `tool_call` has `name`, `id`
//! and `arguments`. These names are the OpenTelemetry message form; dialects are brought to it elsewhere.

use std::borrow::Cow;

use crate::json::{Json, Tape, trim, write_array, write_named, write_object};

/// Room to parse in: a text, and the text encoded inside it.
#[derive(Debug, Default)]
pub struct Tapes {
    outer: Tape,
    inner: Tape,
}

impl Tapes {
    /// Gives the value a text holds to `found`. A text that is a string which itself holds an object or array is taken
    /// for the latter: some senders encode twice. False when the text cannot be parsed.
    fn value(&mut self, text: &[u8], found: impl FnOnce(Json<'_>)) -> bool {
        let Some(outer) = self.outer.parse(text) else { return false };
        let encoded = outer.string().filter(|inner| matches!(trim(inner).first(), Some(b'{' | b'[')));
        match encoded.as_deref().and_then(|inner| self.inner.parse(inner)) {
            Some(inner) => found(inner),
            None => found(outer),
        }
        true
    }
}

/// Appends the bytes whose hash is the content's canonical hash.
///
/// `message` asks for the message form: an object with parts keeps only `role` and `parts`. What cannot be parsed (not
/// JSON, nested too deeply) is its own canonical form, white space around it trimmed.
pub fn canonical(text: &[u8], message: bool, tapes: &mut Tapes, out: &mut Vec<u8>) {
    let text = trim(text);
    let parsed = tapes.value(text, |value| {
        if message && value.member(b"parts").is_some() {
            write_message(value, out);
        } else {
            value.write(out);
        }
    });
    if !parsed {
        out.extend_from_slice(text);
    }
}

fn write_message(message: Json<'_>, out: &mut Vec<u8>) {
    let kept = message.members().filter(|(key, _)| key.is(b"role") || key.is(b"parts"));
    write_object(kept, out, |key, value, out| {
        if key == b"parts" && value.is_array() {
            write_array(value.inside(), out, write_part);
        } else {
            value.write(out);
        }
    });
}

/// Some writers call a tool's answer `result` where the convention says `response`.
fn write_part(part: Json<'_>, out: &mut Vec<u8>) {
    let is_answer = part.member(b"type").is_some_and(|kind| kind.is(b"tool_call_response"));
    if !is_answer || part.member(b"response").is_some_and(|response| !response.is_null()) {
        part.write(out);
        return;
    }
    let renamed = part.members().filter(|(key, _)| !key.is(b"response")).map(|(key, value)| {
        let name = if key.is(b"result") { Some(Cow::Borrowed(&b"response"[..])) } else { key.string() };
        (name.unwrap_or_default(), value)
    });
    write_named(renamed, out, |_, value, out| value.write(out));
}

/// One tool call of a message: name and id where they are strings, and the canonical form of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<'c> {
    pub name: Option<Cow<'c, [u8]>>,
    pub id: Option<Cow<'c, [u8]>>,
    pub arguments: Option<Vec<u8>>,
}

/// Gives every tool call of one message text (or of an array of messages, encoded once more or not) to `found`.
pub fn calls(text: &[u8], tapes: &mut Tapes, mut found: impl FnMut(Call<'_>)) {
    // Most messages call nothing, and then need no parsing.
    if memchr::memmem::find(text, b"tool_call").is_none() {
        return;
    }
    tapes.value(text, |value| {
        if value.is_array() {
            value.inside().for_each(|message| calls_of(message, &mut found));
        } else {
            calls_of(value, &mut found);
        }
    });
}

fn calls_of(message: Json<'_>, found: &mut impl FnMut(Call<'_>)) {
    let Some(parts) = message.member(b"parts").filter(|parts| parts.is_array()) else { return };
    for part in parts.inside() {
        if part.member(b"type").is_some_and(|kind| kind.is(b"tool_call")) {
            found(Call {
                name: part.member(b"name").and_then(Json::string),
                id: part.member(b"id").and_then(Json::string),
                arguments: part.member(b"arguments").and_then(arguments),
            });
        }
    }
}

/// Canonical form of a call's arguments: the value itself, or the JSON its string holds.
fn arguments(value: Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value.string() {
        Some(text) => canonical(&text, false, &mut Tapes::default(), &mut out),
        None if value.is_null() => return None,
        None => value.write(&mut out),
    }
    Some(out)
}
