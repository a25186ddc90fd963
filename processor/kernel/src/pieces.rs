//! Texts that hold messages, cut into one piece a message, by brackets and strings only: what is remembered need not be
//! parsed.
//!
//! A text is a list of messages (perhaps of such lists), an object that has one in it somewhere, one message, or plain
//! words. A list of parts is one message, and so is everything not known.

use std::ops::Range;

use crate::json::{Tape, Tapes, split_array, split_array_on, split_object, trim};
use crate::message::{Piece, Reading};
use crate::shapes::{self, Role};

/// Most pieces of a text; one that would give more is taken whole. The same bound as of an array's elements.
const MAX_PIECES: usize = 65_536;

/// Deepest nesting of objects and lists around the messages.
const DEPTH: u32 = 5;

/// Members under which messages are, the most telling first, and who speaks there where that is not said. Those told
/// nothing of are whoever the text is of.
const ROADS: [(&[u8], Option<Role>); 22] = [
    (b"messages", None),
    (b"contents", None),
    (b"items", None),
    (b"prompt", None),
    (b"prompts", None),
    (b"choices", Some(Role::Assistant)),
    (b"candidates", Some(Role::Assistant)),
    (b"generations", Some(Role::Assistant)),
    (b"replies", Some(Role::Assistant)),
    (b"message", Some(Role::Assistant)),
    (b"input", None),
    (b"inputs", None),
    (b"output", Some(Role::Assistant)),
    (b"outputs", Some(Role::Assistant)),
    (b"update", Some(Role::Assistant)),
    (b"llm_request", None),
    (b"chat_history", None),
    (b"new_message", None),
    (b"tool_messages", None),
    (b"args", None),
    (b"data", None),
    (b"llm", None),
];

/// Members with system instructions, beside a road or in `config`.
const SYSTEM: [&[u8]; 4] = [b"system", b"system_instruction", b"systemInstruction", b"instructions"];

/// Cuts texts; keeps its room from one to the next.
#[derive(Debug, Default)]
pub struct Cutter {
    pieces: Vec<Piece>,
    elements: Vec<Range<usize>>,
    decoded: Vec<u8>,
    tapes: Tapes,
}

impl Cutter {
    /// The pieces of `text`, which is trimmed, and the text they are ranges of: the given one, or what it holds as one
    /// JSON string. `role` is who speaks where it is not said. A text of an empty list has no pieces.
    pub fn cut<'t>(&'t mut self, text: &'t [u8], role: Role) -> (&'t [u8], &'t [Piece]) {
        let Self { pieces, elements, decoded, tapes } = self;
        pieces.clear();
        let mut whole = text;
        if text == b"null" {
            return (whole, pieces);
        }
        if text.starts_with(b"\"") {
            decoded.clear();
            let inside = tapes.with(Tape::parse, text, |value| {
                let inside = value.string().unwrap_or_default();
                let inside = trim(&inside);
                (inside.starts_with(b"{") || is_list(inside)).then(|| decoded.extend_from_slice(inside))
            });
            if inside.flatten().is_some() {
                whole = decoded;
            }
        }
        let all = 0..whole.len();
        let found = Cut { text: whole, pieces, elements }.value(all.clone(), role, DEPTH);
        if found.is_none() || pieces.first().is_some_and(|piece| piece.range == all) {
            pieces.clear();
            pieces.push(Piece { range: 0..text.len(), reading: Reading::Message(role) });
            whole = text;
        }
        (whole, pieces)
    }

    /// Cuts a list of messages from where the first `count` of them end. False where the text does not go on as a list.
    pub fn cut_on(&mut self, text: &[u8], end: usize, count: usize, role: Role) -> bool {
        let Self { pieces, elements, .. } = self;
        pieces.clear();
        let is_list = split_array_on(text, end, count, elements);
        pieces.extend(elements.drain(..).map(|range| Piece { range, reading: Reading::Message(role) }));
        is_list
    }

    /// What was cut last.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// Whether this is a list that may be of messages: of objects, or of such lists.
fn is_list(text: &[u8]) -> bool {
    text.strip_prefix(b"[").is_some_and(|inside| matches!(trim(inside).first(), Some(b'{' | b'[')))
}

struct Cut<'c> {
    text: &'c [u8],
    pieces: &'c mut Vec<Piece>,
    /// Room for the elements of a list.
    elements: &'c mut Vec<Range<usize>>,
}

/// Where messages may be in an object.
#[derive(Debug, Default)]
struct Ways {
    /// By number in [`ROADS`], which are in this order, too.
    roads: Vec<(usize, Range<usize>)>,
    system: Option<Range<usize>>,
}

impl Ways {
    /// The last of equal members counts.
    fn add(&mut self, number: usize, road: Range<usize>) {
        match self.roads.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                if let Some(known) = self.roads.get_mut(place) {
                    known.1 = road;
                }
            }
            Err(place) => self.roads.insert(place, (number, road)),
        }
    }
}

/// What an object is, by its members.
#[derive(Debug)]
enum Outline {
    Message,
    Part,
    /// Neither, or something around messages.
    Other(Ways),
}

