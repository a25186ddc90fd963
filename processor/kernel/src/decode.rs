//! One call: bodies in, a batch of spans and a batch of contents out.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use crate::content::{Memory, Owner};
use crate::keys::KeyTable;
use crate::otlp::{Body, Limits, count_spans};
use crate::plan::Plan;
use crate::rows::Rows;
use crate::sip::Key;

/// Most input bytes of one call; what they become fits Arrow's 32-bit offsets.
pub const MAX_CALL_BYTES: usize = 256 << 20;

/// Names of the columns that do not come from the plan.
pub const FIXED_COLUMNS: [&str; 24] = [
    "request",
    "parent_row",
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "ServiceName",
    "ResourceAttributes",
    "ScopeName",
    "ScopeVersion",
    "SpanAttributes",
    "Duration",
    "StatusCode",
    "StatusMessage",
    "Events.Timestamp",
    "Events.Name",
    "Events.Attributes",
    "Links.TraceId",
    "Links.SpanId",
    "Links.TraceState",
    "Links.Attributes",
];

/// When the call happens, and which span times are taken.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub now_ns: i64,
    pub min_time_ns: u64,
    pub max_time_ns: u64,
}

/// What became of one body.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Spans accepted.
    pub spans: u64,
    /// Why the whole body was refused.
    pub error: Option<String>,
    /// Spans refused one by one, counted by reason; only reasons that occurred.
    pub rejected: Vec<(&'static str, u64)>,
    /// A sentence about the first refused span, empty when there is none.
    pub message: String,
}

/// What a call gives back.
#[derive(Debug)]
pub struct Decoded {
    pub spans: RecordBatch,
    pub contents: RecordBatch,
    pub verdicts: Vec<Verdict>,
}

/// Decodes bodies, each with its tenant's hash key.
///
/// Bad input never fails the call: verdicts say what happened. The error is for a batch that Arrow would not take,
/// which would be a mistake in here.
pub fn decode(
    plan: &Plan,
    memory: &mut Memory,
    bodies: &[(&[u8], Key)],
    clock: Clock,
) -> Result<Decoded, ArrowError> {
    let mut keys = KeyTable::new(plan);
    let mut body = Body::default();
    let expected = bodies.iter().map(|(bytes, _)| count_spans(bytes)).sum();
    let mut rows = Rows::new(plan, expected, bodies.iter().map(|(bytes, _)| bytes.len()).sum());
    let limits = Limits {
        max_span_bytes: plan.max_span_bytes,
        max_depth: plan.max_depth,
        min_time: clock.min_time_ns,
        max_time: clock.max_time_ns,
    };
    let mut verdicts = Vec::with_capacity(bodies.len());
    for (request, (bytes, key)) in bodies.iter().enumerate() {
        let mut verdict = Verdict::default();
        match body.parse(bytes, &mut keys, limits) {
            Err(malformed) => {
                verdict.error =
                    Some(format!("the body is not a valid ExportTraceServiceRequest: {}", malformed.0));
            }
            Ok(()) => {
                let owner = Owner {
                    key: *key,
                    tenant: memory.tenant(key),
                    now_ns: clock.now_ns,
                    refresh_ns: plan.content_refresh_ns,
                };
                let request = u32::try_from(request).unwrap_or(u32::MAX);
                let mut refusals = std::mem::take(&mut body.refusals);
                verdict.spans = rows.add(&body, &mut keys, memory, &owner, request, &mut refusals);
                (verdict.rejected, verdict.message) = refusals.report();
            }
        }
        verdicts.push(verdict);
    }
    let (spans, contents) = rows.build(&keys)?;
    Ok(Decoded { spans, contents, verdicts })
}
