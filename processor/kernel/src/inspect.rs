//! A request judged at the door: what decoding it alone would say, without making anything of it.

use crate::decode::Verdict;
use crate::logs::{self, Log, LogSink, Scope};
use crate::otlp::{Event, Limits, Link, Owner, Sink, Span, SpanSink, Value, walk};
use crate::refusal::Noun;
use crate::text::is_utf8;

/// Keeps nothing.
struct Nothing;

impl<'a> Sink<'a> for Nothing {
    fn begin(&mut self, _: Owner) {}

    #[inline]
    fn attribute(&mut self, _: Owner, key: &'a [u8], _: Value<'a>) -> bool {
        is_utf8(key)
    }

    fn resource(&mut self, _: &'a [u8]) {}
}

impl<'a> SpanSink<'a> for Nothing {
    fn begin_scope(&mut self) {}
    fn end_scope(&mut self, _: &'a [u8], _: &'a [u8]) {}
    fn event(&mut self, _: Event<'a>) {}
    fn link(&mut self, _: Link<'a>) {}
    fn span(&mut self, _: Span<'a>) {}
    fn refused(&mut self) {}
}

impl<'a> LogSink<'a> for Nothing {
    fn scope(&mut self, _: Scope<'a>) {}
    fn log(&mut self, _: Log<'a>) {}
    fn refused(&mut self) {}
}

/// The verdict [`crate::decode::decode`] gives on this body, duplicates apart, when it is in a call by itself.
pub fn inspect(body: &[u8], limits: Limits) -> Verdict {
    match walk(body, limits, &mut Nothing) {
        Ok(walked) => Verdict::of(&walked),
        Err(malformed) => Verdict::refused(malformed, Noun::Span),
    }
}

/// The same of log records: what [`crate::log_rows::decode_logs`] says.
pub fn inspect_logs(body: &[u8], limits: Limits) -> Verdict {
    match logs::walk(body, limits, &mut Nothing) {
        Ok(walked) => Verdict::of(&walked),
        Err(malformed) => Verdict::refused(malformed, Noun::LogRecord),
    }
}
