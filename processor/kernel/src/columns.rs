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
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::text::same;

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
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self.0.get(row..row + 2) {
            Some([start, end]) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }

    fn build(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0))
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
    pub fn get(&self, index: usize) -> &[u8] {
        self.data.get(self.ends.range(index)).unwrap_or_default()
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
    last: i32,
}

impl Interner {
    /// The number of `text`, a new one if it was not met before.
    #[inline]
    pub fn code(&mut self, text: &[u8]) -> i32 {
        if self.values.len() > 0 && same(self.values.get(self.last as usize), text) {
            return self.last;
        }
        let hash = self.hasher.hash_one(text);
        let Self { hasher, table, values, last } = self;
        if let Some(code) = table.find(hash, |code| same(values.get(*code as usize), text)) {
            *last = *code;
            return *code;
        }
        let code = offset(values.len());
        values.push(text);
        table.insert_unique(hash, code, |code| hasher.hash_one(values.get(*code as usize)));
        *last = code;
        code
    }
}

/// A dictionary array of `codes` into `values`, each of which is a place in them or null.
pub fn dictionary(codes: Vec<i32>, values: ArrayRef, nulls: Option<NullBuffer>) -> Built<ArrayRef> {
    let codes = Int32Array::try_new(ScalarBuffer::from(codes), nulls)?;
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
            self.bits.resize(byte + 1, 0);
        }
        if let Some(place) = self.bits.get_mut(byte) {
            *place |= 1 << (row % 8);
        }
        self.count += 1;
    }

    pub fn buffer(mut self, rows: usize) -> BooleanBuffer {
        self.bits.resize(rows.div_ceil(8), 0);
        BooleanBuffer::new(Buffer::from_vec(self.bits), 0, rows)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn nulls(self, rows: usize) -> Option<NullBuffer> {
        (self.count < rows).then(|| NullBuffer::new(self.buffer(rows)))
    }
}

/// The values of a column that only some rows have.
#[derive(Debug)]
pub enum Cells {
    Dict(Dict),
    Str(Strings),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Bool(Present),
}

/// A nullable column, filled only where there is a value: rows in between are padded when the next one comes.
#[derive(Debug)]
pub struct Sparse {
    pub present: Present,
    pub cells: Cells,
}

impl Sparse {
    pub fn build(mut self, rows: usize) -> Built<ArrayRef> {
        if self.present.is_empty() {
            // Most columns of most batches: memory that is zero already.
            match &mut self.cells {
                Cells::Dict(dict) => dict.codes = vec![0; rows],
                Cells::Str(_) | Cells::Bool(_) => {}
                Cells::U64(numbers) => *numbers = vec![0; rows],
                Cells::I64(numbers) => *numbers = vec![0; rows],
                Cells::F64(numbers) => *numbers = vec![0.0; rows],
            }
        }
        let nulls = self.present.nulls(rows);
        Ok(match self.cells {
            Cells::Dict(mut dict) => {
                dict.codes.resize(rows, 0);
                return dict.build(nulls);
            }
            Cells::Str(mut strings) => {
                strings.pad(rows);
                Arc::new(strings.utf8(nulls))
            }
            Cells::U64(mut numbers) => {
                numbers.resize(rows, 0);
                Arc::new(UInt64Array::try_new(ScalarBuffer::from(numbers), nulls)?)
            }
            Cells::I64(mut numbers) => {
                numbers.resize(rows, 0);
                Arc::new(Int64Array::try_new(ScalarBuffer::from(numbers), nulls)?)
            }
            Cells::F64(mut numbers) => {
                numbers.resize(rows, 0.0);
                Arc::new(Float64Array::try_new(ScalarBuffer::from(numbers), nulls)?)
            }
            Cells::Bool(flags) => Arc::new(BooleanArray::new(flags.buffer(rows), nulls)),
        })
    }
}
