//! `lookup` for Python: columns come as buffers (numpy arrays), and go as bytes.

use arrow_buffer::{ArrowNativeType, ToByteSlice};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::lookup;

/// A column in the machine's order.
pub fn bytes<'py, T: ArrowNativeType>(py: Python<'py>, column: &[T]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, column.to_byte_slice())
}

#[pyclass(module = "clew_kernel")]
#[derive(Default)]
pub struct KeyTable(lookup::KeyTable);

#[pymethods]
impl KeyTable {
    #[new]
    #[pyo3(signature = (first=0))]
    fn new(first: u64) -> Self {
        Self(lookup::KeyTable::from_row(first))
    }

    fn find<'py>(
        &self,
        py: Python<'py>,
        wanted: PyBuffer<u64>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let (mut indices, mut rows) = (Vec::new(), Vec::new());
        self.0.find(&wanted.to_vec(py)?, usize::MAX, |index, row| {
            indices.push(index as i64);
            rows.push(row as i64);
        });
        Ok((bytes(py, &indices), bytes(py, &rows)))
    }

    fn add<'py>(&mut self, py: Python<'py>, column: PyBuffer<u64>) -> PyResult<Bound<'py, PyBytes>> {
        let twice = self.0.add(&column.to_vec(py)?);
        Ok(bytes(py, &twice.into_iter().map(|index| index as i64).collect::<Vec<_>>()))
    }

    fn forget(&mut self, oldest: u64) {
        self.0.forget(oldest);
    }
}

#[pyclass(module = "clew_kernel")]
#[derive(Default)]
pub struct KeySet(lookup::KeySet);

impl KeySet {
    pub fn contains(&self, key: u64) -> bool {
        self.0.contains(key)
    }
}

#[pymethods]
impl KeySet {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, py: Python<'_>, column: PyBuffer<u64>) -> PyResult<()> {
        self.0.add(&column.to_vec(py)?);
        Ok(())
    }

    fn among<'py>(&self, py: Python<'py>, column: PyBuffer<u64>) -> PyResult<Bound<'py, PyBytes>> {
        let column = column.to_vec(py)?;
        PyBytes::new_with(py, column.len(), |out| {
            out.iter_mut().zip(self.0.among(&column)).for_each(|(out, there)| *out = there.into());
            Ok(())
        })
    }

    fn sorted<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &py.detach(|| self.0.sorted()))
    }
}