/// Says what the object in this text is.
fn outline(object: &[u8]) -> Outline {
    let (mut speaks, mut says, mut is_part) = (false, false, false);
    let (mut kind, mut has_function, mut has_summary, mut has_text) = (None, false, false, false);
    let mut ways = Ways::default();
    let scanned = split_object(object, |key, value| {
        match key {
            // Nothing else has these, so that the rest need not be looked at.
            b"role" | b"_role" | b"message.role" | b"parts" | b"event.name" | b"lc" => speaks = true,
            b"type" | b"block_type" => {
                kind = object.get(value).and_then(unquoted);
                speaks = kind.is_some_and(|kind| kind != b"function" && Role::parse(kind).is_some());
            }
            b"content" | b"_content" | b"kwargs" | b"blocks" | b"tool_calls" => says = true,
            b"text" => has_text = true,
            b"functionCall" | b"functionResponse" | b"function_response" | b"toolUse" | b"toolResult"
            | b"toolRequest" | b"toolResponse" | b"toolCallId" | b"tool_call" | b"tool_call_result"
            | b"message_content" | b"reasoningContent" | b"inlineData" | b"inline_data" | b"fileData"
            | b"file_data" => is_part = true,
            b"function" => has_function = true,
            b"summary" => has_summary = true,
            b"config" => {
                let start = value.start;
                let config = object.get(value).unwrap_or_default();
                split_object(config, |key, value| {
                    if SYSTEM.contains(&key) && is_something(config.get(value.clone())) {
                        ways.system = Some(start + value.start..start + value.end);
                    }
                    false
                });
            }
            _ if !is_something(object.get(value.clone())) => {}
            // Lists of these are no messages.
            b"args" | b"data" if object.get(value.clone()).is_none_or(|inner| !inner.starts_with(b"{")) => {}
            _ if SYSTEM.contains(&key) => ways.system = Some(value),
            _ => {
                if let Some(number) = ROADS.iter().position(|(road, _)| key == *road) {
                    ways.add(number, value);
                }
            }
        }
        speaks
    });
    match kind {
        _ if scanned.is_none() => Outline::Other(Ways::default()),
        _ if speaks => Outline::Message,
        // Items of OpenAI's responses stand among messages, each for itself.
        Some(b"function_call" | b"function_call_output") => Outline::Message,
        Some(b"reasoning") if has_summary => Outline::Message,
        Some(b"function") if !has_function => Outline::Message,
        Some(kind) if shapes::is_sort(kind) => Outline::Part,
        None if is_part || has_function => Outline::Part,
        _ if !ways.roads.is_empty() => Outline::Other(ways),
        _ if says => Outline::Message,
        None if has_text => Outline::Part,
        _ => Outline::Other(ways),
    }
}

fn unquoted(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn is_something(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| !matches!(value, b"null" | b"[]" | b"{}" | b"\"\""))
}

impl Cut<'_> {
    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn push(&mut self, range: Range<usize>, role: Role) -> Option<()> {
        self.pieces.push(Piece { range, reading: Reading::Message(role) });
        (self.pieces.len() <= MAX_PIECES).then_some(())
    }

    /// Cuts the value there. None when there are too many pieces.
    fn value(&mut self, range: Range<usize>, role: Role, depth: u32) -> Option<()> {
        match self.at(&range).first() {
            Some(b'[') if depth == DEPTH || is_list(self.at(&range)) => self.list(range, role, depth),
            Some(b'{') if depth > 0 => match outline(self.at(&range)) {
                Outline::Other(ways) => self.object(range, ways, role, depth),
                _ => self.push(range, role),
            },
            _ => self.push(range, role),
        }
    }

    fn list(&mut self, range: Range<usize>, role: Role, depth: u32) -> Option<()> {
        // A list inside this one finds nothing there, and makes its own.
        let mut elements = std::mem::take(self.elements);
        let mut start = range.start;
        // A list in a list is no more than that one, which then need not be passed over once more.
        let inner = range.start + 1..range.end.saturating_sub(1);
        if is_list(self.at(&inner)) && split_array(self.at(&inner), &mut elements) {
            start += 1;
        } else if !split_array(self.at(&range), &mut elements) {
            return self.push(range, role);
        }
        // The usual list is of messages that say who speaks first.
        let mut are_messages = false;
        for (index, inner) in elements.iter().enumerate() {
            let element = start + inner.start..start + inner.end;
            let text = self.at(&element);
            are_messages |= index == 0 && text.starts_with(b"{\"role\"");
            if are_messages || depth == 0 || !text.starts_with(b"{") {
                let depth = depth.saturating_sub(1);
                if are_messages {
                    self.push(element, role)?
                } else {
                    self.value(element, role, depth)?
                }
                continue;
            }
            match outline(text) {
                Outline::Part if index == 0 => return self.push(range, role),
                Outline::Other(ways) => self.object(element, ways, role, depth - 1)?,
                _ => self.push(element, role)?,
            }
        }
        *self.elements = elements;
        Some(())
    }

    /// An object that has messages in it; where that has none, it is taken for one.
    fn object(&mut self, range: Range<usize>, ways: Ways, role: Role, depth: u32) -> Option<()> {
        let moved = |inner: Range<usize>| range.start + inner.start..range.start + inner.end;
        let roads = ways.roads.into_iter().filter(|_| depth > 0);
        for (number, road) in roads {
            let Some((_, speaker)) = ROADS.get(number) else { continue };
            let road = moved(road);
            let before = self.pieces.len();
            if let Some(system) = ways.system.clone() {
                self.push(moved(system), Role::System)?;
            }
            let role = speaker.unwrap_or(role);
            match self.at(&road).first() {
                // An object without messages in it is no road.
                Some(b'{') => match outline(self.at(&road)) {
                    Outline::Other(ways) => {
                        let start = self.pieces.len();
                        self.object(road.clone(), ways, role, depth - 1)?;
                        if self.pieces.get(start).is_some_and(|piece| piece.range == road) {
                            self.pieces.truncate(before);
                            continue;
                        }
                    }
                    _ => self.push(road, role)?,
                },
                _ => self.value(road, role, depth - 1)?,
            }
            return Some(());
        }
        self.push(range, role)
    }
}
