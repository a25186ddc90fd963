//! clew's native kernel: OTLP wire bytes to Arrow columns.
//!
//! [`decode::decode`] is the whole of it. Without the feature `python` this is a plain Rust crate.

mod cells;
mod columns;
mod content;
pub mod decode;
mod json;
mod keys;
mod message;
mod otlp;
mod parents;
pub mod plan;
#[cfg(feature = "python")]
mod python;
mod refusal;
mod render;
mod rows;
pub mod sip;
mod text;
mod wire;

pub use content::Memory;
