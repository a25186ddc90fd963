//! The Python module: converts arguments and results, nothing else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, to_ffi};
use arrow_array::{Array, RecordBatch, StructArray};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use crate::content::Memory;
use crate::decode::{self, Clock, MAX_CALL_BYTES};
use crate::hash::{Key, Keyed};
use crate::json::Tapes;
use crate::log_rows::decode_logs;
use crate::message::Reading;
use crate::otlp::Limits;
use crate::plan::{DEFAULT_DEPTH, MAX_DEPTH, Plan};
use crate::seen::{LEAST_ROOM, MAX_HORIZON_NS, Seen};
use crate::shapes::Role;

#[pymodule]
mod clew_kernel {
    #[pymodule_export]
    use super::{
        Batch, Decoded, DecodedLogs, Decoder, SeenChunk, Verdict, canonical_json, canonical_message,
        content_hash, inspect, inspect_logs, version,
    };
    #[pymodule_export]
    use crate::python_beside::Beside;
    #[pymodule_export]
    use crate::python_groups::Groups;
    #[pymodule_export]
    use crate::python_lookup::{KeySet, KeyTable};
    #[pymodule_export]
    use crate::python_windows::windows;
}

/// Spans remembered at most unless told otherwise; they take 171 MB.
const DEFAULT_REMEMBERED: usize = 8_000_000;

fn key_of(bytes: &[u8]) -> PyResult<Key> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err(format!("a hash key has {} bytes, expected 16", bytes.len())))
}

/// Memory of a bytes-like object, which stays where it is until this is dropped.
enum Body<'py> {
    Bytes(Bound<'py, PyBytes>),
    Buffer(PyUntypedBuffer),
}

impl<'py> Body<'py> {
    fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        let buffer = PyUntypedBuffer::get(object)?;
        // It is read while other Python threads run, so nobody may write to it.
        if !buffer.readonly() {
            return Err(PyValueError::new_err(
                "a body's memory is writable, expected bytes or a read-only view (memoryview.toreadonly())",
            ));
        }
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err(
                "a body's memory is not contiguous, expected bytes or a view without steps",
            ));
        }
        Ok(Self::Buffer(buffer))
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Buffer(buffer) if buffer.len_bytes() == 0 => &[],
            // SAFETY: Python says that so many bytes lie there one after the other, holds them until the buffer is
            // released, which drop does, and that nobody writes to them through this view. The interface's text asks
            // callers not to write to them through another one.
            Self::Buffer(buffer) => unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
            },
        }
    }
}

/// Bodies of one call with their tenants' keys.
fn pairs<'b>(bodies: &'b [Body<'_>], keys: &[Bound<'_, PyBytes>]) -> PyResult<Vec<(&'b [u8], Key)>> {
    if bodies.len() != keys.len() {
        return Err(PyValueError::new_err(format!(
            "{} bodies came with {} keys, expected one key for each body",
            bodies.len(),
            keys.len()
        )));
    }
    let mut pairs = Vec::with_capacity(bodies.len());
    let mut total = 0usize;
    for (body, key) in bodies.iter().zip(keys) {
        total = total.saturating_add(body.as_slice().len());
        pairs.push((body.as_slice(), key_of(key.as_bytes())?));
    }
    if total > MAX_CALL_BYTES {
        return Err(PyValueError::new_err(format!(
            "the bodies have {total} bytes together, expected at most {MAX_CALL_BYTES}; decode them in several calls"
        )));
    }
    Ok(pairs)
}

fn verdicts(py: Python<'_>, verdicts: Vec<decode::Verdict>) -> PyResult<Vec<Py<Verdict>>> {
    verdicts.into_iter().map(|verdict| Py::new(py, Verdict(verdict))).collect()
}

/// Span times from Python: what is before 1970 is taken for its first nanosecond.
fn bound(time_ns: i64) -> u64 {
    u64::try_from(time_ns).unwrap_or(0)
}

#[derive(Debug)]
struct Memories {
    contents: Memory,
    seen: Seen,
}

#[pyclass(frozen, module = "clew_kernel")]
struct Decoder {
    plan: Plan,
    memories: Mutex<Memories>,
}

