//! Messages spread over attributes, as `llm.input_messages.0.message.role`: put together to the JSON they were.
//!
//! What the sender took apart cannot be told in full, so there is one rule: a part of a key that is a number is a place
//! in a list where all its siblings are numbers, else a name. Whatever the order the attributes come in, the same ones
//! give the same text.

use std::cmp::Ordering;
use std::ops::Range;

use crate::json::write_text;
use crate::otlp::Value;
use crate::render::as_json;

/// Most elements of a list inside a message; those of the highest numbers are left out.
const MAX_ELEMENTS: usize = 64;

/// Deepest nesting inside a message: what is left of a longer key is one name.
const MAX_DEPTH: usize = 8;

/// One attribute of a message.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The message's number.
    pub index: u32,
    /// What of the key comes after the number and its dot.
    pub path: &'a [u8],
    pub value: Value<'a>,
}

/// Appends the text of each message to `out`, in the order of their numbers, and its range to `pieces`.
///
/// Of entries with the same key the last counts, and where one has a value and others lie below it, those do. The order
/// of `entries` is changed.
pub fn messages(entries: &mut [Entry<'_>], out: &mut Vec<u8>, pieces: &mut Vec<Range<usize>>) {
    each(entries, |_, leaves| {
        let start = out.len();
        write(leaves, 0, out);
        pieces.push(start..out.len());
    });
}

/// Appends all that the entries make up as one list; otherwise as [`messages`].
pub fn list(entries: &mut [Entry<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    each(entries, |is_first, leaves| {
        if !is_first {
            out.push(b',');
        }
        write(leaves, 0, out);
    });
    out.push(b']');
}

/// Gives on the leaves of each number, and whether it is the first.
fn each<'a>(entries: &mut [Entry<'a>], mut found: impl FnMut(bool, &mut [Leaf<'a>])) {
    entries.sort_by_key(|entry| entry.index);
    let mut leaves = Vec::new();
    for (place, same) in entries.chunk_by(|one, other| one.index == other.index).enumerate() {
        leaves.clear();
        leaves.extend(same.iter().map(|entry| Leaf { path: Some(entry.path), value: entry.value }));
        found(place == 0, &mut leaves);
    }
}

/// Appends an object of these members, keys as they are; of equal ones the last counts.
///
/// That is what a message told by several attributes becomes, whose keys are then `content`, `reasoning_content` and
/// `tool_calls`, and so does one told by an event, with the event's name as the last `event.name`.
pub fn object<'a>(members: impl Iterator<Item = (&'a [u8], Value<'a>)>, out: &mut Vec<u8>) {
    let mut members: Vec<(&[u8], Value<'_>)> = members.collect();
    // Stable: the last of equal keys stays the last.
    members.sort_by(|one, other| one.0.cmp(other.0));
    out.push(b'{');
    for (place, same) in members.chunk_by(|one, other| one.0 == other.0).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if let Some((key, value)) = same.last() {
            write_text(key, out);
            out.push(b':');
            as_json(value, out);
        }
    }
    out.push(b'}');
}

#[derive(Debug, Clone, Copy)]
struct Leaf<'a> {
    /// None where the path ends.
    path: Option<&'a [u8]>,
    value: Value<'a>,
}

impl<'a> Leaf<'a> {
    /// The first part of the path.
    fn head(&self, depth: usize) -> &'a [u8] {
        let path = self.path.unwrap_or_default();
        match memchr::memchr(b'.', path) {
            Some(dot) if depth + 1 < MAX_DEPTH => path.get(..dot).unwrap_or_default(),
            _ => path,
        }
    }

    /// What is under the first part.
    fn below(&self, head: usize) -> Self {
        Self { path: self.path.and_then(|path| path.get(head + 1..)), value: self.value }
    }
}

/// The number a part of a key is: as a number is written, of at most nine digits.
fn number(part: &[u8]) -> Option<u32> {
    let is_number = matches!(part, [b'0'] | [b'1'..=b'9', ..]) && part.len() <= 9;
    (is_number && part.iter().all(u8::is_ascii_digit))
        .then(|| part.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (one_number, other_number) => {
            one_number.is_none().cmp(&other_number.is_none()).then_with(|| one.cmp(other))
        }
    }
}

