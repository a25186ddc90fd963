//! Values written as text: JSON, or what Python's `repr` makes of dictionaries, lists and simple objects.
//!
//! Some senders put a mapping into an attribute with `str()`.

use crate::json::{Json, Kind, MAX_DEPTH, Node, Tape, number_len};

/// Whether a text that is not JSON is worth the try: it looks like a dictionary or list, or like the chat messages of
/// Haystack and LlamaIndex.
pub fn is_likely(text: &[u8]) -> bool {
    text.starts_with(b"{") || text.starts_with(b"[") || text.starts_with(b"ChatMessage(")
}

/// Parses a complete JSON text or Python literal, leniently: either kind of quotes, `True` and `None`, tuples, commas
/// before a closing bracket, keys that are no strings, `<Name.A: value>`, and `Name(a=1, b=2)`, which is an object, or an
/// array where its arguments have no names. What has no JSON (NaN, infinities) is null. None where that does not do, and
/// where it nests deeper than [`MAX_DEPTH`].
pub fn parse<'t>(tape: &'t mut Tape, text: &'t [u8]) -> Option<Json<'t>> {
    u32::try_from(text.len()).ok()?;
    tape.nodes.clear();
    let mut parser = Parser { text, at: 0, nodes: &mut tape.nodes };
    parser.value(0)?;
    parser.peek().is_none().then(|| tape.root(text))
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

/// `Some` where parsing can go on.
type Parsed = Option<()>;

impl<'a> Parser<'a> {
    /// The next byte that is not white space; stays on it.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        // Offsets fit: `parse` takes no longer texts.
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }

    fn value(&mut self, depth: u32) -> Parsed {
        match self.peek()? {
            b'"' | b'\'' => self.string(),
            b'{' => self.nested(Kind::Object, b'}', depth),
            b'[' => self.nested(Kind::Array, b']', depth),
            b'(' => self.nested(Kind::Array, b')', depth),
            b'+' | b'-' | b'0'..=b'9' => self.number(),
            b'<' => self.enumerated(depth),
            _ => self.word(depth),
        }
    }

    /// What is between brackets; the parser stands on the opening one.
    fn nested(&mut self, kind: Kind, close: u8, depth: u32) -> Parsed {
        if depth >= MAX_DEPTH {
            return None;
        }
        let own = self.nodes.len();
        self.push(kind, self.at, self.at);
        self.at += 1;
        while self.peek()? != close {
            if kind == Kind::Object {
                self.key()?;
                if self.peek()? != b':' {
                    return None;
                }
                self.at += 1;
            }
            self.value(depth + 1)?;
            self.comma(close)?;
        }
        self.close(own)
    }

    fn comma(&mut self, close: u8) -> Parsed {
        match self.peek()? {
            b',' => self.at += 1,
            next if next == close => {}
            _ => return None,
        }
        Some(())
    }

    /// Steps over the closing bracket of the node `own`.
    fn close(&mut self, own: usize) -> Parsed {
        self.at += 1;
        let (next, end) = (self.nodes.len() as u32, self.at as u32);
        let node = self.nodes.get_mut(own)?;
        (node.next, node.end) = (next, end);
        Some(())
    }

    /// A key: a string, or the text of a number or word.
    fn key(&mut self) -> Parsed {
        if matches!(self.peek()?, b'"' | b'\'') {
            return self.string();
        }
        let start = self.at;
        let size = self.text.get(start..)?.iter().position(|byte| !is_word(*byte) && *byte != b'-')?;
        self.push(Kind::Str, start, start + size);
        self.at += size;
        (size > 0).then_some(())
    }

    fn string(&mut self) -> Parsed {
        let quote = *self.text.get(self.at)?;
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += memchr::memchr2(quote, b'\\', self.text.get(at..)?)?;
            if self.text.get(at) == Some(&quote) {
                break;
            }
            escaped = true;
            at += 2;
        }
        let text = self.text.get(start..at)?;
        if escaped && !are_escapes(text) {
            return None;
        }
        let as_json = !escaped && !text.iter().any(|byte| *byte < 0x20 || *byte == b'"');
        self.push(if as_json { Kind::Str } else { Kind::Escaped }, start, at);
        self.at = at + 1;
        Some(())
    }

    fn number(&mut self) -> Parsed {
        self.at += usize::from(self.text.get(self.at) == Some(&b'+'));
        let rest = self.text.get(self.at..)?;
        let Some(size) = number_len(rest) else {
            // -inf, -Infinity
            self.at += usize::from(rest.first() == Some(&b'-'));
            return self.word(MAX_DEPTH);
        };
        self.push(Kind::Number, self.at, self.at + size);
        self.at += size;
        Some(())
    }

    /// The value of an enumeration's member.
    fn enumerated(&mut self, depth: u32) -> Parsed {
        let rest = self.text.get(self.at + 1..)?;
        let name = rest.iter().position(|byte| !is_word(*byte) && *byte != b'.')?;
        if depth >= MAX_DEPTH || name == 0 || rest.get(name) != Some(&b':') {
            return None;
        }
        self.at += 1 + name + 1;
        self.value(depth + 1)?;
        (self.peek()? == b'>').then(|| self.at += 1)
    }

    /// A constant, or the call of a constructor.
    fn word(&mut self, depth: u32) -> Parsed {
        let start = self.at;
        let rest = self.text.get(start..)?;
        let size = rest.iter().position(|byte| !is_word(*byte) && *byte != b'.').unwrap_or(rest.len());
        let word = rest.get(..size)?;
        self.at += size;
        let kind = match word {
            b"true" | b"True" => Kind::True,
            b"false" | b"False" => Kind::False,
            b"null" | b"None" | b"undefined" | b"nan" | b"NaN" | b"inf" | b"Infinity" => Kind::Null,
            _ if size > 0 && self.text.get(self.at) == Some(&b'(') => return self.constructed(depth),
            _ => return None,
        };
        self.push(kind, start, start + size);
        Some(())
    }

    /// The arguments of a constructor; the parser stands on their opening bracket.
    fn constructed(&mut self, depth: u32) -> Parsed {
        if depth >= MAX_DEPTH {
            return None;
        }
        let own = self.nodes.len();
        self.push(Kind::Object, self.at, self.at);
        self.at += 1;
        let mut named = None;
        while self.peek()? != b')' {
            let name = self.name();
            if *named.get_or_insert(name.is_some()) != name.is_some() {
                return None;
            }
            if let Some(size) = name {
                self.push(Kind::Str, self.at, self.at + size);
                self.at += size + 1;
            }
            self.value(depth + 1)?;
            self.comma(b')')?;
        }
        if named == Some(false) {
            self.nodes.get_mut(own)?.kind = Kind::Array;
        }
        self.close(own)
    }

    /// The size of the name of an argument that is at hand, an equals sign after it.
    fn name(&self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        let size = rest.iter().position(|byte| !is_word(*byte))?;
        (size > 0 && rest.get(size) == Some(&b'=')).then_some(size)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the escapes of a string have the digits they need; what else is behind a backslash stands for itself.
fn are_escapes(raw: &[u8]) -> bool {
    let mut at = 0;
    while let Some(jump) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        at += jump + 2;
        let size = match raw.get(at - 1) {
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let digits = raw.get(at..at + size).unwrap_or_default();
        let number = digits.iter().try_fold(0u32, |sum, digit| {
            char::from(*digit).to_digit(16).map(|digit| sum.wrapping_shl(4) | digit)
        });
        if digits.len() != size || number.is_none_or(|number| number > 0x10_ffff) {
            return false;
        }
        at += size;
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json::Tapes;

    fn canonical(text: &str) -> Option<String> {
        let mut tape = Tape::default();
        let mut out = Vec::new();
        parse(&mut tape, text.as_bytes())?.write(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn python_text_is_the_json_it_means() {
        for (text, json) in [
            ("{'a': 1, 'b': [True, False, None], }", r#"{"a":1,"b":[true,false,null]}"#),
            ("(1, 2,)", "[1,2]"),
            ("()", "[]"),
            ("{}", "{}"),
            (r#"{"it's": 'say "x"'}"#, r#"{"it's":"say \"x\""}"#),
            (r"'\x41\u00e9\U0001f642\'\n'", "\"Aé🙂'\\n\""),
            ("'a\nb'", r#""a\nb""#),
            ("{1: 'a', None: 'b', -2: 'c', True: 'd'}", r#"{"-2":"c","1":"a","None":"b","True":"d"}"#),
            (
                "Usage(prompt_tokens=811, details=Details(cached=0, audio=None))",
                r#"{"details":{"cached":0},"prompt_tokens":811}"#,
            ),
            ("datetime.date(2026, 1, 2)", "[2026,1,2]"),
            ("Empty()", "{}"),
            ("[<Role.USER: 'user'>, <Level.HIGH: 2>]", r#"["user",2]"#),
            ("[nan, -inf, Infinity, -Infinity, NaN]", "[null,null,null,null,null]"),
            ("[1e-05, +3, -0.0, 12345678901234567890]", "[0.00001,3,0,12345678901234567890]"),
            (r#"{"a": [1, 2], "b": "c"}"#, r#"{"a":[1,2],"b":"c"}"#),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(json), "{text}");
        }
    }

    #[test]
    fn what_is_neither_json_nor_python_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1",
            "{'a'}",
            "{'a': }",
            "[1 2]",
            "word",
            "<Enum.A: 1",
            "<Enum.A>",
            "<: 1>",
            "<a b>",
            "{1, 2}",
            "'a",
            "'\\x4'",
            "'\\U00110000'",
            "F(a=1, 2)",
            "F(1, a=2)",
            "[,]",
            "1 2",
            "-",
            "--1",
            "01",
            "{'a': 1}x",
            "f'x'",
            "'a' 'b'",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (open, close) in [("[", "]"), ("(", ")"), ("{1:", "}"), ("F(", ")"), ("F(a=", ")")] {
            let nested = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(canonical(&nested(MAX_DEPTH as usize)).is_some(), "{open}");
            assert!(canonical(&nested(MAX_DEPTH as usize + 1)).is_none(), "{open}");
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |bound: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % bound
        };
        let pieces: Vec<&[u8]> = vec![
            b"{",
            b"}",
            b"[",
            b"]",
            b"(",
            b")",
            b"'",
            b"\"",
            b"\\",
            b"\\x4",
            b"\\u00",
            b"\\U0001f642",
            b",",
            b":",
            b"F(",
            b"a=",
            b"None",
            b"-",
            b"1",
            b".5",
            b"e9",
            b" ",
            b"\xff",
            b"\xed\xa0",
            b"nan",
        ];
        let tapes = Tapes::default();
        for _ in 0..40_000 {
            let text: Vec<u8> =
                (0..random(14)).flat_map(|_| pieces[random(pieces.len() as u64) as usize].to_vec()).collect();
            let mut out = Vec::new();
            tapes.with(parse, &text, |value| value.write(&mut out));
            if !out.is_empty() {
                // What was read is written as JSON, and that is read again as the same.
                let mut again = Vec::new();
                tapes.with(Tape::parse, &out, |value| value.write(&mut again)).unwrap();
                assert_eq!(out, again);
            }
        }
    }
}
