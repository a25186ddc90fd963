//! Growing Arrow columns: plain buffers while rows are added, arrays at the end.
//!
//! Sizes fit Arrow's 32-bit offsets because one call takes a bounded number of input bytes (see
//! [`crate::decode::MAX_CALL_BYTES`]) and no value becomes more than six times as long as it came.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Float64Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::text::{LATELY, same, slot};

type Built<T> = Result<T, ArrowError>;

/// An offset into column data.
fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Arrow offsets: 0, then where each row ends. Rows may be missing in between; they are empty.
#[derive(Debug, Clone)]
pub struct Offsets(Vec<i32>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    pub fn rows(&self) -> usize {
        self.0.len() - 1
    }

    /// Ends a row at `length`.
    #[inline]
    pub fn end(&mut self, length: usize) {
        self.0.push(offset(length));
    }

    /// Adds empty rows until there are `rows`.
    #[inline]
    pub fn pad(&mut self, rows: usize) {
        let last = self.0.last().copied().unwrap_or(0);
        self.0.resize(rows + 1, last);
    }

    pub fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
    }

    #[inline]
    fn range(&self, row: usize) -> Option<std::ops::Range<usize>> {
        match self.0.get(row..row + 2) {
            Some([start, end]) => Some(*start as usize..*end as usize),
            _ => None,
        }
    }

    fn build(self) -> OffsetBuffer<i32> {
        debug_assert!(self.0.is_sorted());
        // SAFETY: the first is 0, there always is one, and each later one is a length of data that grows, or the one before.
        unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(self.0)) }
    }
}

/// Strings (or bytes) one after the other.
#[derive(Debug, Default)]
pub struct Strings {
    ends: Offsets,
    data: Vec<u8>,
}

impl Strings {
    pub fn len(&self) -> usize {
        self.ends.rows()
    }

    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        self.data.extend_from_slice(text);
        self.ends.end(self.data.len());
    }

    /// Pushes what `write` appends.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.ends.end(self.data.len());
    }

    /// Makes room for so many strings of so many bytes together.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.ends.reserve(rows);
        self.data.reserve(bytes);
    }

    /// Adds empty strings until there are `rows`.
    pub fn pad(&mut self, rows: usize) {
        self.ends.pad(rows);
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&[u8]> {
        self.data.get(self.ends.range(index)?)
    }

    pub fn utf8(self, nulls: Option<NullBuffer>) -> StringArray {
        debug_assert!(std::str::from_utf8(&self.data).is_ok());
        // SAFETY: every byte pushed into a text column was checked to be UTF-8 while parsing or written by `render`,
        // and each push is a whole string; offsets ascend because they are lengths of growing data.
        unsafe { StringArray::new_unchecked(self.ends.build(), Buffer::from_vec(self.data), nulls) }
    }

    pub fn binary(self) -> Built<BinaryArray> {
        BinaryArray::try_new(self.ends.build(), Buffer::from_vec(self.data), None)
    }
}

/// Distinct strings, each with its number.
#[derive(Debug, Default)]
pub struct Interner {
    hasher: RandomState,
    table: HashTable<i32>,
    values: Strings,
    /// The string that came last of those with the same [`slot`]: most columns have few that come again and again.
    lately: [Lately; LATELY],
}

/// A string's number, one more than that (0: none), and where it stands.
#[derive(Debug, Clone, Copy, Default)]
struct Lately {
    number: i32,
    start: u32,
    end: u32,
}

impl Interner {
    /// The number of `text`, a new one if it was not met before.
    #[inline]
    pub fn code(&mut self, text: &[u8]) -> i32 {
        if let Some(Lately { number, start, end }) = self.lately.get(slot(text))
            && *number > 0
            && let Some(known) = self.values.data.get(*start as usize..*end as usize)
            && same(known, text)
        {
            return number - 1;
        }
        self.find(text)
    }

    fn find(&mut self, text: &[u8]) -> i32 {
        let hash = self.hasher.hash_one(text);
        let Self { hasher, table, values, lately } = self;
        let value = |code: i32| values.get(code as usize).unwrap_or_default();
        let code = match table.find(hash, |code| same(value(*code), text)) {
            Some(code) => *code,
            None => {
                let code = offset(values.len());
                values.push(text);
                let value = |code: i32| values.get(code as usize).unwrap_or_default();
                table.insert_unique(hash, code, |code| hasher.hash_one(value(*code)));
                code
            }
        };
        if let (Some(place), Some(range)) = (lately.get_mut(slot(text)), values.ends.range(code as usize)) {
            *place = Lately { number: code + 1, start: range.start as u32, end: range.end as u32 };
        }
        code
    }
}

