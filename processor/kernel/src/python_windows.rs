//! `windows` for Python: columns come as buffers (numpy arrays), and go as bytes.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::python_lookup::{KeySet, bytes};
use crate::windows::{Calls, Contents, windows as told_by};

/// Hashes of 16 bytes as two numbers each, and lengths.
type Column = (PyBuffer<u64>, PyBuffer<u32>);

fn contents(py: Python<'_>, (hashes, bytes): Column) -> PyResult<Contents> {
    let hashes = hashes.to_vec(py)?.into_iter().step_by(2).collect();
    Ok(Contents { hashes, bytes: bytes.to_vec(py)? })
}

#[pyfunction]
#[pyo3(signature = (*, system, tools, messages, roles, counts, tokens, start_ns, run, known))]
#[allow(clippy::too_many_arguments)] // named ones, columns of one table
pub fn windows<'py>(
    py: Python<'py>,
    system: Column,
    tools: Column,
    messages: Column,
    roles: PyBuffer<u8>,
    counts: PyBuffer<u32>,
    tokens: PyBuffer<i64>,
    start_ns: PyBuffer<i64>,
    run: PyBuffer<u64>,
    known: Vec<PyRef<'py, KeySet>>,
) -> PyResult<(Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>)> {
    let calls = Calls {
        system: contents(py, system)?,
        tools: contents(py, tools)?,
        messages: contents(py, messages)?,
        roles: roles.to_vec(py)?,
        counts: counts.to_vec(py)?,
        tokens: tokens.to_vec(py)?,
        start_ns: start_ns.to_vec(py)?,
        run: run.to_vec(py)?,
    };
    let told = told_by(&calls, |key| known.iter().any(|set| set.contains(key)));
    let columns = told.parts.iter().chain([&told.repeated, &told.reread]);
    Ok((columns.map(|column| bytes(py, column)).collect(), bytes(py, &told.read)))
}
