//! Contents that are no single value: attributes whose keys are numbered, several attributes that are parts of one
//! message, events.

use crate::flatten::{Entry, list, messages, object};
use crate::json::trim;
use crate::keys::KeyTable;
use crate::message::{Piece, Reading};
use crate::otlp::{Body, Span, Value};
use crate::pieces::Cutter;
use crate::plan::{EventSource, How, Shape};
use crate::render::as_json;
use crate::shapes::Role;

/// Most messages of one source; what is numbered higher stays an attribute.
pub const MAX_MESSAGES: u32 = 1000;

/// The number and the rest of a key that begins with `prefix`: `llm.input_messages.0.message.role`.
pub fn numbered<'k>(key: &'k [u8], prefix: &[u8]) -> Option<(u32, &'k [u8])> {
    let rest = key.strip_prefix(prefix)?.strip_prefix(b".")?;
    let dot = memchr::memchr(b'.', rest)?;
    let (digits, path) = (rest.get(..dot)?, rest.get(dot + 1..)?);
    let is_number = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 4;
    if path.is_empty() || !is_number || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    (number < MAX_MESSAGES).then_some((number, path))
}

/// An attribute that is a part of what its slot may hold.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub slot: u16,
    pub rank: u16,
    /// Which of the span's attributes it is.
    pub place: u32,
    pub entry: Entry<'a>,
}

/// Parts of the span at hand, and what is made of them.
#[derive(Debug, Default)]
pub struct Gathered<'a> {
    parts: Vec<Part<'a>>,
    chosen: Vec<Entry<'a>>,
    /// What was built last, and its pieces.
    pub text: Vec<u8>,
    pub pieces: Vec<Piece>,
}

impl<'a> Gathered<'a> {
    /// Starts a new span.
    #[inline]
    pub fn begin(&mut self) {
        self.parts.clear();
    }

    pub fn push(&mut self, part: Part<'a>) {
        self.parts.push(part);
    }

    /// The parts of one source.
    pub fn of(&self, slot: u16, rank: u16) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().filter(move |part| part.slot == slot && part.rank == rank)
    }

    /// Builds the content of a source from its parts: one message or other content each, or `are_many` of them.
    pub fn build(&mut self, slot: u16, rank: u16, how: &How, reading: Reading, are_many: bool) {
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        chosen.extend(self.of(slot, rank).map(|part| part.entry));
        let Self { text, pieces, .. } = self;
        text.clear();
        pieces.clear();
        match (how.form, are_many) {
            (Shape::Indexed, true) => {
                let mut ranges = Vec::new();
                messages(&mut chosen, text, &mut ranges);
                pieces.extend(ranges.into_iter().map(|range| Piece { range, reading }));
            }
            (Shape::Indexed, false) => {
                list(&mut chosen, text);
                pieces.push(Piece { range: 0..text.len(), reading });
            }
            _ => {
                // Whatever the order they came in.
                chosen.sort_by_key(|entry| entry.index);
                let role = how.role.map(|role| (&b"role"[..], Value::Str(role.name())));
                object(chosen.iter().map(|entry| (entry.path, entry.value)).chain(role), text);
                pieces.push(Piece { range: 0..text.len(), reading });
            }
        }
        self.chosen = chosen;
    }

    /// Builds the messages that the span's events are: all of an event's attributes, or the one that `source` names.
    pub fn build_events(
        &mut self,
        body: &Body<'a>,
        span: &Span<'a>,
        keys: &KeyTable<'a>,
        source: &EventSource,
        role: Role,
        cutter: &mut Cutter,
    ) {
        let Self { text, pieces, .. } = self;
        text.clear();
        pieces.clear();
        let mut rendered = Vec::new();
        let events = span.events.of(&body.events).iter();
        let events = events.filter(|event| source.names.iter().any(|name| name == event.name));
        for event in events.take(MAX_MESSAGES as usize) {
            let role = Role::of_event(event.name).unwrap_or(role);
            let attrs = event.attrs.of(&body.inner_attrs);
            let start = text.len();
            if source.key.is_empty() {
                let members = attrs.iter().map(|attr| (keys.name(attr.key), attr.value));
                object(members.chain([(&b"event.name"[..], Value::Str(event.name))]), text);
                pieces.push(Piece { range: start..text.len(), reading: Reading::Message(role) });
                continue;
            }
            let Some(attr) = attrs.iter().find(|attr| keys.name(attr.key) == source.key) else { continue };
            let told = match attr.value {
                Value::Str(told) => told,
                Value::Empty => continue,
                other => {
                    rendered.clear();
                    as_json(&other, &mut rendered);
                    &rendered
                }
            };
            let told = trim(told);
            let (cut, found) = cutter.cut(told, role);
            if told.is_empty() || found.is_empty() {
                continue;
            }
            if found.len() == 1 && !told.starts_with(b"{") {
                // Not a message but what it says: who speaks is in the event's name only.
                let members = [(&b"content"[..], attr.value), (b"event.name", Value::Str(event.name))];
                object(members.into_iter(), text);
                pieces.push(Piece { range: start..text.len(), reading: Reading::Message(role) });
                continue;
            }
            text.extend_from_slice(cut);
            pieces.extend(found.iter().map(|piece| Piece {
                range: start + piece.range.start..start + piece.range.end,
                reading: piece.reading,
            }));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_small_number_and_something_behind_are_numbered() {
        let prefix = b"gen_ai.prompt";
        assert_eq!(numbered(b"gen_ai.prompt.0.role", prefix).unwrap(), (0, &b"role"[..]));
        assert_eq!(numbered(b"gen_ai.prompt.999.a.b.c", prefix).unwrap(), (999, &b"a.b.c"[..]));
        for other in [
            "gen_ai.prompt",
            "gen_ai.prompt.",
            "gen_ai.prompt.0",
            "gen_ai.prompt.0.",
            "gen_ai.prompt..role",
            "gen_ai.prompt.01.role",
            "gen_ai.prompt.1000.role",
            "gen_ai.prompt.999999999.role",
            "gen_ai.prompt.-1.role",
            "gen_ai.prompt.x.role",
            "gen_ai.prompt.__proto__.role",
            "gen_ai.prompts.0.role",
        ] {
            assert_eq!(numbered(other.as_bytes(), prefix), None, "{other}");
        }
    }
}
