//! Points in time as senders write them in attributes.

use crate::json::trim;
use crate::otlp::Value;

/// Seconds from `start_ns` to the time told; none when it is no time, or lies before.
pub fn since(value: Value<'_>, start_ns: u64) -> Option<f64> {
    let told = match value {
        Value::Int(number) => unix(number)?,
        Value::Double(number) => unix_fraction(number)?,
        Value::Str(text) => of_text(text)?,
        _ => return None,
    };
    let elapsed = told.checked_sub(i128::from(start_ns))?;
    (elapsed >= 0).then_some(elapsed as f64 / 1e9)
}

/// A time in text: digits, or ISO 8601, in quotes (escaped ones too) or not.
fn of_text(text: &[u8]) -> Option<i128> {
    let mut text = trim(text);
    while let Some(inner) = [&b"\""[..], b"\\\""]
        .iter()
        .find_map(|quote| text.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)))
    {
        text = inner;
    }
    let text = std::str::from_utf8(text).ok()?;
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(number), _) => unix(number),
        (_, Ok(number)) => unix_fraction(number),
        _ => iso(text.as_bytes()),
    }
}

/// Nanoseconds since 1970 of a number of seconds, milliseconds, microseconds or nanoseconds: each stands for a time
/// between 1973 and 5138 in one of these only.
fn unix(number: i64) -> Option<i128> {
    Some(i128::from(number) * i128::from(unit(number as f64)?))
}

fn unix_fraction(number: f64) -> Option<i128> {
    Some((number * f64::from(unit(number)?)) as i128)
}

/// Nanoseconds in the unit such a number is of.
fn unit(number: f64) -> Option<u32> {
    match number {
        1e8..1e11 => Some(1_000_000_000),
        1e11..1e14 => Some(1_000_000),
        1e14..1e17 => Some(1_000),
        1e17..1e20 => Some(1),
        _ => None,
    }
}

/// `2026-01-02T03:04:05.678Z`, with a space for the T, without a fraction, with an offset, or without any zone (UTC).
fn iso(text: &[u8]) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(date.get(0..4)?)?, number(date.get(5..7)?)?, number(date.get(8..10)?)?);
    let (clock, rest) = rest.split_at_checked(9)?;
    let (hour, minute, second) =
        (number(clock.get(1..3)?)?, number(clock.get(4..6)?)?, number(clock.get(7..9)?)?);
    let separators = [date.get(4)?, date.get(7)?, clock.get(3)?, clock.get(6)?];
    if separators != [&b'-', &b'-', &b':', &b':'] || !matches!(clock.first()?, b'T' | b't' | b' ') {
        return None;
    }
    let known = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !known || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let digits = match rest.first() {
        Some(b'.' | b',') => rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let fraction = (0..9).fold(0, |sum, place| {
        let digit = if place < digits { rest.get(1 + place).map_or(0, |byte| byte - b'0') } else { 0 };
        sum * 10 + i128::from(digit)
    });
    let zone = rest.get(if digits > 0 { digits + 1 } else { 0 }..)?;
    let offset = match zone {
        [] | b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let minutes = match rest {
                [_, _, b':', _, _] => number(rest.get(0..2)?)? * 60 + number(rest.get(3..5)?)?,
                [_, _, _, _] => number(rest.get(0..2)?)? * 60 + number(rest.get(2..4)?)?,
                [_, _] => number(rest)? * 60,
                _ => return None,
            };
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    Some(i128::from(seconds) * 1_000_000_000 + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const START: u64 = 1_767_323_045_000_000_000;

    fn of(text: &str) -> Option<f64> {
        since(Value::Str(text.as_bytes()), START)
    }

    #[test]
    fn times_are_read_in_every_spelling() {
        for text in [
            "2026-01-02T03:04:06.500Z",
            "2026-01-02 03:04:06.5",
            "2026-01-02T05:04:06.500000+02:00",
            "2026-01-02T00:04:06.5-0300",
            "\"2026-01-02T03:04:06.500Z\"",
            "\"\\\"2026-01-02T03:04:06.500Z\\\"\"",
            "1767323046.5",
            "1767323046500",
            "1767323046500000",
            "1767323046500000000",
        ] {
            assert_eq!(of(text), Some(1.5), "{text}");
        }
        assert_eq!(since(Value::Int(1_767_323_046_500), START), Some(1.5));
        assert_eq!(since(Value::Double(1_767_323_046.5), START), Some(1.5));
    }

    #[test]
    fn what_is_no_time_or_before_the_start_is_none() {
        for text in ["", "soon", "12", "2026-13-02T03:04:06Z", "2026-01-02T03:04:06+1", "2026-01-02", "nan"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of("2026-01-02T03:04:04Z"), None);
    }

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!([days(1970, 1, 1), days(2000, 2, 29), days(2000, 3, 1)], [0, 11_016, 11_017]);
    }
}
