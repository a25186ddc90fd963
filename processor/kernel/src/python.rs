//! The Python module: converts arguments and results, nothing else.

use std::sync::{Mutex, PoisonError};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, to_ffi};
use arrow_array::{Array, RecordBatch, StructArray};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use crate::content::Memory;
use crate::decode::{self, Clock, FIXED_COLUMNS, MAX_CALL_BYTES};
use crate::message::Tapes;
use crate::plan::Plan;
use crate::sip::{Key, hash128};

#[pymodule]
mod clew_kernel {
    #[pymodule_export]
    use super::{Batch, Decoded, Decoder, Verdict, canonical_json, content_hash, count_spans, version};
}

fn key_of(bytes: &[u8]) -> PyResult<Key> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err(format!("a hash key has {} bytes, expected 16", bytes.len())))
}

#[pyclass(frozen, module = "clew_kernel")]
struct Decoder {
    plan: Plan,
    memory: Mutex<Memory>,
}

#[pymethods]
impl Decoder {
    #[new]
    fn new(plan: &str) -> PyResult<Self> {
        let plan = Plan::parse(plan, &FIXED_COLUMNS).map_err(PyValueError::new_err)?;
        Ok(Self { plan, memory: Mutex::default() })
    }

    #[pyo3(signature = (bodies, keys, *, now_ns, min_time_ns, max_time_ns))]
    fn decode(
        &self,
        py: Python<'_>,
        bodies: Vec<Bound<'_, PyBytes>>,
        keys: Vec<Bound<'_, PyBytes>>,
        now_ns: i64,
        min_time_ns: i64,
        max_time_ns: i64,
    ) -> PyResult<Decoded> {
        if bodies.len() != keys.len() {
            return Err(PyValueError::new_err(format!(
                "{} bodies came with {} keys, expected one key for each body",
                bodies.len(),
                keys.len()
            )));
        }
        let mut pairs: Vec<(&[u8], Key)> = Vec::with_capacity(bodies.len());
        let mut total = 0usize;
        for (body, key) in bodies.iter().zip(&keys) {
            total = total.saturating_add(body.as_bytes().len());
            pairs.push((body.as_bytes(), key_of(key.as_bytes())?));
        }
        if total > MAX_CALL_BYTES {
            return Err(PyValueError::new_err(format!(
                "the bodies have {total} bytes together, expected at most {MAX_CALL_BYTES}; decode them in several calls"
            )));
        }
        let bound = |time: i64| u64::try_from(time).unwrap_or(0);
        let clock = Clock { now_ns, min_time_ns: bound(min_time_ns), max_time_ns: bound(max_time_ns) };
        let decoded = py.detach(|| {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            decode::decode(&self.plan, &mut memory, &pairs, clock)
        });
        let decoded = decoded.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Decoded {
            spans: Py::new(py, Batch(decoded.spans))?,
            contents: Py::new(py, Batch(decoded.contents))?,
            verdicts: decoded
                .verdicts
                .into_iter()
                .map(|v| Py::new(py, Verdict(v)))
                .collect::<PyResult<_>>()?,
        })
    }

    fn forget(&self) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

#[pyclass(frozen, module = "clew_kernel")]
struct Decoded {
    #[pyo3(get)]
    spans: Py<Batch>,
    #[pyo3(get)]
    contents: Py<Batch>,
    #[pyo3(get)]
    verdicts: Vec<Py<Verdict>>,
}

#[pyclass(frozen, module = "clew_kernel")]
struct Verdict(decode::Verdict);

#[pymethods]
impl Verdict {
    #[getter]
    fn spans(&self) -> u64 {
        self.0.spans
    }

    #[getter]
    fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    #[getter]
    fn rejected(&self) -> Vec<(&'static str, u64)> {
        self.0.rejected.clone()
    }

    #[getter]
    fn message(&self) -> &str {
        &self.0.message
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// A record batch for whoever speaks the Arrow PyCapsule interface.
#[pyclass(frozen, module = "clew_kernel")]
struct Batch(RecordBatch);

type Capsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.0.schema_ref().as_ref()).map_err(failed)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Capsules<'py>> {
        // A producer may ignore the requested schema; consumers cast.
        drop(requested_schema);
        let (array, _): (FFI_ArrowArray, _) =
            to_ffi(&StructArray::from(self.0.clone()).to_data()).map_err(failed)?;
        Ok((self.__arrow_c_schema__(py)?, PyCapsule::new_with_value(py, array, c"arrow_array")?))
    }
}

fn failed(error: arrow_schema::ArrowError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

#[pyfunction]
fn canonical_json<'py>(py: Python<'py>, text: &[u8]) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    crate::message::canonical(text, false, &mut Tapes::default(), &mut out);
    PyBytes::new(py, &out)
}

#[pyfunction]
fn content_hash<'py>(py: Python<'py>, key: &[u8], data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &hash128(&key_of(key)?, data)))
}

#[pyfunction]
fn count_spans(body: &[u8]) -> usize {
    crate::otlp::count_spans(body)
}

#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