/// A dictionary array of `codes` into `values`, each of which is a place in them or null.
fn dictionary(
    codes: impl Into<ScalarBuffer<i32>>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Built<ArrayRef> {
    let codes = Int32Array::try_new(codes.into(), nulls)?;
    debug_assert!(codes.iter().flatten().all(|code| (0..values.len()).contains(&(code as usize))));
    // SAFETY: codes are numbers that an interner, or a table of fixed names, gave to one of `values`; checking them all
    // again, column by column, takes a twentieth of the time of decoding.
    Ok(Arc::new(unsafe { DictionaryArray::<Int32Type>::new_unchecked(codes, values) }))
}

/// A dictionary column.
#[derive(Debug, Default)]
pub struct Dict {
    pub codes: Vec<i32>,
    pub names: Interner,
}

impl Dict {
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        let code = self.names.code(text);
        self.codes.push(code);
    }

    pub fn build(self, nulls: Option<NullBuffer>) -> Built<ArrayRef> {
        dictionary(self.codes, Arc::new(self.names.values.utf8(None)), nulls)
    }
}

/// A dictionary array over a fixed list of names.
pub fn fixed_names(codes: Vec<i32>, names: &[&str]) -> Built<ArrayRef> {
    dictionary(codes, Arc::new(StringArray::from(names.to_vec())), None)
}

/// Values of a map column: plain, or each distinct one once.
pub trait MapValues {
    fn build(self) -> Built<ArrayRef>;
}

impl MapValues for Strings {
    fn build(self) -> Built<ArrayRef> {
        Ok(Arc::new(self.utf8(None)))
    }
}

impl MapValues for Dict {
    fn build(self) -> Built<ArrayRef> {
        Dict::build(self, None)
    }
}

/// A map column. Keys are codes into a dictionary that all map columns share.
#[derive(Debug, Default)]
pub struct Map<V> {
    pub ends: Offsets,
    pub keys: Vec<i32>,
    pub values: V,
}

impl<V: MapValues> Map<V> {
    /// Ends the current row's map.
    #[inline]
    pub fn end(&mut self) {
        self.ends.end(self.keys.len());
    }

    pub fn build(self, keys: &ArrayRef) -> Built<ArrayRef> {
        let keys = dictionary(self.keys, Arc::clone(keys), None)?;
        let values = self.values.build()?;
        let fields = Fields::from(vec![
            Field::new("key", keys.data_type().clone(), false),
            Field::new("value", values.data_type().clone(), false),
        ]);
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
        let entry = Arc::new(Field::new("entries", DataType::Struct(fields), false));
        Ok(Arc::new(MapArray::try_new(entry, self.ends.build(), entries, None, false)?))
    }
}

/// A list array over `items`.
pub fn list(ends: Offsets, items: ArrayRef) -> Built<ArrayRef> {
    let field = Arc::new(Field::new("item", items.data_type().clone(), false));
    Ok(Arc::new(ListArray::try_new(field, ends.build(), items, None)?))
}

/// Nanoseconds since 1970, UTC.
pub fn timestamps(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::new(ScalarBuffer::from(times), None).with_timezone("UTC"))
}

/// 128-bit hashes one after the other.
pub fn hashes(data: Vec<u8>) -> Built<ArrayRef> {
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(data), None)?))
}

/// Which rows of a sparse column hold a value.
#[derive(Debug, Default)]
pub struct Present {
    bits: Vec<u8>,
    count: usize,
}

impl Present {
    #[inline]
    pub fn set(&mut self, row: usize) {
        let byte = row / 8;
        if byte >= self.bits.len() {
            self.grow(row + 1);
        }
        if let Some(place) = self.bits.get_mut(byte) {
            *place |= 1 << (row % 8);
        }
        self.count += 1;
    }

    /// Makes room for so many rows.
    fn grow(&mut self, rows: usize) {
        let wanted = rows.div_ceil(8).max(2 * self.bits.len());
        self.bits.resize(wanted, 0);
    }

    pub fn buffer(mut self, rows: usize) -> BooleanBuffer {
        self.bits.resize(rows.div_ceil(8), 0);
        BooleanBuffer::new(Buffer::from_vec(self.bits), 0, rows)
    }