impl Decoder {
    fn memories(&self) -> MutexGuard<'_, Memories> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (plan, *, resend_horizon_ns=0, max_remembered_spans=DEFAULT_REMEMBERED))]
    fn new(plan: &str, resend_horizon_ns: i64, max_remembered_spans: usize) -> PyResult<Self> {
        let plan = Plan::parse(plan).map_err(PyValueError::new_err)?;
        if !(0..=MAX_HORIZON_NS).contains(&resend_horizon_ns) {
            return Err(PyValueError::new_err(format!(
                "resend_horizon_ns is {resend_horizon_ns}, expected 0 (off) to {MAX_HORIZON_NS} (365 days)"
            )));
        }
        if max_remembered_spans < LEAST_ROOM {
            return Err(PyValueError::new_err(format!(
                "max_remembered_spans is {max_remembered_spans}, expected at least {LEAST_ROOM}"
            )));
        }
        let seen = Seen::new(resend_horizon_ns, max_remembered_spans);
        Ok(Self { plan, memories: Mutex::new(Memories { contents: Memory::default(), seen }) })
    }

    #[pyo3(signature = (bodies, keys, *, now_ns, min_time_ns, max_time_ns))]
    fn decode(
        &self,
        py: Python<'_>,
        bodies: Vec<Bound<'_, PyAny>>,
        keys: Vec<Bound<'_, PyBytes>>,
        now_ns: i64,
        min_time_ns: i64,
        max_time_ns: i64,
    ) -> PyResult<Decoded> {
        let bodies = bodies.iter().map(Body::of).collect::<PyResult<Vec<_>>>()?;
        let pairs = pairs(&bodies, &keys)?;
        let clock = Clock { now_ns, min_time_ns: bound(min_time_ns), max_time_ns: bound(max_time_ns) };
        let decoded = py.detach(|| {
            let Memories { contents, seen } = &mut *self.memories();
            decode::decode(&self.plan, contents, seen, &pairs, clock)
        });
        let decoded = decoded.map_err(failed)?;
        Ok(Decoded {
            spans: Py::new(py, Batch(decoded.spans))?,
            contents: Py::new(py, Batch(decoded.contents))?,
            verdicts: verdicts(py, decoded.verdicts)?,
            forgotten: decoded.forgotten,
            start_rows: decoded.starts.rows,
            ended_rows: decoded.starts.ended,
        })
    }

    #[pyo3(signature = (bodies, keys, *, now_ns, min_time_ns, max_time_ns))]
    fn decode_logs(
        &self,
        py: Python<'_>,
        bodies: Vec<Bound<'_, PyAny>>,
        keys: Vec<Bound<'_, PyBytes>>,
        now_ns: i64,
        min_time_ns: i64,
        max_time_ns: i64,
    ) -> PyResult<DecodedLogs> {
        let bodies = bodies.iter().map(Body::of).collect::<PyResult<Vec<_>>>()?;
        let pairs = pairs(&bodies, &keys)?;
        let clock = Clock { now_ns, min_time_ns: bound(min_time_ns), max_time_ns: bound(max_time_ns) };
        let decoded = py.detach(|| decode_logs(&self.plan, &mut self.memories().contents, &pairs, clock));
        let decoded = decoded.map_err(failed)?;
        Ok(DecodedLogs {
            logs: Py::new(py, Batch(decoded.logs))?,
            messages: Py::new(py, Batch(decoded.messages))?,
            contents: Py::new(py, Batch(decoded.contents))?,
            spans: decoded
                .spans
                .iter()
                .map(|made| made.as_ref().map(|body| PyBytes::new(py, body).unbind()))
                .collect(),
            verdicts: verdicts(py, decoded.verdicts)?,
        })
    }

    fn forget(&self) {
        self.memories().contents.forget();
    }

    fn export_seen(&self, py: Python<'_>) -> SeenChunk {
        let chunk = py.detach(|| self.memories().seen.export());
        let data = PyBytes::new(py, &chunk.data).unbind();
        SeenChunk { data, generation: chunk.generation, oldest: chunk.oldest }
    }

    fn import_seen(&self, py: Python<'_>, chunks: Vec<Bound<'_, PyBytes>>) -> PyResult<u64> {
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        py.detach(|| self.memories().seen.import(&chunks)).map_err(PyValueError::new_err)
    }
}

