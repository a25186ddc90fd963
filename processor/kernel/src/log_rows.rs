//! Log records as columns: one call, bodies in, a batch out.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt8Array, UInt32Array};
use arrow_schema::ArrowError;

use crate::columns::{Dict, Map, Strings, timestamps};
use crate::content::{Memory, Owner};
use crate::decode::{Clock, Verdict};
use crate::hash::{Key, Keyed};
use crate::keys::KeyTable;
use crate::late::{Late, Place};
use crate::logs::{Body, Log};
use crate::otlp::{Attr, Limits, MAX_RESOURCE_BYTES, RESOURCE_ATTRIBUTE_BYTES};
use crate::plan::Plan;
use crate::refusal::{Noun, Reason, Refusals};
use crate::render::{as_string, hex};
use crate::rows::{Batch, push_map};
use crate::transcode::Transcoder;

/// Names of the columns, in order.
pub const LOG_COLUMNS: [&str; 17] = [
    "request",
    "Timestamp",
    "TraceId",
    "SpanId",
    "TraceFlags",
    "SeverityText",
    "SeverityNumber",
    "ServiceName",
    "Body",
    "ResourceSchemaUrl",
    "ResourceAttributes",
    "ScopeSchemaUrl",
    "ScopeName",
    "ScopeVersion",
    "ScopeAttributes",
    "LogAttributes",
    "EventName",
];

/// What a call gives back.
#[derive(Debug)]
pub struct DecodedLogs {
    pub logs: RecordBatch,
    /// Messages that records hold for spans, and their contents.
    pub messages: RecordBatch,
    pub contents: RecordBatch,
    pub verdicts: Vec<Verdict>,
    /// For each body the request of spans that its records became, if any did.
    pub spans: Vec<Option<Vec<u8>>>,
}

/// What the records of one resource, or of one scope, repeat.
#[derive(Debug, Default)]
struct Repeated {
    keys: Vec<i32>,
    values: Vec<i32>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Rows {
    requests: Vec<u32>,
    times: Vec<i64>,
    trace_ids: Dict,
    span_ids: Strings,
    flags: Vec<u8>,
    severity_texts: Dict,
    severities: Vec<u8>,
    services: Dict,
    bodies: Strings,
    resource_urls: Dict,
    resources: Map<Dict>,
    scope_urls: Dict,
    scope_names: Dict,
    scope_versions: Dict,
    scopes: Map<Dict>,
    attributes: Map<Strings>,
    event_names: Dict,
    resource_bytes: usize,
    /// Reused: a rendered value.
    text: Vec<u8>,
}

/// Decodes bodies. Bad input never fails the call: verdicts say what happened.
pub fn decode_logs(
    plan: &Plan,
    memory: &mut Memory,
    bodies: &[(&[u8], Key)],
    clock: Clock,
) -> Result<DecodedLogs, ArrowError> {
    let mut keys = KeyTable::new(plan);
    let mut transcoder = Transcoder::new(plan, &mut keys);
    let mut late = Late::new(&mut keys);
    let mut body = Body::default();
    let mut rows = Rows::default();
    let limits = Limits {
        max_span_bytes: plan.max_span_bytes,
        max_depth: plan.max_depth,
        min_time: clock.min_time_ns,
        max_time: clock.max_time_ns,
    };
    let mut verdicts = Vec::with_capacity(bodies.len());
    let mut spans = Vec::with_capacity(bodies.len());
    for (request, (bytes, key)) in (0u32..).zip(bodies) {
        let (verdict, made) = match body.parse(bytes, &mut keys, limits) {
            Err(malformed) => (Verdict::refused(malformed, Noun::LogRecord), None),
            Ok(mut walked) => {
                walked.spans = rows.add(&body, &mut keys, request, clock.now_ns, &mut walked.refusals);
                let owner = Owner {
                    keyed: Keyed::new(key),
                    tenant: memory.tenant(key),
                    now_ns: clock.now_ns,
                    refresh_ns: plan.content_refresh_ns,
                };
                for (number, log) in (0u32..).zip(&body.logs) {
                    let place = Place { owner: &owner, request, number };
                    late.add(log, log.attrs.of(&body.log_attrs), &keys, memory, place);
                }
                (Verdict::of(&walked), transcoder.spans(&body, &keys, clock.now_ns))
            }
        };
        verdicts.push(verdict);
        spans.push(made);
    }
    let (messages, contents) = late.build()?;
    Ok(DecodedLogs { logs: rows.build(&keys)?, messages, contents, verdicts, spans })
}

impl Rows {
    /// Adds the records of a parsed body and returns how many were added. Those for which there is no room in this call
    /// are refused.
    fn add<'a>(
        &mut self,
        body: &Body<'a>,
        keys: &mut KeyTable<'a>,
        request: u32,
        now_ns: i64,
        refusals: &mut Refusals,
    ) -> u64 {
        let mut added = 0;
        let mut at: Option<(u32, u32)> = None;
        let (mut resource, mut scope) = (Repeated::default(), Repeated::default());
        let (mut service, mut of_resource, mut of_scope) = (0, 0, [0; 3]);
        for log in &body.logs {
            let its = body.scopes.get(log.scope as usize).copied().unwrap_or_default();
            if at.is_none_or(|(_, index)| index != its.resource) {
                let its = body.resources.get(its.resource as usize).copied().unwrap_or_default();
                let attrs = its.attrs.of(&body.resource_attrs);
                resource = repeated(attrs, keys, &mut self.resources.values, &mut self.text);
                self.text.clear();
                if let Some(attr) = attrs.iter().find(|attr| keys.name(attr.key) == b"service.name") {
                    as_string(&attr.value, &mut self.text);
                }
                service = self.services.names.code(&self.text);
                of_resource = self.resource_urls.names.code(its.schema_url);
            }
            if at.is_none_or(|(index, _)| index != log.scope) {
                scope =
                    repeated(its.attrs.of(&body.scope_attrs), keys, &mut self.scopes.values, &mut self.text);
                of_scope = [
                    self.scope_urls.names.code(its.schema_url),
                    self.scope_names.names.code(its.name),
                    self.scope_versions.names.code(its.version),
                ];
            }
            at = Some((log.scope, its.resource));
            if self.resource_bytes + resource.bytes + scope.bytes > MAX_RESOURCE_BYTES {
                refusals.note(Reason::TooLarge, log.span_id, log.event_name);
                continue;
            }
            self.resource_bytes += resource.bytes + scope.bytes;
            self.requests.push(request);
            self.services.codes.push(service);
            self.resource_urls.codes.push(of_resource);
            let [url, name, version] = of_scope;
            self.scope_urls.codes.push(url);
            self.scope_names.codes.push(name);
            self.scope_versions.codes.push(version);
            resource.push(&mut self.resources);
            scope.push(&mut self.scopes);
            self.own_fields(log, now_ns);
            push_map(&mut self.attributes, log.attrs.of(&body.log_attrs), keys);
            added += 1;
        }
        added
    }

