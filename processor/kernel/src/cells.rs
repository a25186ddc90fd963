//! Attribute values as cells of the plan's columns: what is usable, and which of several keys wins.

use crate::otlp::{Value, elements};
use crate::plan::{Type, Use};

/// A value fit for its column.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    /// A value whose text (or JSON) is wanted.
    Text(Value<'a>),
    /// What is gathered from several attributes, or from events, when it has won.
    Gathered,
    /// Text that was made on the way: its place in the span's scratch.
    Made {
        start: usize,
        end: usize,
    },
}

/// The value as a cell of a column of this type; none when it is not usable there.
///
/// Lenient, because senders are: numbers and booleans may come as text, integers as doubles, one string as an array
/// of it. NaN and infinities are no numbers here: nothing can be counted with them.
pub fn coerce<'a>(kind: Type, value: Value<'a>) -> Option<Cell<'a>> {
    match kind {
        Type::Dict | Type::Str | Type::Hash64 => scalar(value).map(Cell::Text),
        Type::U64 => unsigned(value).map(Cell::U64),
        Type::I64 => signed(value).map(Cell::I64),
        Type::F64 => float(value).map(Cell::F64),
        Type::Bool => boolean(value).map(Cell::Bool),
    }
}

/// The text inside quotes: some senders write every value as JSON. A text with something to unescape stays.
#[inline]
fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inside @ .., b'"'] if memchr::memchr2(b'"', b'\\', inside).is_none() => inside,
        _ => text,
    }
}

/// The value, if it is a plain one, or the first of an array.
#[inline]
pub fn scalar(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Str([b'"', ..]) | Value::Empty | Value::Array(_) | Value::KvList(_) => scalar_within(value),
        plain => Some(plain),
    }
}

fn scalar_within(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Array(array) => match elements(array).next()? {
            Value::Empty | Value::Array(_) | Value::KvList(_) => None,
            plain => Some(plain),
        },
        Value::Str(text) => Some(Value::Str(unquoted(text))),
        _ => None,
    }
}

fn unsigned(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::Double(number) => whole(number).and_then(|number| u64::try_from(number).ok()),
        Value::Str(text) => {
            let text = std::str::from_utf8(unquoted(text)).ok()?.trim();
            text.parse().ok().or_else(|| unsigned(Value::Double(text.parse().ok()?)))
        }
        _ => None,
    }
}

fn signed(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        Value::Double(number) => whole(number).and_then(|number| i64::try_from(number).ok()),
        Value::Str(text) => {
            let text = std::str::from_utf8(unquoted(text)).ok()?.trim();
            text.parse().ok().or_else(|| signed(Value::Double(text.parse().ok()?)))
        }
        _ => None,
    }
}

/// A double without fraction as the integer it is.
fn whole(number: f64) -> Option<i128> {
    (number.trunc() == number && number.abs() < 2f64.powi(64)).then_some(number as i128)
}

fn float(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Int(number) => number as f64,
        Value::Double(number) => number,
        Value::Str(text) => std::str::from_utf8(unquoted(text)).ok()?.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(flag),
        Value::Str(text) if text.eq_ignore_ascii_case(b"true") => Some(true),
        Value::Str(text) if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

/// The place of a value that is no attribute of its owner.
pub const NOWHERE: u32 = u32::MAX;

/// What a slot got.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// The owner of attributes this pick belongs to; another's is void.
    owner: u64,
    pub rank: u16,
    /// Number of the plan's `How`.
    pub how: u32,
    /// Which of the owner's attributes it is from.
    pub place: u32,
    pub cell: Cell<'a>,
}

/// For each slot of the plan the best cell of the span at hand.
#[derive(Debug)]
pub struct Picks<'a> {
    picks: Vec<Pick<'a>>,
    filled: Vec<u16>,
    owner: u64,
}

impl<'a> Picks<'a> {
    pub fn new(slots: usize) -> Self {
        let void = Pick { owner: 0, rank: 0, how: 0, place: NOWHERE, cell: Cell::Bool(false) };
        Self { picks: vec![void; slots], filled: Vec::with_capacity(slots), owner: 0 }
    }

    /// Starts a new owner.
    #[inline]
    pub fn begin(&mut self) {
        self.owner += 1;
        self.filled.clear();
    }

    /// Offers a value for a slot; `coerce` is asked only when its key's rank is better than what is there.
    #[inline]
    pub fn offer(&mut self, wanted: Use, place: u32, coerce: impl FnOnce() -> Option<Cell<'a>>) {
        let owner = self.owner;
        let Some(pick) = self.picks.get_mut(usize::from(wanted.slot)) else {
            return;
        };
        let taken = pick.owner == owner;
        if taken && pick.rank <= wanted.rank {
            return;
        }
        if let Some(cell) = coerce() {
            *pick = Pick { owner, rank: wanted.rank, how: wanted.how, place, cell };
            if !taken {
                self.filled.push(wanted.slot);
            }
        }
    }

    /// Number of slots filled.
    #[inline]
    pub fn len(&self) -> usize {
        self.filled.len()
    }

    /// The slots filled, and with what.
    #[inline]
    pub fn get(&self, index: usize) -> Option<(u16, &Pick<'a>)> {
        let slot = self.filled.get(index).copied()?;
        self.picks.get(usize::from(slot)).map(|pick| (slot, pick))
    }
}
