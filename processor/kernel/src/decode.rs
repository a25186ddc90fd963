//! One call: bodies in, a batch of spans and a batch of contents out.

use std::fmt::Write as _;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use crate::content::{Memory, Owner};
use crate::keys::KeyTable;
use crate::otlp::{Body, Limits, count_spans};
use crate::plan::Plan;
use crate::rows::{Bounds, Reason, Refusal, Rows};
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
    let limits = Limits { max_span_bytes: plan.max_span_bytes, max_depth: plan.max_depth };
    let bounds = Bounds { min_time: clock.min_time_ns, max_time: clock.max_time_ns };
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
                let mut refusals = Refusals::default();
                verdict.spans = rows.add(&body, &mut keys, memory, &owner, request, bounds, &mut |refusal| {
                    refusals.note(&refusal);
                });
                (verdict.rejected, verdict.message) = refusals.report();
            }
        }
        verdicts.push(verdict);
    }
    let (spans, contents) = rows.build(&keys)?;
    Ok(Decoded { spans, contents, verdicts })
}

/// Refused spans of one body.
#[derive(Default)]
struct Refusals {
    counts: [u64; Reason::ALL.len()],
    first: String,
}

impl Refusals {
    fn note(&mut self, refusal: &Refusal<'_>) {
        if self.first.is_empty() {
            self.first = sentence(refusal);
        }
        if let Some(count) = self.counts.get_mut(refusal.reason as usize) {
            *count += 1;
        }
    }

    fn report(self) -> (Vec<(&'static str, u64)>, String) {
        let total: u64 = self.counts.iter().sum();
        let counted = Reason::ALL.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let rejected = counted.map(|(reason, count)| (reason.name(), count)).collect();
        let message = match total {
            0 => String::new(),
            1 => self.first,
            _ => format!("{total} spans refused; the first: {}", self.first),
        };
        (rejected, message)
    }
}

/// "span 0102030405060708 "chat" refused: ...", short enough for a partial success message.
fn sentence(refusal: &Refusal<'_>) -> String {
    let mut text = "span ".to_owned();
    for byte in refusal.span.span_id.iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    let name = String::from_utf8_lossy(refusal.span.name);
    if !name.is_empty() {
        let short: String = name.chars().take(40).collect();
        let _ = write!(text, " {short:?}");
    }
    let _ = write!(text, " refused: {}", refusal.reason.explanation());
    text.chars().take(250).collect()
}
