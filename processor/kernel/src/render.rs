//! OTLP values as text: as the Collector writes attribute values, and as compact JSON.

use crate::otlp::{Value, elements, members};
use crate::scan::special;

/// How a nested value becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As Go's `encoding/json` writes a map: keys sorted, the last of equal keys, line separators escaped.
    Go,
    /// Members as they came.
    Received,
}

/// Appends the value as the Collector's `pcommon.Value.AsString` would.
///
/// Strings as they are, numbers in decimal, bytes in base64, arrays and lists as Go's JSON. Go refuses NaN and
/// infinities inside JSON and then writes nothing; so does this. (The Collector as of August 2026; before, it escaped
/// `<>&` in nested values and wrote other words for NaN and infinities.)
#[inline]
pub fn as_string(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => out.extend_from_slice(text),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Double(number) => go_double(*number, out),
        Value::Bytes(data) => base64(data, out),
        Value::Array(_) | Value::KvList(_) => {
            let start = out.len();
            if json(value, Style::Go, out).is_err() {
                out.truncate(start);
            }
        }
    }
}

/// Appends the value as compact JSON with its members in received order. NaN and infinities become null.
pub fn as_json(value: &Value<'_>, out: &mut Vec<u8>) {
    // Only the Go style refuses numbers.
    let _ = json(value, Style::Received, out);
}

struct NotANumber;

fn json(value: &Value<'_>, style: Style, out: &mut Vec<u8>) -> Result<(), NotANumber> {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Str(text) => quoted(text, style, out),
        Value::Double(number) if !number.is_finite() => {
            if style == Style::Go {
                return Err(NotANumber);
            }
            out.extend_from_slice(b"null");
        }
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => as_string(value, out),
        // Go sees no bytes at all as a nil slice, and that as null.
        Value::Bytes([]) if style == Style::Go => out.extend_from_slice(b"null"),
        Value::Bytes(data) => {
            out.push(b'"');
            base64(data, out);
            out.push(b'"');
        }
        Value::Array(array) => {
            out.push(b'[');
            for (index, element) in elements(array).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json(&element, style, out)?;
            }
            out.push(b']');
        }
        Value::KvList(list) => {
            let mut all: Vec<(&[u8], Value<'_>)> = members(list).collect();
            if style == Style::Go {
                // A stable sort keeps equal keys in order, so the last of each run is the one that counts.
                all.sort_by(|a, b| a.0.cmp(b.0));
                all.reverse();
                all.dedup_by(|later, kept| later.0 == kept.0);
                all.reverse();
            }
            out.push(b'{');
            for (index, (key, member)) in all.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quoted(key, style, out);
                out.push(b':');
                json(member, style, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn quoted(text: &[u8], style: Style, out: &mut Vec<u8>) {
    out.push(b'"');
    const FIRST: u8 = 0xe2; // of a line separator, U+2028 or U+2029, and of other signs
    let next: fn(&[u8], usize) -> usize = match style {
        Style::Go => special::<FIRST>,
        Style::Received => special::<b'"'>,
    };
    let mut plain = 0;
    let mut at = next(text, 0);
    while let Some(byte) = text.get(at) {
        if *byte != FIRST {
            out.extend_from_slice(text.get(plain..at).unwrap_or_default());
            escape(*byte, out);
            plain = at + 1;
        } else if let Some([0x80, last @ (0xa8 | 0xa9)]) = text.get(at + 1..at + 3) {
            out.extend_from_slice(text.get(plain..at).unwrap_or_default());
            out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            plain = at + 3;
        }
        at = next(text, plain.max(at + 1));
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default());
    out.push(b'"');
}

/// Appends the escape of a quote, backslash or control character: the two-letter form where JSON has one.
pub fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        _ => {
            out.extend_from_slice(b"\\u00");
            hex(&[byte], out);
        }
    }
}

/// Appends a double as Go's `float64AsString` and ECMAScript do: shortest digits that round trip, no exponent from
/// 1e-6 up to 1e21.
pub fn go_double(number: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;

    let size = number.abs();
    // Writing to a Vec does not fail.
    let _ = if number.is_nan() {
        out.write_all(b"NaN")
    } else if number.is_infinite() {
        out.write_all(if number > 0.0 { &b"Infinity"[..] } else { &b"-Infinity"[..] })
    } else if size < 9e15 && number.trunc() == number && !(number == 0.0 && number.is_sign_negative()) {
        out.write_all(itoa::Buffer::new().format(number as i64).as_bytes())
    } else if (1e-4..1e15).contains(&size) {
        // In this range the shortest form is plain decimal.
        out.write_all(zmij::Buffer::new().format_finite(number).as_bytes())
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        write!(out, "{number}")
    } else if size >= 1e21 {
        // Rust leaves out the plus sign.
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        write!(out, "{digits}e+{exponent}")
    } else {
        write!(out, "{number:e}")
    };
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends lower-case hex.
#[inline]
pub fn hex(data: &[u8], out: &mut Vec<u8>) {
    let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or_default();
    for byte in data {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Appends standard base64 with padding.
pub fn base64(data: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or_default();
    for chunk in data.chunks(3) {
        let mut bits = 0u32;
        for index in 0..3 {
            bits = bits << 8 | chunk.get(index).copied().map_or(0, u32::from);
        }
        let coded = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
        let used = chunk.len() + 1;
        out.extend_from_slice(coded.get(..used).unwrap_or_default());
        out.extend(std::iter::repeat_n(b'=', 4 - used));
    }
}
