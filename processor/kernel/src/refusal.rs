//! Why single spans are refused, counted, and told to the sender.

use std::fmt::Write as _;

/// What is refused one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Span,
    LogRecord,
}

impl Noun {
    fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::LogRecord => "log record",
        }
    }

    /// The message they come in.
    pub fn request(self) -> &'static str {
        match self {
            Self::Span => "ExportTraceServiceRequest",
            Self::LogRecord => "ExportLogsServiceRequest",
        }
    }
}

/// Why one span or log record is refused. When several reasons hold the first of this order is given.
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

    fn explanation(self, noun: Noun) -> &'static str {
        match (self, noun) {
            (Self::TooLarge, Noun::Span) => {
                "it is larger than the limit for one span (or its resource is); send less in its attributes"
            }
            (Self::TooLarge, Noun::LogRecord) => {
                "it is larger than the limit for one record (or its resource is); send less in its attributes"
            }
            (Self::TooDeep, Noun::Span) => "one of its attributes is nested too deeply; flatten it",
            (Self::TooDeep, Noun::LogRecord) => {
                "its body or one of its attributes is nested too deeply; flatten it"
            }
            (Self::BadUtf8, _) => "one of its strings is not valid UTF-8",
            (Self::BadTraceId, Noun::Span) => "a trace id (its own or a link's) is not 16 bytes, or all zero",
            (Self::BadTraceId, Noun::LogRecord) => "its trace id is not 16 bytes",
            (Self::BadSpanId, Noun::Span) => {
                "a span id (its own, its parent's or a link's) is not 8 bytes, or its own is all zero"
            }
            (Self::BadSpanId, Noun::LogRecord) => "its span id is not 8 bytes",
            (Self::BadTime, Noun::Span) => {
                "its start or end time is too far from now; the times are nanoseconds since 1970"
            }
            (Self::BadTime, Noun::LogRecord) => {
                "its time is too far from now; the times are nanoseconds since 1970"
            }
        }
    }
}

/// Refused spans or log records of one body.
#[derive(Debug)]
pub struct Refusals {
    noun: Noun,
    counts: [u64; Reason::ALL.len()],
    first: String,
    /// Spans that were sent again. Their sender hears success, so no sentence tells of them.
    pub duplicates: u64,
}

impl Refusals {
    pub fn of(noun: Noun) -> Self {
        Self { noun, counts: Default::default(), first: String::new(), duplicates: 0 }
    }

    /// Counts one refused span or log record; the first is kept to be named.
    pub fn note(&mut self, reason: Reason, span_id: &[u8], name: &[u8]) {
        if self.first.is_empty() {
            self.first = sentence(self.noun, reason, span_id, name);
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
            _ => format!("{total} {}s refused; the first: {}", self.noun.name(), self.first),
        };
        (rejected, message)
    }
}

/// `span 0102030405060708 "chat" refused: ...`, short enough for a partial success message.
fn sentence(noun: Noun, reason: Reason, span_id: &[u8], name: &[u8]) -> String {
    let mut text = noun.name().to_owned();
    if !(noun == Noun::LogRecord && span_id.is_empty()) {
        text.push(' ');
    }
    for byte in span_id.iter().take(16) {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    let name = String::from_utf8_lossy(name.get(..160).unwrap_or(name));
    if !name.is_empty() {
        let short: String = name.chars().take(40).collect();
        let _ = write!(text, " {short:?}");
    }
    let _ = write!(text, " refused: {}", reason.explanation(noun));
    text.chars().take(250).collect()
}