#[pyclass(frozen, module = "clew_kernel")]
struct SeenChunk {
    #[pyo3(get)]
    data: Py<PyBytes>,
    #[pyo3(get)]
    generation: u64,
    #[pyo3(get)]
    oldest: u64,
}

#[pyclass(frozen, module = "clew_kernel")]
struct Decoded {
    #[pyo3(get)]
    spans: Py<Batch>,
    #[pyo3(get)]
    contents: Py<Batch>,
    #[pyo3(get)]
    verdicts: Vec<Py<Verdict>>,
    #[pyo3(get)]
    forgotten: u64,
    #[pyo3(get)]
    start_rows: Vec<u32>,
    #[pyo3(get)]
    ended_rows: Vec<u32>,
}

#[pyclass(frozen, module = "clew_kernel")]
struct DecodedLogs {
    #[pyo3(get)]
    logs: Py<Batch>,
    #[pyo3(get)]
    messages: Py<Batch>,
    #[pyo3(get)]
    contents: Py<Batch>,
    #[pyo3(get)]
    spans: Vec<Option<Py<PyBytes>>>,
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

    #[getter]
    fn late(&self) -> u64 {
        self.0.late
    }

    #[getter]
    fn resource_bytes(&self) -> usize {
        self.0.resource_bytes
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
    crate::message::canonical(text, Reading::Value, &Tapes::default(), &mut out, &mut Vec::new());
    PyBytes::new(py, &out)
}

#[pyfunction]
#[pyo3(signature = (text, role="user"))]
fn canonical_message<'py>(py: Python<'py>, text: &[u8], role: &str) -> PyResult<Bound<'py, PyBytes>> {
    let Some(role) = Role::parse(role.as_bytes()) else {
        return Err(PyValueError::new_err(format!(
            "role is {role:?}, expected \"system\", \"user\", \"assistant\" or \"tool\""
        )));
    };
    let mut out = Vec::new();
    crate::message::canonical(text, Reading::Message(role), &Tapes::default(), &mut out, &mut Vec::new());
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
fn content_hash<'py>(py: Python<'py>, key: &[u8], data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &Keyed::new(&key_of(key)?).hash128(data)))
}

/// Bodies shorter than this are inspected without letting other threads run: the time is less (some 0.2 ms) than that
/// of getting the interpreter back.
const DETACH_BYTES: usize = 256 << 10;

#[pyfunction]
#[pyo3(signature = (body, *, max_span_bytes, min_time_ns, max_time_ns, max_depth=DEFAULT_DEPTH))]
fn inspect(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    max_span_bytes: usize,
    min_time_ns: i64,
    max_time_ns: i64,
    max_depth: u32,
) -> PyResult<Verdict> {
    let limits = limits(max_span_bytes, min_time_ns, max_time_ns, max_depth)?;
    judged(py, body, |body| crate::inspect(body, limits))
}

#[pyfunction]
#[pyo3(signature = (body, *, max_span_bytes, min_time_ns, max_time_ns, max_depth=DEFAULT_DEPTH))]
fn inspect_logs(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    max_span_bytes: usize,
    min_time_ns: i64,
    max_time_ns: i64,
    max_depth: u32,
) -> PyResult<Verdict> {
    let limits = limits(max_span_bytes, min_time_ns, max_time_ns, max_depth)?;
    judged(py, body, |body| crate::inspect_logs(body, limits))
}

fn limits(max_span_bytes: usize, min_time_ns: i64, max_time_ns: i64, max_depth: u32) -> PyResult<Limits> {
    if max_depth > MAX_DEPTH {
        return Err(PyValueError::new_err(format!("max_depth is {max_depth}, expected at most {MAX_DEPTH}")));
    }
    Ok(Limits { max_span_bytes, max_depth, min_time: bound(min_time_ns), max_time: bound(max_time_ns) })
}

fn judged(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    judge: impl Fn(&[u8]) -> decode::Verdict + Sync,
) -> PyResult<Verdict> {
    let body = Body::of(body)?;
    let body = body.as_slice();
    Ok(Verdict(if body.len() < DETACH_BYTES { judge(body) } else { py.detach(|| judge(body)) }))
}

#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
