//! Why single spans are refused, counted, and told to the sender.

use std::fmt::Write as _;

/// Why one span is refused. When several reasons hold the first of this order is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    TooLarge,
    TooDeep,
    BadUtf8,
    BadTraceId,
    BadSpanId,
    BadTime,
}

impl Reason {
    const ALL: [Self; 6] =
        [Self::TooLarge, Self::TooDeep, Self::BadUtf8, Self::BadTraceId, Self::BadSpanId, Self::BadTime];

    fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::BadUtf8 => "bad_utf8",
            Self::BadTraceId => "bad_trace_id",
            Self::BadSpanId => "bad_span_id",
            Self::BadTime => "bad_time",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "it is larger than the limit for one span (or its resource is); send less in its attributes"
            }
            Self::TooDeep => "one of its attributes is nested too deeply; flatten it",
            Self::BadUtf8 => "one of its strings is not valid UTF-8",
            Self::BadTraceId => "a trace id (its own or a link's) is not 16 bytes, or all zero",
            Self::BadSpanId => {
                "a span id (its own, its parent's or a link's) is not 8 bytes, or its own is all zero"
            }
            Self::BadTime => {
                "its start or end time is too far from now; the times are nanoseconds since 1970"
            }
        }
    }
}

/// Refused spans of one body.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [u64; Reason::ALL.len()],
    first: String,
    /// Spans that were sent again. Their sender hears success, so no sentence tells of them.
    pub duplicates: u64,
}

impl Refusals {
    /// Counts one refused span; the first is kept to be named.
    pub fn note(&mut self, reason: Reason, span_id: &[u8], name: &[u8]) {
        if self.first.is_empty() {
            self.first = sentence(reason, span_id, name);
        }
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// The counts of the reasons that occurred, and a sentence for the sender ("" when none did).
    pub fn report(&self) -> (Vec<(&'static str, u64)>, String) {
        let total: u64 = self.counts.iter().sum();
        let counted = Reason::ALL.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let counted = counted.map(|(reason, count)| (reason.name(), count));
        let duplicates = (self.duplicates > 0).then_some(("duplicate", self.duplicates));
        let rejected = counted.chain(duplicates).collect();
        let message = match total {
            0 | 1 => self.first.clone(),
            _ => format!("{total} spans refused; the first: {}", self.first),
        };
        (rejected, message)
    }
}

/// `span 0102030405060708 "chat" refused: ...`, short enough for a partial success message.
fn sentence(reason: Reason, span_id: &[u8], name: &[u8]) -> String {
    let mut text = "span ".to_owned();
    for byte in span_id.iter().take(16) {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    let name = String::from_utf8_lossy(name.get(..160).unwrap_or(name));
    if !name.is_empty() {
        let short: String = name.chars().take(40).collect();
        let _ = write!(text, " {short:?}");
    }
    let _ = write!(text, " refused: {}", reason.explanation());
    text.chars().take(250).collect()
}