    fn own_fields(&mut self, log: &Log<'_>, now_ns: i64) {
        self.times.push(if log.time == 0 { now_ns } else { log.time as i64 });
        self.text.clear();
        hex(log.trace_id, &mut self.text);
        self.trace_ids.push(&self.text);
        self.span_ids.push_with(|out| hex(log.span_id, out));
        // The upper flags are not defined, and the Collector's exporter has no room for them.
        self.flags.push(log.flags as u8);
        self.severity_texts.push(log.severity_text);
        self.severities.push(u8::try_from(log.severity).unwrap_or(0));
        self.bodies.push_with(|out| as_string(&log.body, out));
        self.event_names.push(log.event_name);
    }

    fn build(self, keys: &KeyTable<'_>) -> Result<RecordBatch, ArrowError> {
        let rows = self.requests.len();
        let mut names = Strings::default();
        for name in keys.dictionary() {
            names.push(name);
        }
        let keys: ArrayRef = Arc::new(names.utf8(None));
        let columns: [ArrayRef; LOG_COLUMNS.len()] = [
            Arc::new(UInt32Array::from(self.requests)),
            timestamps(self.times),
            self.trace_ids.build(None)?,
            Arc::new(self.span_ids.utf8(None)),
            Arc::new(UInt8Array::from(self.flags)),
            self.severity_texts.build(None)?,
            Arc::new(UInt8Array::from(self.severities)),
            self.services.build(None)?,
            Arc::new(self.bodies.utf8(None)),
            self.resource_urls.build(None)?,
            self.resources.build(&keys)?,
            self.scope_urls.build(None)?,
            self.scope_names.build(None)?,
            self.scope_versions.build(None)?,
            self.scopes.build(&keys)?,
            self.attributes.build(&keys)?,
            self.event_names.build(None)?,
        ];
        let mut batch = Batch::default();
        for (name, column) in LOG_COLUMNS.iter().zip(columns) {
            batch.add(name, column, false);
        }
        batch.build(rows)
    }
}

/// These attributes as codes, their values' into `values`.
fn repeated<'a>(
    attrs: &[Attr<'a>],
    keys: &mut KeyTable<'a>,
    values: &mut Dict,
    text: &mut Vec<u8>,
) -> Repeated {
    let mut repeated = Repeated { bytes: attrs.len() * RESOURCE_ATTRIBUTE_BYTES, ..Repeated::default() };
    for attr in attrs {
        text.clear();
        as_string(&attr.value, text);
        repeated.keys.push(keys.code(attr.key));
        repeated.values.push(values.names.code(text));
    }
    repeated
}

impl Repeated {
    fn push(&self, map: &mut Map<Dict>) {
        map.keys.extend_from_slice(&self.keys);
        map.values.codes.extend_from_slice(&self.values);
        map.end();
    }
}
