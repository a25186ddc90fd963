//! `groups` for Python: columns come as buffers (numpy arrays), and go as bytes.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::groups;
use crate::python_lookup::bytes;

#[pyclass(module = "clew_kernel", frozen)]
pub struct Groups(groups::Groups);

impl Groups {
    fn column<T: Element>(&self, py: Python<'_>, column: &PyBuffer<T>) -> PyResult<Vec<T>> {
        let (told, rows) = (column.item_count(), self.0.rows());
        if told == rows {
            return column.to_vec(py);
        }
        Err(PyValueError::new_err(format!(
            "a column of {told} rows, expected one of the {rows} that are grouped"
        )))
    }
}

#[pymethods]
impl Groups {
    #[new]
    #[pyo3(signature = (columns, counts, among=None))]
    fn new(
        py: Python<'_>,
        columns: &Bound<'_, PyList>,
        counts: Vec<u64>,
        among: Option<PyBuffer<u8>>,
    ) -> PyResult<Self> {
        let mut combined = groups::Combined::default();
        for (column, count) in columns.iter().zip(counts) {
            if let Ok(codes) = PyBuffer::<i32>::get(&column) {
                combined.and(codes.to_vec(py)?.into_iter().map(|code| code as u64), count);
            } else {
                let codes = PyBuffer::<i64>::get(&column)?;
                combined.and(codes.to_vec(py)?.into_iter().map(|code| code as u64), count);
            }
        }
        let among = among.map(|among| among.to_vec(py)).transpose()?;
        let is_among =
            |row| among.as_ref().is_none_or(|among| among.get(row).is_some_and(|there| *there != 0));
        Ok(Self(groups::Groups::of(&combined.keys, is_among)))
    }

    fn of_row<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &self.0.of_row())
    }

    fn first<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        rows(py, self.0.firsts())
    }

    fn count<'py>(&self, py: Python<'py>, flags: PyBuffer<u8>) -> PyResult<Bound<'py, PyBytes>> {
        let flags = self.column(py, &flags)?;
        Ok(bytes(py, &self.0.sum(&flags, |some| some.iter().map(|flag| i64::from(*flag)).sum())))
    }

    fn sum<'py>(&self, py: Python<'py>, values: PyBuffer<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let values = self.column(py, &values)?;
        let sum_of = |some: &[i64]| some.iter().fold(0, |total: i64, value| total.wrapping_add(*value));
        Ok(bytes(py, &self.0.sum(&values, sum_of)))
    }

    #[pyo3(signature = (values, *ties))]
    fn least<'py>(
        &self,
        py: Python<'py>,
        values: PyBuffer<i64>,
        ties: Vec<PyBuffer<i64>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let ties = ties.iter().map(|column| self.column(py, column)).collect::<PyResult<Vec<_>>>()?;
        Ok(rows(py, &self.0.least(&self.column(py, &values)?, &ties)))
    }
}

fn rows<'py>(py: Python<'py>, rows: &[u32]) -> Bound<'py, PyBytes> {
    bytes(py, &rows.iter().copied().map(i64::from).collect::<Vec<_>>())
}
