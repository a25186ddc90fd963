//! What is left of a JSON text when parts of it are stored elsewhere: the text with `null` in their place.

use std::ops::Range;

use crate::json::{split_array, split_object, string_end, trim};
use crate::message::Piece;
use crate::plan::Step;

/// What is left of a span's attributes that were cut into messages.
#[derive(Debug, Default)]
pub struct Remainders {
    text: Vec<u8>,
    of: Vec<(u32, Range<usize>)>,
    parts: Vec<Range<usize>>,
}

impl Remainders {
    pub fn clear(&mut self) {
        self.text.clear();
        self.of.clear();
    }

    /// Keeps what is left of the text of the attribute at `place` without the pieces, which may be nothing.
    pub fn keep(&mut self, place: u32, text: &[u8], pieces: &[Piece]) {
        let Self { text: kept, of, parts } = self;
        parts.clear();
        parts.extend(pieces.iter().map(|piece| piece.range.clone()));
        if !parts.is_sorted_by_key(|part| part.start) {
            parts.sort_by_key(|part| part.start); // system instructions come first, wherever they stand
        }
        let start = kept.len();
        if says_something(text, parts.iter().cloned()) {
            without(text, parts.iter().cloned(), kept);
        }
        of.push((place, start..kept.len()));
    }

    /// What was kept of the attribute at `place`.
    pub fn of(&self, place: u32) -> Option<&[u8]> {
        let (_, range) = self.of.iter().find(|(at, _)| *at == place)?;
        self.text.get(range.clone())
    }
}

/// Appends `text` without the values at `paths` to `out`, if that says anything.
pub fn strip<'p>(text: &[u8], paths: impl Iterator<Item = &'p [Step]>, out: &mut Vec<u8>) {
    let mut parts: Vec<_> = paths.filter_map(|path| place(text, path)).collect();
    parts.sort_by_key(|part| part.start);
    if says_something(text, parts.iter().cloned()) {
        without(text, parts.into_iter(), out);
    }
}

/// Whether the text outside of `parts` holds any value: a string that is no key, a number or a truth.
///
/// `parts` are whole values of the text, in order and apart from each other.
fn says_something(text: &[u8], parts: impl Iterator<Item = Range<usize>>) -> bool {
    let mut at = 0;
    for part in parts {
        match text.get(at..part.start) {
            Some(between) if has_value(between) => return true,
            Some(_) => at = part.end,
            None => {} // inside the one before
        }
    }
    text.get(at..).is_none_or(has_value)
}

fn has_value(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let Some(end) = string_end(text, at + 1) else { return true };
                let is_empty = end == at + 1;
                at = end + 1;
                let is_key = trim(text.get(at..).unwrap_or_default()).first() == Some(&b':');
                if !is_key && !is_empty {
                    return true;
                }
            }
            b'n' => at += b"null".len(),
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => return true,
        }
    }
    false
}

/// Appends the text, `null` in place of `parts`, to `out`.
fn without(text: &[u8], parts: impl Iterator<Item = Range<usize>>, out: &mut Vec<u8>) {
    let mut at = 0;
    for part in parts {
        if let Some(between) = text.get(at..part.start) {
            out.extend_from_slice(between);
            out.extend_from_slice(b"null");
            at = part.end;
        }
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

/// Where the value at `path` stands in the JSON text. None where there is none, or it is in a string's text.
fn place(text: &[u8], path: &[Step]) -> Option<Range<usize>> {
    let mut range = 0..text.len();
    let mut elements = Vec::new();
    for step in path {
        let inside = text.get(range.clone())?;
        let start = range.start;
        let found = match step {
            Step::Member(wanted) => {
                let mut found = None;
                split_object(inside, |key, value| {
                    let is_it = key == wanted.as_bytes();
                    found = is_it.then_some(value);
                    is_it
                })?;
                found
            }
            Step::Index(index) => {
                split_array(inside, &mut elements);
                let count = i64::try_from(elements.len()).ok()?;
                let index = if *index < 0 { index + count } else { *index };
                elements.get(usize::try_from(index).ok()?).cloned()
            }
        }?;
        range = start + found.start..start + found.end;
    }
    Some(range)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn left(text: &str, paths: &[&[Step]]) -> Option<String> {
        let mut out = Vec::new();
        strip(text.as_bytes(), paths.iter().copied(), &mut out);
        (!out.is_empty()).then(|| String::from_utf8(out).unwrap())
    }

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn parts_give_way_to_null_and_the_rest_keeps_its_bytes() {
        let text = r#"{ "messages":[{"a":1},{"b":"}"}], "model" : "m", "n":{"x":[1, 2]}}"#;
        let (first, last) = ([member("messages"), Step::Index(0)], [member("messages"), Step::Index(-1)]);
        assert_eq!(
            left(text, &[&first, &last]).unwrap(),
            r#"{ "messages":[null,null], "model" : "m", "n":{"x":[1, 2]}}"#
        );
        let inner = [member("n"), member("x")];
        assert_eq!(left(r#"{"n":{"x":[1],"y":true}}"#, &[&inner]).unwrap(), r#"{"n":{"x":null,"y":true}}"#);
    }

    #[test]
    fn keys_nothings_and_brackets_say_nothing() {
        for text in [r#"{"a":5}"#, r#"{"a":"b","c":null,"d":{},"e":[[]],"f":""}"#, "5", r#""words""#] {
            let whole: [Step; 0] = [];
            let path = if text.starts_with('{') { vec![member("a")] } else { whole.to_vec() };
            assert_eq!(left(text, &[&path]), None, "{text}");
        }
    }

    #[test]
    fn any_value_says_something() {
        for value in ["1", "-0.5", "true", "false", r#""b""#, r#"{"c":"d"}"#, "[0]", r#""\"""#] {
            let text = format!(r#"{{"a":5,"b":{value}}}"#);
            assert!(left(&text, &[&[member("a")]]).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_nowhere() {
        for text in [r#"{"a":"{\"b\":1}"}"#, r#"{"a":[]}"#, "[1]", "", "{", r#"{"a":"#] {
            assert_eq!(place(text.as_bytes(), &[member("a"), member("b")]), None, "{text}");
        }
        assert_eq!(place(b"[1, 2]", &[Step::Index(2)]), None);
        assert_eq!(place(b"[1, 2]", &[Step::Index(-3)]), None);
    }
}
