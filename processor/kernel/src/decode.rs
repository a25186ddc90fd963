//! One call: bodies in, a batch of spans and a batch of contents out.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use crate::content::{Memory, Owner};
use crate::hash::{Key, Keyed};
use crate::keys::KeyTable;
use crate::otlp::{Attr, Body, Limits, Span, Value, Walked, count_spans};
use crate::plan::Plan;
use crate::prints::{Of, Print, Printer};
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

/// Marks a record sent while a span is open; the one sent when it has ended has the same ids.
const START_RECORD: &[u8] = b"clew.pending";

/// For how many spans ahead the memory is brought close: many enough that the waits overlap, few enough that what was
/// brought is still there when its turn comes.
const WARM: usize = 32;

/// A record that says that a span is open.
#[derive(Debug, Clone, Copy)]
pub struct StartRecord {
    index: usize,
    /// Of the record of its end; none when nothing is remembered.
    end: Option<Print>,
}

/// Rows of a call's batch that are start records.
#[derive(Debug, Default)]
pub struct Starts {
    /// In order.
    pub rows: Vec<u32>,
    /// Those among them of spans that are known to have ended.
    pub ended: Vec<u32>,
}

/// The spans of the body at hand, as the memory of spans knows them.
#[derive(Debug)]
pub struct Arrivals<'s> {
    seen: &'s mut Seen,
    /// One for each span of the body; none when nothing is remembered.
    prints: Vec<Print>,
    /// In order.
    start_records: Vec<StartRecord>,
    pub starts: Starts,
    /// Of the tenant whose body came last, under whose key it prints.
    printer: Option<(Key, Printer)>,
    late: u64,
}

impl<'s> Arrivals<'s> {
    fn new(seen: &'s mut Seen) -> Self {
        Self {
            seen,
            prints: Vec::new(),
            start_records: Vec::new(),
            starts: Starts::default(),
            printer: None,
            late: 0,
        }
    }

    /// Goes on to the next body.
    fn take(&mut self, body: &Body<'_>, keys: &KeyTable<'_>, key: &Key, keyed: &Keyed) {
        self.prints.clear();
        self.start_records.clear();
        self.late = 0;
        // Most senders have no such records, and then nobody looks for them.
        let start_record = keys.known(START_RECORD);
        let starts = |attr: &Attr<'_>| Some(attr.key) == start_record && attr.value == Value::Bool(true);
        let is_start =
            |span: &Span<'_>| start_record.is_some() && span.attrs.of(&body.span_attrs).iter().any(starts);
        let spans = || body.spans.iter().map(|span| (span, is_start(span)));
        if !self.seen.is_on() {
            let records = spans().enumerate().filter(|(_, (_, starts))| *starts);
            self.start_records.extend(records.map(|(index, _)| StartRecord { index, end: None }));
            return;
        }
        let printer = match self.printer.take() {
            Some((of, printer)) if of == *key => printer,
            _ => Printer::new(keyed),
        };
        let records = &mut self.start_records;
        self.prints.extend(spans().enumerate().map(|(index, (span, starts))| {
            let of_end = printer.print(span.trace_id, span.span_id, Of::End);
            if !starts {
                return of_end;
            }
            records.push(StartRecord { index, end: Some(of_end) });
            printer.print(span.trace_id, span.span_id, Of::Start(span.end))
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

    /// Notes that the body's span of this number, if it is a start record, stands in that row.
    pub fn place(&mut self, index: usize, row: usize) {
        if self.start_records.is_empty() {
            return;
        }
        let Ok(at) = self.start_records.binary_search_by_key(&index, |record| record.index) else { return };
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        self.starts.rows.push(row);
        let end = self.start_records.get(at).and_then(|record| record.end);
        if end.is_some_and(|print| self.seen.knows(print)) {
            self.starts.ended.push(row);
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
    pub starts: Starts,
}

/// About how many spans bodies of `size` bytes together hold, rather too many: as densely as in the first one, and some
/// more. Counting them all would fetch every span from memory once more.
fn expected_spans(bodies: &[(&[u8], Key)], size: usize) -> usize {
    let Some((first, _)) = bodies.first() else { return 0 };
    let most = size / LEAST_SPAN_BYTES;
    let expected = count_spans(first).saturating_mul(size).checked_div(first.len()).unwrap_or(0);
    (expected + expected / 8).min(most)
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
                arrivals.take(&body, &keys, key, &owner.keyed);
                let refusals = &mut walked.refusals;
                walked.spans = rows.add(&body, &mut keys, memory, &owner, request, &mut arrivals, refusals);
                Verdict { late: arrivals.late, ..Verdict::of(&walked) }
            }
        });
    }
    let starts = arrivals.starts;
    let forgotten = seen.take_forgotten();
    let (spans, contents) = rows.build(&keys, &starts.rows)?;
    Ok(Decoded { spans, contents, verdicts, forgotten, starts })
}