/// Appends the value these leaves make up.
fn write(leaves: &mut [Leaf<'_>], depth: usize, out: &mut Vec<u8>) {
    if leaves.iter().all(|leaf| leaf.path.is_none()) {
        match leaves.last() {
            Some(leaf) => as_json(&leaf.value, out),
            None => out.extend_from_slice(b"null"),
        }
        return;
    }
    // Stable, so that of equal paths the last stays the last. Values above others come first, and are passed over.
    leaves.sort_by(|one, other| {
        one.path
            .is_some()
            .cmp(&other.path.is_some())
            .then_with(|| compare(one.head(depth), other.head(depth)))
    });
    let above = leaves.partition_point(|leaf| leaf.path.is_none());
    let leaves = leaves.get_mut(above..).unwrap_or_default();
    let is_list = leaves.iter().all(|leaf| number(leaf.head(depth)).is_some());
    out.push(if is_list { b'[' } else { b'{' });
    let groups = leaves.chunk_by_mut(|one, other| one.head(depth) == other.head(depth));
    for (index, group) in groups.take(if is_list { MAX_ELEMENTS } else { usize::MAX }).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let head = group.first().map(|leaf| leaf.head(depth)).unwrap_or_default();
        if !is_list {
            write_text(head, out);
            out.push(b':');
        }
        for leaf in group.iter_mut() {
            *leaf = leaf.below(head.len());
        }
        write(group, depth + 1, out);
    }
    out.push(if is_list { b']' } else { b'}' });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn put_together(entries: &[(u32, &str, Value<'_>)]) -> Vec<String> {
        let mut entries: Vec<_> = entries
            .iter()
            .map(|(index, path, value)| Entry { index: *index, path: path.as_bytes(), value: *value })
            .collect();
        let (mut out, mut pieces) = (Vec::new(), Vec::new());
        messages(&mut entries, &mut out, &mut pieces);
        pieces.into_iter().map(|piece| String::from_utf8(out[piece].to_vec()).unwrap()).collect()
    }

    const X: Value<'_> = Value::Str(b"x");

    #[test]
    fn each_message_is_an_object_of_its_own_in_the_order_of_numbers() {
        let together = put_together(&[
            (10, "message.role", Value::Str(b"assistant")),
            (2, "message.content", Value::Str(b"say \"hi\"\n")),
            (10, "message.tool_calls.0.tool_call.function.name", Value::Str(b"f")),
            (10, "message.tool_calls.0.tool_call.id", Value::Int(7)),
            (2, "message.role", Value::Str(b"user")),
            (10, "message.tool_calls.1.tool_call.id", Value::Bool(true)),
        ]);
        assert_eq!(
            together,
            [
                r#"{"message":{"content":"say \"hi\"\n","role":"user"}}"#,
                concat!(
                    r#"{"message":{"role":"assistant","tool_calls":[{"tool_call":{"function":{"name":"f"},"id":7}},"#,
                    r#"{"tool_call":{"id":true}}]}}"#
                ),
            ]
        );
    }

    #[test]
    fn lists_are_where_all_parts_are_numbers_and_close_their_gaps() {
        assert_eq!(
            put_together(&[(0, "a.10", X), (0, "a.2", Value::Int(2)), (0, "a.999999999", Value::Int(9))]),
            [r#"{"a":[2,"x",9]}"#]
        );
        assert_eq!(put_together(&[(0, "a.0", X), (0, "a.b", X)]), [r#"{"a":{"0":"x","b":"x"}}"#]);
        assert_eq!(put_together(&[(0, "a.01", X), (0, "a.1", X)]), [r#"{"a":{"1":"x","01":"x"}}"#]);
        assert_eq!(put_together(&[(0, "a.1234567890", X)]), [r#"{"a":{"1234567890":"x"}}"#]);
        assert_eq!(put_together(&[(0, "0", X), (0, "1", X)]), [r#"["x","x"]"#]);
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_what_is_below_beats_what_is_above() {
        assert_eq!(put_together(&[(0, "a", Value::Int(1)), (0, "a", Value::Int(2))]), [r#"{"a":2}"#]);
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let entries = [(0, "a", X), (0, "a.b", Value::Int(1)), (0, "a.b.c", Value::Int(2))];
            assert_eq!(put_together(&order.map(|at| entries[at])), [r#"{"a":{"b":{"c":2}}}"#]);
        }
    }

    #[test]
    fn odd_keys_are_names() {
        assert_eq!(put_together(&[(0, "", X)]), [r#"{"":"x"}"#]);
        assert_eq!(put_together(&[(0, "a..b", X), (0, "a.", X)]), [r#"{"a":{"":{"b":"x"}}}"#]);
        assert_eq!(put_together(&[(0, "\"\\", X)]), [r#"{"\"\\":"x"}"#]);
        assert_eq!(
            put_together(&[(0, "a.b.c.d.e.f.g.h.i.j", X)]),
            [r#"{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h.i.j":"x"}}}}}}}}"#]
        );
    }

    #[test]
    fn a_list_inside_has_at_most_so_many_elements() {
        let keys: Vec<String> = (0..100).rev().map(|index| format!("a.{index}")).collect();
        let entries: Vec<_> = keys.iter().map(|key| (0, key.as_str(), X)).collect();
        let together = put_together(&entries);
        assert_eq!(together, [format!(r#"{{"a":[{}]}}"#, vec!["\"x\""; MAX_ELEMENTS].join(","))]);
    }

    #[test]
    fn the_order_of_attributes_makes_no_difference() {
        let entries = [
            (1, "message.contents.0.message_content.type", Value::Str(b"text")),
            (1, "message.contents.0.message_content.text", Value::Str(b"hi")),
            (1, "message.contents.1.message_content.type", Value::Str(b"image")),
            (0, "message.role", Value::Str(b"user")),
            (1, "message.role", Value::Str(b"user")),
        ];
        let sorted = put_together(&entries);
        let mut turned = entries;
        for _ in 0..entries.len() {
            turned.rotate_left(1);
            assert_eq!(put_together(&turned), sorted);
        }
    }

    #[test]
    fn a_list_holds_what_all_numbers_make_up() {
        let mut entries = [(7, "tool.name", X), (2, "tool.name", Value::Int(1)), (2, "tool.a", X)]
            .map(|(index, path, value)| Entry { index, path: path.as_bytes(), value });
        let mut out = Vec::new();
        list(&mut entries, &mut out);
        assert_eq!(out, br#"[{"tool":{"a":"x","name":1}},{"tool":{"name":"x"}}]"#);
        out.clear();
        list(&mut [], &mut out);
        assert_eq!(out, b"[]");
    }

    #[test]
    fn an_object_has_its_members_sorted_and_the_last_of_equal_ones() {
        let members: [(&[u8], Value<'_>); 4] =
            [(b"role", X), (b"content", Value::Int(1)), (b"role", Value::Str(b"user")), (b"event.name", X)];
        let mut out = Vec::new();
        object(members.into_iter(), &mut out);
        assert_eq!(out, br#"{"content":1,"event.name":"x","role":"user"}"#);
        out.clear();
        object(std::iter::empty(), &mut out);
        assert_eq!(out, b"{}");
    }
}