    pub fn nulls(self, rows: usize) -> Option<NullBuffer> {
        (self.count < rows).then(|| NullBuffer::new(self.buffer(rows)))
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Dict,
    Str,
    U64,
    I64,
    F64,
    Bool,
}

/// The values of a column that only some rows have.
#[derive(Debug)]
enum Cells {
    Dict(Box<Dict>),
    Str(Strings),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Bool(Present),
}

/// A nullable column. Where it has no value yet, it takes no memory; with the first it gets room for all rows expected,
/// zeros where nothing is put.
#[derive(Debug)]
pub struct Sparse {
    present: Present,
    cells: Cells,
    expected: usize,
}

/// Most rows that one value makes room for: what is expected is a guess, and there are many columns.
const MOST_AT_ONCE: usize = 1 << 15;

/// Puts a value into its row.
#[inline]
fn put<T: Copy + Default>(values: &mut Vec<T>, row: usize, expected: usize, value: T) {
    if row >= values.len() {
        grow(values, row, expected);
    }
    if let Some(place) = values.get_mut(row) {
        *place = value;
    }
}

#[cold]
fn grow<T: Copy + Default>(values: &mut Vec<T>, row: usize, expected: usize) {
    values.resize(expected.max(row + 1).max(2 * values.len()), T::default());
}

impl Sparse {
    pub fn new(holds: Holds, expected: usize) -> Self {
        let cells = match holds {
            Holds::Dict => Cells::Dict(Box::default()),
            Holds::Str => Cells::Str(Strings::default()),
            Holds::U64 => Cells::U64(Vec::new()),
            Holds::I64 => Cells::I64(Vec::new()),
            Holds::F64 => Cells::F64(Vec::new()),
            Holds::Bool => Cells::Bool(Present::default()),
        };
        Self { present: Present::default(), cells, expected: expected.min(MOST_AT_ONCE) }
    }

    #[inline]
    fn set(&mut self, row: usize) {
        if self.present.bits.is_empty() {
            self.present.grow(self.expected.max(row + 1));
        }
        self.present.set(row);
    }

    /// Puts a text into a row, each row once and later ones after earlier ones. A column of another type stays as it is;
    /// so it is with the other values.
    #[inline]
    pub fn text(&mut self, row: usize, text: &[u8]) {
        match &mut self.cells {
            Cells::Dict(dict) => {
                let code = dict.names.code(text);
                put(&mut dict.codes, row, self.expected, code);
            }
            Cells::Str(strings) => {
                if strings.len() == 0 {
                    strings.reserve(self.expected, 0);
                }
                strings.pad(row);
                strings.push(text);
            }
            _ => return,
        }
        self.set(row);
    }

    #[inline]
    pub fn u64(&mut self, row: usize, number: u64) {
        if let Cells::U64(numbers) = &mut self.cells {
            put(numbers, row, self.expected, number);
            self.set(row);
        }
    }

    pub fn i64(&mut self, row: usize, number: i64) {
        if let Cells::I64(numbers) = &mut self.cells {
            put(numbers, row, self.expected, number);
            self.set(row);
        }
    }

    pub fn f64(&mut self, row: usize, number: f64) {
        if let Cells::F64(numbers) = &mut self.cells {
            put(numbers, row, self.expected, number);
            self.set(row);
        }
    }

    pub fn bool(&mut self, row: usize, flag: bool) {
        if let Cells::Bool(flags) = &mut self.cells {
            if flag {
                flags.set(row);
            }
            self.set(row);
        }
    }

    pub fn build(self, rows: usize, zeros: &Zeros) -> Built<ArrayRef> {
        let nulls = if self.present.count == 0 { zeros.nulls(rows) } else { self.present.nulls(rows) };
        Ok(match self.cells {
            Cells::Dict(dict) => {
                let Dict { codes, names } = *dict;
                return dictionary(zeros.filled(codes, rows), Arc::new(names.values.utf8(None)), nulls);
            }
            Cells::Str(mut strings) => {
                strings.pad(rows);
                Arc::new(strings.utf8(nulls))
            }
            Cells::U64(numbers) => Arc::new(UInt64Array::try_new(zeros.filled(numbers, rows), nulls)?),
            Cells::I64(numbers) => Arc::new(Int64Array::try_new(zeros.filled(numbers, rows), nulls)?),
            Cells::F64(numbers) => Arc::new(Float64Array::try_new(zeros.filled(numbers, rows), nulls)?),
            Cells::Bool(flags) => Arc::new(BooleanArray::new(flags.buffer(rows), nulls)),
        })
    }
}

/// Zeros that all columns without a value share: most columns of most batches.
#[derive(Debug)]
pub struct Zeros(Buffer);

impl Zeros {
    /// For batches of so many rows.
    pub fn new(rows: usize) -> Self {
        Self(Buffer::from_vec(vec![0u64; rows]))
    }

    /// The values of so many rows; zeros where there are none.
    fn filled<T: ArrowNativeType>(&self, mut values: Vec<T>, rows: usize) -> ScalarBuffer<T> {
        if values.is_empty() {
            return ScalarBuffer::new(self.0.clone(), 0, rows);
        }
        values.resize(rows, T::default());
        ScalarBuffer::from(values)
    }

    fn nulls(&self, rows: usize) -> Option<NullBuffer> {
        (rows > 0).then(|| NullBuffer::new(BooleanBuffer::new(self.0.clone(), 0, rows)))
    }
}
