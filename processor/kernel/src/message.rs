//! The two shapes of content whose inside the kernel knows: chat messages and tool call arguments.
//!
//! A message is an object with `role` and `parts`; a part has a `type`, and one of type `tool_call` has `name`, `id`
//! and `arguments`. These names are the OpenTelemetry message form; dialects are brought to it elsewhere.

use std::borrow::Cow;

use crate::json::{Json, trim, write_members};

/// Appends the bytes whose hash is the content's canonical hash.
///
/// `message` asks for the message form: an object with parts keeps only `role` and `parts`. What cannot be parsed (not
/// JSON, nested too deeply) is its own canonical form, white space around it trimmed.
pub fn canonical(text: &[u8], message: bool, out: &mut Vec<u8>) {
    let text = trim(text);
    let Some(value) = Json::parse(text) else {
        out.extend_from_slice(text);
        return;
    };
    if let Some(inner) = encoded(&value)
        && let Some(value) = Json::parse(&inner)
    {
        write(&value, message, out);
        return;
    }
    write(&value, message, out);
}

/// The text inside a string that holds a JSON object or array once more encoded.
fn encoded<'a>(value: &Json<'a>) -> Option<Cow<'a, [u8]>> {
    let inner = value.text()?;
    matches!(trim(&inner).first(), Some(b'{' | b'[')).then_some(inner)
}

fn write(value: &Json<'_>, message: bool, out: &mut Vec<u8>) {
    match value {
        Json::Object(members) if message && value.member(b"parts").is_some() => {
            let kept = members.iter().filter(|(key, _)| matches!(key.as_ref(), b"role" | b"parts"));
            write_members(kept.map(|(key, value)| (key, value)), out, |key, value, out| {
                if key == b"parts" { write_parts(value, out) } else { value.write(out) }
            });
        }
        _ => value.write(out),
    }
}

fn write_parts(parts: &Json<'_>, out: &mut Vec<u8>) {
    let Json::Array(parts) = parts else {
        parts.write(out);
        return;
    };
    out.push(b'[');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_part(part, out);
    }
    out.push(b']');
}

/// Some writers call a tool's answer `result` where the convention says `response`.
fn write_part(part: &Json<'_>, out: &mut Vec<u8>) {
    let (Json::Object(members), Some(kind)) = (part, part.member(b"type").and_then(Json::text)) else {
        part.write(out);
        return;
    };
    if kind.as_ref() != b"tool_call_response" || !matches!(part.member(b"response"), None | Some(Json::Null))
    {
        part.write(out);
        return;
    }
    let response = Cow::Borrowed(&b"response"[..]);
    let renamed = members
        .iter()
        .filter(|(key, _)| key.as_ref() != b"response")
        .map(|(key, value)| (if key.as_ref() == b"result" { &response } else { key }, value));
    crate::json::write_object(renamed, out);
}

/// One tool call of a message: name and id where they are strings, and the canonical form of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub name: Option<Vec<u8>>,
    pub id: Option<Vec<u8>>,
    pub arguments: Option<Vec<u8>>,
}

/// Gives every tool call of one message text (or of an array of messages, encoded once more or not) to `found`.
pub fn calls(text: &[u8], found: &mut impl FnMut(Call)) {
    // Most messages call nothing, and then need no parsing.
    if memchr::memmem::find(text, b"tool_call").is_none() {
        return;
    }
    let Some(value) = Json::parse(text) else {
        return;
    };
    if let Some(inner) = encoded(&value) {
        if let Some(value) = Json::parse(&inner) {
            messages(&value, found);
        }
        return;
    }
    messages(&value, found);
}

fn messages(value: &Json<'_>, found: &mut impl FnMut(Call)) {
    match value {
        Json::Array(all) => all.iter().for_each(|message| parts(message, found)),
        one => parts(one, found),
    }
}

fn parts(message: &Json<'_>, found: &mut impl FnMut(Call)) {
    let Some(Json::Array(parts)) = message.member(b"parts") else {
        return;
    };
    for part in parts {
        if part.member(b"type").and_then(Json::text).as_deref() != Some(b"tool_call") {
            continue;
        }
        let string = |key: &[u8]| part.member(key).and_then(Json::text).map(Cow::into_owned);
        found(Call {
            name: string(b"name"),
            id: string(b"id"),
            arguments: part.member(b"arguments").and_then(arguments),
        });
    }
}

/// Canonical form of a call's arguments: the value itself, or the JSON its string holds.
fn arguments(value: &Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value.text() {
        Some(text) => canonical(&text, false, &mut out),
        None if matches!(value, Json::Null) => return None,
        None => value.write(&mut out),
    }
    Some(out)
}
