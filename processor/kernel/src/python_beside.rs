//! `beside` for Python: columns come as buffers (numpy arrays), and go as bytes.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::beside::{self, Agreeing, Limits};
use crate::python_lookup::bytes;

/// The columns of `Agreeing`, copied.
struct Columns {
    number: Vec<i64>,
    common: Vec<u64>,
    within: Vec<u64>,
    end_ns: Vec<i64>,
    root: Vec<u8>,
}

/// Number, common, within, end, root.
type Tuple = (PyBuffer<i64>, PyBuffer<u64>, PyBuffer<u64>, PyBuffer<i64>, PyBuffer<u8>);

impl Columns {
    fn of(py: Python<'_>, (number, common, within, end_ns, root): Tuple) -> PyResult<Self> {
        Ok(Self {
            number: number.to_vec(py)?,
            common: common.to_vec(py)?,
            within: within.to_vec(py)?,
            end_ns: end_ns.to_vec(py)?,
            root: root.to_vec(py)?,
        })
    }

    fn view(&self) -> Agreeing<'_> {
        Agreeing {
            number: &self.number,
            common: &self.common,
            within: &self.within,
            end_ns: &self.end_ns,
            root: &self.root,
        }
    }
}

#[pyclass(module = "clew_kernel")]
pub struct Beside(beside::Beside);

#[pymethods]
impl Beside {
    #[new]
    #[pyo3(signature = (first, *, slot_bits, apart_ns, crowd))]
    fn new(first: u64, slot_bits: u32, apart_ns: i64, crowd: usize) -> Self {
        Self(beside::Beside::from_row(first, Limits { slot_bits, apart_ns, crowd }))
    }

    fn add<'py>(&mut self, py: Python<'py>, some: Tuple) -> PyResult<Bound<'py, PyBytes>> {
        let columns = Columns::of(py, some)?;
        let mut numbers = Vec::new();
        self.0.find(&columns.view(), false, |number, row| numbers.extend([number, row as i64]));
        numbers.extend(self.0.add(&columns.view()));
        self.0.find(&columns.view(), true, |number, row| numbers.extend([number, row as i64]));
        Ok(bytes(py, &numbers))
    }

    fn find<'py>(&self, py: Python<'py>, some: Tuple) -> PyResult<Bound<'py, PyBytes>> {
        let columns = Columns::of(py, some)?;
        let mut numbers = Vec::new();
        for next in [false, true] {
            self.0.find(&columns.view(), next, |_, row| numbers.push(row as i64));
        }
        Ok(bytes(py, &numbers))
    }

    fn without_crowds<'py>(
        &self,
        py: Python<'py>,
        some: Tuple,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let (common, within) = self.0.without_crowds(&Columns::of(py, some)?.view());
        Ok((bytes(py, &common), bytes(py, &within)))
    }

    fn forget(&mut self, oldest: u64) {
        self.0.forget(oldest);
    }
}
