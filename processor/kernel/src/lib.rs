//! clew's native kernel: OTLP wire bytes to Arrow columns.
//!
//! [`decode::decode`] is the whole of it. Without the feature `python` this is a plain Rust crate.

pub mod beside;
mod cells;
mod columns;
mod content;
pub mod decode;
mod detect;
mod extract;
mod facts;
mod flatten;
mod gather;
pub mod groups;
mod hash;
mod history;
mod inspect;
mod json;
mod keys;
mod late;
mod layouts;
mod literal;
pub mod log_rows;
mod logs;
pub mod lookup;
mod marks;
mod message;
mod otlp;
mod parents;
mod paths;
mod pieces;
pub mod plan;
mod prints;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "python")]
mod python_beside;
#[cfg(feature = "python")]
mod python_groups;
#[cfg(feature = "python")]
mod python_lookup;
#[cfg(feature = "python")]
mod python_windows;
mod refusal;
mod remainder;
mod render;
mod rows;
mod scan;
mod seen;
mod shapes;
mod text;
mod times;
mod transcode;
pub mod windows;
mod wire;

pub use content::Memory;
pub use inspect::{inspect, inspect_logs};
pub use otlp::Limits;
pub use seen::{Chunk, Seen};
