//! One call: bodies in, a batch of spans and a batch of contents out.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use crate::content::{Memory, Owner};
use crate::hash::{Key, Keyed};
use crate::keys::KeyTable;
use crate::otlp::{Body, Limits, Value, Walked, count_spans};
use crate::plan::Plan;
use crate::prints::{Print, Printer};
use crate::refusal::Noun;
use crate::rows::Rows;
use crate::seen::{Meeting, Seen};
use crate::wire::Malformed;

/// Most input bytes of one call; what they become fits Arrow's 32-bit offsets.
pub const MAX_CALL_BYTES: usize = 256 << 20;

/// Ids, times and tags: a span of fewer bytes is refused.
const LEAST_SPAN_BYTES: usize = 48;

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

/// And those that follow where the plan has dialects.
pub const DIALECT_COLUMNS: [&str; 4] = ["dialect", "op", "known", "signature"];

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
    /// Spans, or log records, accepted.
    pub spans: u64,
    /// Why the whole body was refused.
    pub error: Option<String>,
    /// Spans or log records refused one by one, counted by reason; only reasons that occurred.
    pub rejected: Vec<(&'static str, u64)>,
    /// A sentence about the first of these, empty when there is none. It is silent about duplicates.
    pub message: String,
    /// Of the spans accepted, those that were met before, longer ago than the horizon.
    pub late: u64,
    /// Bytes of resource attributes (of log records, those of scopes too) that the rows repeat; of spans sent again too.
    pub resource_bytes: usize,
}

impl Verdict {
    pub fn of(walked: &Walked) -> Self {
        let (rejected, message) = walked.refusals.report();
        let Walked { spans, resource_bytes, .. } = *walked;
        Self { spans, rejected, message, resource_bytes, ..Self::default() }
    }

    pub fn refused(malformed: Malformed, noun: Noun) -> Self {
        let error = format!("the body is not a valid {}: {}", noun.request(), malformed.0);
        Self { error: Some(error), ..Self::default() }
    }
}

/// Marks the record sent when a span starts; the one sent when it has ended has the same ids.
const START_RECORD: &[u8] = b"clew.pending";

/// For how many spans ahead the memory is brought close: many enough that the waits overlap, few enough that what was
/// brought is still there when its turn comes.
const WARM: usize = 32;

/// The spans of the body at hand, as the memory of spans knows them.
#[derive(Debug)]
pub struct Arrivals<'s> {
    seen: &'s mut Seen,
    /// One for each span of the body; none when nothing is remembered.
    prints: Vec<Print>,
    /// Of the tenant whose body came last, under whose key it prints.
    printer: Option<(Key, Printer)>,
    late: u64,
}

impl<'s> Arrivals<'s> {
    fn new(seen: &'s mut Seen) -> Self {
        Self { seen, prints: Vec::new(), printer: None, late: 0 }
    }

    /// Goes on to the next body.
    fn take<'a>(&mut self, body: &Body<'a>, keys: &mut KeyTable<'a>, key: &Key, keyed: &Keyed) {
        self.prints.clear();
        self.late = 0;
        if !self.seen.is_on() {
            return;
        }
        let start_record = keys.id(START_RECORD);
        let printer = match self.printer.take() {
            Some((of, printer)) if of == *key => printer,
            _ => Printer::new(keyed),
        };
        self.prints.extend(body.spans.iter().map(|span| {
            let mut attrs = span.attrs.of(&body.span_attrs).iter();
            let starts = attrs.any(|attr| Some(attr.key) == start_record && attr.value == Value::Bool(true));
            printer.print(span.trace_id, span.span_id, starts)
        }));
        self.printer = Some((*key, printer));
    }

    /// Remembers the body's span of this number; false when it was sent before, within the horizon. To be asked of all
    /// in order.
    pub fn is_first(&mut self, index: usize) -> bool {
        if index.is_multiple_of(WARM) {
            let next = self.prints.iter().skip(index).take(WARM);
            self.seen.warm(next);
        }
        match self.prints.get(index).map(|print| self.seen.meet(*print)) {
            Some(Meeting::Again) => false,
            Some(Meeting::Late) => {
                self.late += 1;
                true
            }
            Some(Meeting::New) | None => true,
        }
    }
}

/// What a call gives back.
#[derive(Debug)]
pub struct Decoded {
    pub spans: RecordBatch,
    pub contents: RecordBatch,
    pub verdicts: Vec<Verdict>,
    /// Spans no longer remembered although within the horizon, for lack of room: sent again they would be accepted.
    pub forgotten: u64,
}

/// About how many spans bodies of `size` bytes together hold: as densely as in the first one. Counting them all would
/// fetch every span from memory once more.
fn expected_spans(bodies: &[(&[u8], Key)], size: usize) -> usize {
    let Some((first, _)) = bodies.first() else { return 0 };
    let most = size / LEAST_SPAN_BYTES;
    count_spans(first).saturating_mul(size).checked_div(first.len()).map_or(0, |expected| expected.min(most))
}

/// Decodes bodies, each with its tenant's hash key.
///
/// Bad input never fails the call: verdicts say what happened. The error is for a batch that Arrow would not take,
/// which would be a mistake in here.
pub fn decode(
    plan: &Plan,
    memory: &mut Memory,
    seen: &mut Seen,
    bodies: &[(&[u8], Key)],
    clock: Clock,
) -> Result<Decoded, ArrowError> {
    let mut keys = KeyTable::new(plan);
    let mut body = Body::default();
    let size = bodies.iter().map(|(bytes, _)| bytes.len()).sum();
    let mut rows = Rows::new(plan, expected_spans(bodies, size), size);
    let limits = Limits {
        max_span_bytes: plan.max_span_bytes,
        max_depth: plan.max_depth,
        min_time: clock.min_time_ns,
        max_time: clock.max_time_ns,
    };
    let mut verdicts = Vec::with_capacity(bodies.len());
    seen.begin(clock.now_ns);
    let mut arrivals = Arrivals::new(seen);
    for (request, (bytes, key)) in bodies.iter().enumerate() {
        verdicts.push(match body.parse(bytes, &mut keys, limits) {
            Err(malformed) => Verdict::refused(malformed, Noun::Span),
            Ok(mut walked) => {
                let owner = Owner {
                    keyed: Keyed::new(key),
                    tenant: memory.tenant(key),
                    now_ns: clock.now_ns,
                    refresh_ns: plan.content_refresh_ns,
                };
                let request = u32::try_from(request).unwrap_or(u32::MAX);
                arrivals.take(&body, &mut keys, key, &owner.keyed);
                let refusals = &mut walked.refusals;
                walked.spans = rows.add(&body, &mut keys, memory, &owner, request, &mut arrivals, refusals);
                Verdict { late: arrivals.late, ..Verdict::of(&walked) }
            }
        });
    }
    let forgotten = seen.take_forgotten();
    let (spans, contents) = rows.build(&keys)?;
    Ok(Decoded { spans, contents, verdicts, forgotten })
}
