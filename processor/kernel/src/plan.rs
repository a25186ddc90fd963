//! The extraction plan: which dialects there are, and which attributes of each become which columns and contents.
//!
//! A plan is JSON text. All but the names may be left out:
//!
//! - `max_span_bytes`, `max_depth`: a span beyond is refused; `content_refresh_s`: contents still in use are given out
//!   again after so long.
//! - `columns`: `name`, `type`; `keys`, attributes that count on any span, of the span or (`from`) its `resource`.
//! - `contents`: `name`, `kind`, `form`; `keys`; `role`, `calls`, `sizes` (see [`Content`]).
//! - `ops`: names of operations, at most 63.
//! - `looks_like`, `looks_like_not`: beginnings of attribute keys that make a span look like one that a dialect should
//!   know, and keys that do not although they begin so.
//! - `dialects`, in the order they are asked for: `name`; `detect` and `ignore`, tests of which one has to hold; `op`,
//!   sources of the operation, and `op_otherwise`; `sentinels`, texts that stand for no value; `columns` and
//!   `contents`, by name the list of sources of each, the first that has a usable value counts.
//!
//! A test (`TestText`) is about one thing: `attribute` or `resource` (with `is`, values, or `starts`, their
//! beginnings; without, any but an empty value), `attribute_prefix`, `scope`, `scope_prefix`, `scope_contains`, `name`,
//! `name_prefix`, `name_suffix`, `event` (lists, of which one has to hold). Or it combines such: `all`, `any`, `none`.
//!
//! A source (`SourceText`, of operations `OpText`) is the attribute `key`, the `resource` attribute, the attribute
//! `key` of the first of some events (`event`), the span's name, scope or duration (`from`), or the constant `is` (with
//! one of these: where that is there). `path` leads into a value; `after` and `before` are cut off; `only` says which
//! values count, `nonzero` that 0 does not; `as` reads a time, `scale` multiplies. `ops` and `when` (tests) say of which
//! spans. Of contents, `form` says how they are told ([`Shape`]) and `role` who speaks.
//!
//! With dialects the batch of spans has four more columns: `dialect` and `op` (dictionaries, empty for none), `known` (a
//! dialect's, and not to be ignored) and `signature` (what tells spans apart that look like GenAI but are of no dialect;
//! null elsewhere).

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Deserialize;

use crate::decode::{DIALECT_COLUMNS, FIXED_COLUMNS};
use crate::facts::{Facts, MAX_FACTS, Matcher, Mode, Texts};
use crate::message::Reading;
use crate::shapes::Role;
use crate::transcode::Rules;

/// Deepest AnyValue nesting that may be allowed: checking and rendering recurse once per level.
pub const MAX_DEPTH: u32 = 128;
/// And where nothing is said of it.
pub const DEFAULT_DEPTH: u32 = 64;
/// Most operations: a set of them is 64 bits, one of which is for none.
const MAX_OPS: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Dict,
    Str,
    U64,
    I64,
    F64,
    Bool,
    Hash64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Span,
    Resource,
}

/// What a content column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A JSON array whose elements are contents of their own.
    Elements,
    /// One content, named by the hash of its bytes.
    Whole,
    /// One content, named by the hash of its canonical form.
    Canonical,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    /// Attributes that count on any span, after all that its dialect names.
    #[serde(default)]
    pub keys: Vec<String>,
    #[serde(default = "of_the_span")]
    pub from: Owner,
    #[serde(rename = "type")]
    pub kind: Type,
}

fn of_the_span() -> Owner {
    Owner::Span
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub name: String,
    #[serde(default)]
    pub keys: Vec<String>,
    pub kind: String,
    pub form: Form,
    #[serde(default)]
    pub calls: bool,
    /// Whether to tell who speaks in each content and how much.
    #[serde(default)]
    pub sizes: bool,
    /// Who speaks in messages that do not say.
    #[serde(default = "the_user")]
    pub role: Role,
}

impl Content {
    /// What contents of this kind are read as; `role` speaks in messages that do not say, or else the kind's.
    pub fn reading_by(&self, role: Option<Role>) -> Reading {
        match self.kind.as_str() {
            "message" => Reading::Message(role.unwrap_or(self.role)),
            // So that they have the canonical hash of the message that says the same.
            "system" => Reading::Message(Role::System),
            "result" => Reading::Answer,
            _ => Reading::Value,
        }
    }
}

fn the_user() -> Role {
    Role::User
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default = "default_refresh")]
    content_refresh_s: u64,
    #[serde(default = "default_span_bytes")]
    max_span_bytes: usize,
    #[serde(default = "default_depth")]
    max_depth: u32,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    contents: Vec<Content>,
    #[serde(default)]
    ops: Vec<String>,
    #[serde(default)]
    dialects: Vec<DialectText>,
    #[serde(default)]
    looks_like: Vec<String>,
    #[serde(default)]
    looks_like_not: Vec<String>,
    #[serde(default)]
    logs: Vec<Rules>,
}

fn default_refresh() -> u64 {
    86_400
}

fn default_span_bytes() -> usize {
    16 << 20
}

fn default_depth() -> u32 {
    DEFAULT_DEPTH
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialectText {
    name: String,
    #[serde(default)]
    detect: Vec<TestText>,
    #[serde(default)]
    ignore: Vec<TestText>,
    #[serde(default)]
    op: Vec<OpText>,
    #[serde(default)]
    op_otherwise: String,
    #[serde(default)]
    sentinels: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, Vec<SourceText>>,
    #[serde(default)]
    contents: BTreeMap<String, Vec<SourceText>>,
}

/// One test, by the one member that says of what, or a combination of tests.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestText {
    attribute: Option<String>,
    attribute_prefix: Vec<String>,
    resource: Option<String>,
    scope: Vec<String>,
    scope_prefix: Vec<String>,
    scope_contains: Vec<String>,
    name: Vec<String>,
    name_prefix: Vec<String>,
    name_suffix: Vec<String>,
    event: Vec<String>,
    /// Of `attribute` and `resource`: the values wanted, or how they start.
    is: Vec<String>,
    starts: Vec<String>,
    all: Vec<TestText>,
    any: Vec<TestText>,
    none: Vec<TestText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpText {
    key: Option<String>,
    from: Option<Place>,
    #[serde(default)]
    path: Option<Vec<Step>>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    prefixes: BTreeMap<String, String>,
    #[serde(default)]
    suffixes: BTreeMap<String, String>,
    is: Option<String>,
    #[serde(default)]
    when: Vec<TestText>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Name,
    Scope,
    /// The span's duration in nanoseconds.
    Duration,
}

/// A step into a structured value: a member of an object, an element of an array (from its end, when negative).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
pub enum Step {
    Index(i64),
    Member(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// The time from the span's start to the one told, in seconds.
    SinceStart,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceText {
    key: Option<String>,
    resource: Option<String>,
    from: Option<Place>,
    /// Names of events, of whose first the attribute `key` is meant.
    #[serde(default)]
    event: Vec<String>,
    #[serde(default)]
    path: Option<Vec<Step>>,
    scale: Option<f64>,
    #[serde(rename = "as")]
    reading: Option<As>,
    is: Option<String>,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    nonzero: bool,
    #[serde(default)]
    after: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    ops: Vec<String>,
    #[serde(default)]
    when: Vec<TestText>,
    form: Option<Shape>,
    role: Option<Role>,
    #[serde(default)]
    parts: BTreeMap<String, String>,
}

/// How a source has its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Messages in any known shape, or a single content as it is.
    #[default]
    #[serde(alias = "messages")]
    Value,
    /// Plain text, all of one message.
    Text,
    /// Attributes whose keys say message by message what is in them.
    Indexed,
    /// Events, each a message.
    Event,
    /// Attributes that are parts of one message.
    Parts,
}

/// The parts of a message that attributes of their own may be, and how a message calls them. Where two are called the
/// same the later one counts.
const PARTS: [(&str, &[u8]); 4] = [
    ("object", b"content"),
    ("text", b"content"),
    ("reasoning", b"reasoning_content"),
    ("tool_calls", b"tool_calls"),
];

/// What is done to a value before it becomes a cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct How {
    /// Where in the value (JSON or Python text, or structured) the wanted one is.
    pub path: Option<Vec<Step>>,
    pub scale: Option<f64>,
    pub reading: Option<As>,
    /// Stands for the value, whatever that is.
    pub constant: Option<Vec<u8>>,
    /// The only values that count; all when empty.
    pub only: Vec<Vec<u8>>,
    /// A number that is 0 does not count.
    pub nonzero: bool,
    /// What the text has to begin and end with; both are cut off.
    pub after: Vec<u8>,
    pub before: Vec<u8>,
    /// Has to hold of the span; nothing is asked when empty.
    pub when: Matcher,
    pub form: Shape,
    /// Who speaks where a message does not say.
    pub role: Option<Role>,
    /// Of a part of a message: its number among those, and what the message calls it.
    pub part: Option<(u32, &'static [u8])>,
    /// Of messages that are events: number of the plan's event source.
    pub events: Option<u16>,
}

/// One use of a value: the slot it feeds and its place in that slot's list of sources (0 comes first).
#[derive(Debug, Clone, Copy)]
pub struct Use {
    pub slot: u16,
    pub rank: u16,
    /// Number of the plan's `How`; 0 is the value as it is.
    pub how: u32,
    /// Operations it is for, one bit each.
    pub ops: u64,
}

/// What the plan wants of one attribute key.
#[derive(Debug, Clone, Default)]
pub struct Key {
    /// By dialect.
    uses: Vec<Box<[Use]>>,
    /// Where its value is kept until the span's operation is known.
    pub probe: Option<u8>,
    /// What is asked about its value.
    pub values: Option<Texts>,
    /// The same of resource attributes.
    pub resource: Option<u16>,
    /// Whether a resource's value may be copied to each row.
    pub is_copied: bool,
    pub resource_values: Option<Texts>,
}

impl Key {
    /// The uses a dialect has for the key's value.
    #[inline]
    pub fn uses(&self, dialect: u16) -> &[Use] {
        self.uses.get(usize::from(dialect)).map(AsRef::as_ref).unwrap_or_default()
    }
}

/// Where a value that is no attribute of the span comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Resource(u16),
    /// An attribute of an event: number of the plan's event source.
    Event(u16),
    /// The events themselves.
    Events(u16),
    Name,
    Scope,
    Duration,
    /// Nothing but the source's constant.
    Nowhere,
}

/// Events and the attribute of them that is wanted.
#[derive(Debug, Clone)]
pub struct EventSource {
    /// Holds of spans that have such an event.
    pub fact: Facts,
    pub names: Vec<Vec<u8>>,
    /// Empty where all of an event's are.
    pub key: Vec<u8>,
}

/// Texts and the operation each stands for.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    equal: HashMap<Vec<u8>, u8, RandomState>,
    prefixes: Vec<(Vec<u8>, u8)>,
    suffixes: Vec<(Vec<u8>, u8)>,
    any: Option<u8>,
}

impl Choices {
    /// The operation `text` stands for. The longest prefix counts, then the longest suffix.
    pub fn find(&self, text: &[u8]) -> Option<u8> {
        if let Some(op) = self.equal.get(text) {
            return Some(*op);
        }
        let start = self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix));
        let end = || self.suffixes.iter().find(|(suffix, _)| text.ends_with(suffix));
        start.or_else(end).map(|(_, op)| *op).or(self.any)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpOrigin {
    Probe(u8),
    Name,
    Scope,
    Nowhere,
}

#[derive(Debug, Clone)]
pub struct OpSource {
    pub origin: OpOrigin,
    pub path: Option<Vec<Step>>,
    pub choices: Choices,
    pub when: Matcher,
}

/// One dialect, compiled.
#[derive(Debug, Clone, Default)]
pub struct Dialect {
    pub name: String,
    pub detect: Matcher,
    pub ignore: Matcher,
    pub op: Vec<OpSource>,
    pub op_otherwise: u8,
    /// Values that stand for no value, and the length of the longest.
    pub sentinels: Vec<Vec<u8>>,
    pub longest_sentinel: usize,
    /// Uses of values that are no attributes of the span; those of events apart.
    pub others: Vec<(Origin, Use)>,
    pub of_events: Vec<(Origin, Use)>,
}

impl Dialect {
    #[inline]
    pub fn is_sentinel(&self, text: &[u8]) -> bool {
        text.len() <= self.longest_sentinel && self.sentinels.iter().any(|sentinel| sentinel == text)
    }
}

/// What is asked about a span, and the fact each answer is.
#[derive(Debug, Default)]
pub struct Tests {
    keys: Texts,
    looks_like: Vec<String>,
    looks_like_not: Vec<String>,
    pub names: Texts,
    pub scopes: Texts,
    pub events: Texts,
    pub resource_keys: Texts,
    pub any_events: bool,
}

/// A checked plan. Slots number the columns first, then the contents.
#[derive(Debug)]
pub struct Plan {
    pub content_refresh_ns: i64,
    pub max_span_bytes: usize,
    pub max_depth: u32,
    pub columns: Vec<Column>,
    pub contents: Vec<Content>,
    /// Operations by number; the first is none.
    pub ops: Vec<String>,
    /// In the order they are asked for; the first is that of a span of no dialect.
    pub dialects: Vec<Dialect>,
    pub tests: Tests,
    /// Attribute keys of resources whose values are used.
    pub resource_keys: usize,
    pub probes: usize,
    pub events: Vec<EventSource>,
    /// Keys that a number and more is added to, without that.
    pub numbered: Vec<(Vec<u8>, Key)>,
    pub logs: Vec<Rules>,
    keys: HashMap<Vec<u8>, Key, RandomState>,
    hows: Vec<How>,
}

impl Plan {
    /// Reads a plan's JSON text; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: Text =
            serde_json::from_str(text).map_err(|error| format!("the plan is not valid: {error}"))?;
        if text.max_depth > MAX_DEPTH {
            return Err(format!("max_depth is {}, expected at most {MAX_DEPTH}", text.max_depth));
        }
        if text.columns.len() + text.contents.len() > usize::from(u16::MAX) {
            return Err("the plan has more than 65535 columns".to_owned());
        }
        check_names(&text)?;
        check_sources(&text)?;
        let compiler = Compiler::new(&text)?;
        compiler.compile(text)
    }

    /// The facts of a span with this attribute, whatever its value.
    pub fn key_facts(&self, name: &[u8]) -> Facts {
        self.tests.keys.facts(name)
    }

    /// Whether an attribute of this name makes its span look like one that a dialect should know.
    pub fn looks_like(&self, name: &[u8]) -> bool {
        let starts = self.tests.looks_like.iter().any(|prefix| name.starts_with(prefix.as_bytes()));
        starts && !self.tests.looks_like_not.iter().any(|other| other.as_bytes() == name)
    }

    /// What the plan wants of the attribute key.
    pub fn key(&self, name: &[u8]) -> Option<&Key> {
        self.keys.get(name)
    }

    /// What a use does to the value, by its number.
    #[inline]
    pub fn how(&self, number: u32) -> Option<&How> {
        self.hows.get(number as usize)
    }
}

/// Without dialects a column that nothing feeds is a mistake.
fn check_sources(text: &Text) -> Result<(), String> {
    let columns = text.columns.iter().map(|column| (&column.name, &column.keys));
    let contents = text.contents.iter().map(|content| (&content.name, &content.keys));
    for (name, keys) in columns.chain(contents) {
        if keys.is_empty() && text.dialects.is_empty() {
            return Err(format!("column {name:?} names no attribute keys"));
        }
    }
    Ok(())
}

fn check_names(text: &Text) -> Result<(), String> {
    let taken = FIXED_COLUMNS.iter().chain(&DIALECT_COLUMNS);
    let mut seen: Vec<String> = taken.map(|name| (*name).to_owned()).collect();
    let mut claim = |name: String| {
        if name.is_empty() {
            return Err("a plan column has an empty name".to_owned());
        }
        if seen.contains(&name) {
            return Err(format!("the name {name:?} is used twice; every column needs its own"));
        }
        seen.push(name);
        Ok(())
    };
    for column in &text.columns {
        claim(column.name.clone())?;
    }
    for content in &text.contents {
        claim(content.name.clone())?;
        if content.sizes {
            claim(roles_name(content))?;
            claim(bytes_name(content))?;
        }
        if content.calls {
            claim(calls_name(content))?;
            if content.form != Form::Elements {
                return Err(format!(
                    "content {:?} asks for calls; only the form \"elements\" has them",
                    content.name
                ));
            }
        }
    }
    Ok(())
}

/// Of what a test asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Key,
    Value(String),
    ResourceKey,
    ResourceValue(String),
    Name,
    Scope,
    Event,
}

type Asked = (Subject, Mode, Vec<String>);

struct Compiler {
    ops: Vec<String>,
    facts: HashMap<Asked, usize, RandomState>,
    tests: Tests,
    /// In the order of their first mention, so that equal plans are compiled equally.
    names: Vec<String>,
    places: HashMap<String, usize, RandomState>,
    keys: Vec<Key>,
    /// By key: dialect and use.
    wanted: Vec<Vec<(u16, Use)>>,
    hows: Vec<How>,
    probes: usize,
    resource_keys: usize,
    events: Vec<EventSource>,
    numbered: Vec<(String, Vec<(u16, Use)>)>,
}

impl Compiler {
    fn new(text: &Text) -> Result<Self, String> {
        if text.ops.len() > MAX_OPS {
            return Err(format!("the plan has {} operations, expected at most {MAX_OPS}", text.ops.len()));
        }
        let tests = Tests {
            looks_like: text.looks_like.clone(),
            looks_like_not: text.looks_like_not.clone(),
            ..Tests::default()
        };
        Ok(Self {
            ops: std::iter::once(String::new()).chain(text.ops.iter().cloned()).collect(),
            facts: HashMap::default(),
            tests,
            names: Vec::new(),
            places: HashMap::default(),
            keys: Vec::new(),
            wanted: Vec::new(),
            hows: vec![How::default()],
            probes: 0,
            resource_keys: 0,
            events: Vec::new(),
            numbered: Vec::new(),
        })
    }

    fn compile(mut self, text: Text) -> Result<Plan, String> {
        let nobody = DialectText {
            name: String::new(),
            detect: Vec::new(),
            ignore: Vec::new(),
            op: Vec::new(),
            op_otherwise: String::new(),
            sentinels: Vec::new(),
            columns: BTreeMap::new(),
            contents: BTreeMap::new(),
        };
        let mut dialects: Vec<Dialect> = Vec::new();
        for (number, dialect) in std::iter::once(&nobody).chain(&text.dialects).enumerate() {
            if number > 0
                && (dialect.name.is_empty() || dialects.iter().any(|other| other.name == dialect.name))
            {
                return Err(format!("the dialect {:?} has no name of its own", dialect.name));
            }
            let number = u16::try_from(number).map_err(|_| "the plan has more than 65535 dialects")?;
            let made = self.dialect(dialect, number, &text);
            dialects.push(made.map_err(|error| {
                if dialect.name.is_empty() { error } else { format!("dialect {:?}: {error}", dialect.name) }
            })?);
        }
        let mut plan = Plan {
            content_refresh_ns: i64::try_from(text.content_refresh_s.saturating_mul(1_000_000_000))
                .unwrap_or(i64::MAX),
            max_span_bytes: text.max_span_bytes,
            max_depth: text.max_depth,
            columns: text.columns,
            contents: text.contents,
            ops: self.ops,
            dialects,
            tests: self.tests,
            resource_keys: self.resource_keys,
            probes: self.probes,
            events: self.events,
            numbered: Vec::new(),
            logs: text.logs,
            keys: HashMap::default(),
            hows: self.hows,
        };
        let by_dialect = |wanted: &[(u16, Use)]| {
            let of = |dialect: usize| {
                let own = wanted.iter().filter(|(of, _)| usize::from(*of) == dialect);
                own.map(|(_, wanted)| *wanted).collect()
            };
            (0..plan.dialects.len()).map(of).collect()
        };
        for ((name, key), wanted) in self.names.into_iter().zip(self.keys).zip(self.wanted) {
            plan.keys.insert(name.into_bytes(), Key { uses: by_dialect(&wanted), ..key });
        }
        for (name, wanted) in self.numbered {
            plan.numbered.push((name.into_bytes(), Key { uses: by_dialect(&wanted), ..Key::default() }));
        }
        Ok(plan)
    }

    fn dialect(&mut self, text: &DialectText, number: u16, plan: &Text) -> Result<Dialect, String> {
        let mut dialect = Dialect {
            name: text.name.clone(),
            detect: self.matcher(&text.detect)?,
            ignore: self.matcher(&text.ignore)?,
            op: text.op.iter().map(|source| self.op_source(source)).collect::<Result<_, _>>()?,
            op_otherwise: self.op(&text.op_otherwise)?,
            sentinels: text.sentinels.iter().map(|text| text.as_bytes().to_vec()).collect(),
            longest_sentinel: text.sentinels.iter().map(String::len).max().unwrap_or(0),
            others: Vec::new(),
            of_events: Vec::new(),
        };
        for (name, _) in text.columns.iter() {
            if !plan.columns.iter().any(|column| column.name == *name) {
                return Err(format!("there is no column {name:?}"));
            }
        }
        for (name, _) in text.contents.iter() {
            if !plan.contents.iter().any(|content| content.name == *name) {
                return Err(format!("there is no content {name:?}"));
            }
        }
        let columns = plan.columns.iter().map(|c| (&c.name, text.columns.get(&c.name), &c.keys, c.from));
        let contents =
            plan.contents.iter().map(|c| (&c.name, text.contents.get(&c.name), &c.keys, Owner::Span));
        for (slot, (name, sources, keys, owner)) in columns.chain(contents).enumerate() {
            let slot = u16::try_from(slot).map_err(|error| error.to_string())?;
            let anywhere = keys.iter().map(|key| SourceText::always(key, owner)).collect::<Vec<_>>();
            let sources = sources.into_iter().flatten().chain(&anywhere);
            for (rank, source) in sources.enumerate() {
                let rank =
                    u16::try_from(rank).map_err(|_| format!("column {name:?} has too many sources"))?;
                let column = plan.columns.get(usize::from(slot));
                let is_copied = column.is_none_or(|column| column.kind == Type::Str);
                self.source(source, number, slot, rank, is_copied, &mut dialect)
                    .map_err(|error| format!("column {name:?}: {error}"))?;
            }
        }
        Ok(dialect)
    }

    #[allow(clippy::too_many_arguments)]
    fn source(
        &mut self,
        text: &SourceText,
        dialect: u16,
        slot: u16,
        rank: u16,
        is_copied: bool,
        into: &mut Dialect,
    ) -> Result<(), String> {
        let ops = text.ops.iter().try_fold(0, |ops, name| Ok::<u64, String>(ops | 1 << self.op(name)?))?;
        let ops = if text.ops.is_empty() { u64::MAX } else { ops };
        if text.form == Some(Shape::Parts) {
            for (number, (part, name)) in (0..).zip(PARTS) {
                let Some(key) = text.parts.get(part) else { continue };
                let how = self.how(text, |how| how.part = Some((number, name)))?;
                self.use_key(key, dialect, Use { slot, rank, how, ops })?;
            }
            return Ok(());
        }
        let events = if text.event.is_empty() { None } else { Some(self.event_source(text)?) };
        let is_message = text.form == Some(Shape::Event);
        let how = self.how(text, |how| how.events = events.filter(|_| is_message))?;
        let wanted = Use { slot, rank, how, ops };
        let origin = match (events, &text.key, &text.resource, text.from) {
            (Some(events), _, None, None) if is_message => Origin::Events(events),
            (Some(events), Some(_), None, None) => Origin::Event(events),
            (None, Some(key), None, None) if text.form == Some(Shape::Indexed) => {
                let place = self.numbered.iter().position(|(name, _)| name == key);
                match place.and_then(|place| self.numbered.get_mut(place)) {
                    Some((_, uses)) => uses.push((dialect, wanted)),
                    None => self.numbered.push((key.clone(), vec![(dialect, wanted)])),
                }
                return Ok(());
            }
            (None, Some(key), None, None) => return self.use_key(key, dialect, wanted),
            (None, None, Some(key), None) => Origin::Resource(self.resource_key(key, is_copied)?),
            (None, None, None, Some(Place::Name)) => Origin::Name,
            (None, None, None, Some(Place::Scope)) => Origin::Scope,
            (None, None, None, Some(Place::Duration)) => Origin::Duration,
            (None, None, None, None) if text.is.is_some() => Origin::Nowhere,
            _ => return Err("a source needs one of key, resource and from, or a constant".to_owned()),
        };
        let of_events = matches!(origin, Origin::Event(_) | Origin::Events(_));
        if of_events { &mut into.of_events } else { &mut into.others }.push((origin, wanted));
        Ok(())
    }

    fn use_key(&mut self, key: &str, dialect: u16, wanted: Use) -> Result<(), String> {
        let key = self.key(key);
        let uses = self.wanted.get_mut(key).ok_or("keys are numbered as they come")?;
        // One that came before takes every value this one could.
        let is_idle = uses.iter().any(|(of, earlier)| {
            *of == dialect
                && (earlier.slot, earlier.how) == (wanted.slot, wanted.how)
                && earlier.ops | wanted.ops == earlier.ops
        });
        if !is_idle {
            uses.push((dialect, wanted));
        }
        Ok(())
    }

    fn event_source(&mut self, text: &SourceText) -> Result<u16, String> {
        let fact = self.fact(&TestText { event: text.event.clone(), ..TestText::default() })?;
        let names = text.event.iter().map(|name| name.as_bytes().to_vec()).collect();
        let place = u16::try_from(self.events.len()).map_err(|error| error.to_string())?;
        let key = text.key.as_deref().unwrap_or_default().as_bytes().to_vec();
        self.events.push(EventSource { fact, names, key });
        Ok(place)
    }

    fn how(&mut self, text: &SourceText, change: impl FnOnce(&mut How)) -> Result<u32, String> {
        let mut how = How {
            path: text.path.clone(),
            scale: text.scale,
            reading: text.reading,
            constant: text.is.as_ref().map(|text| text.as_bytes().to_vec()),
            only: text.only.iter().map(|text| text.as_bytes().to_vec()).collect(),
            nonzero: text.nonzero,
            after: text.after.as_bytes().to_vec(),
            before: text.before.as_bytes().to_vec(),
            when: self.matcher(&text.when)?,
            form: text.form.unwrap_or_default(),
            role: text.role,
            part: None,
            events: None,
        };
        change(&mut how);
        let place = self.hows.iter().position(|known| *known == how).unwrap_or(self.hows.len());
        if place == self.hows.len() {
            self.hows.push(how);
        }
        u32::try_from(place).map_err(|error| error.to_string())
    }

    fn op_source(&mut self, text: &OpText) -> Result<OpSource, String> {
        let origin = match (&text.key, text.from) {
            (Some(key), None) => {
                let key = self.key(key);
                let next = u8::try_from(self.probes).map_err(|_| "operations are read from too many keys")?;
                let key = self.keys.get_mut(key).ok_or("keys are numbered as they come")?;
                if key.probe.is_none() {
                    self.probes += 1;
                }
                OpOrigin::Probe(*key.probe.get_or_insert(next))
            }
            (None, Some(Place::Name)) => OpOrigin::Name,
            (None, Some(Place::Scope)) => OpOrigin::Scope,
            (None, None) if text.is.is_some() => OpOrigin::Nowhere,
            _ => return Err("an operation's source needs one of key and from, or a constant".to_owned()),
        };
        let mut choices =
            Choices { any: text.is.as_ref().map(|op| self.op(op)).transpose()?, ..Choices::default() };
        for (text, op) in &text.values {
            choices.equal.insert(text.as_bytes().to_vec(), self.op(op)?);
        }
        let listed = |texts: &BTreeMap<String, String>| {
            let ops = texts.iter().map(|(text, op)| Ok((text.as_bytes().to_vec(), self.op(op)?)));
            let mut ops = ops.collect::<Result<Vec<_>, String>>()?;
            ops.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
            Ok::<_, String>(ops)
        };
        choices.prefixes = listed(&text.prefixes)?;
        choices.suffixes = listed(&text.suffixes)?;
        Ok(OpSource { origin, path: text.path.clone(), choices, when: self.matcher(&text.when)? })
    }

    fn op(&self, name: &str) -> Result<u8, String> {
        let place = self.ops.iter().position(|op| op == name);
        let place = place.ok_or_else(|| format!("there is no operation {name:?}"))?;
        u8::try_from(place).map_err(|error| error.to_string())
    }

    fn key(&mut self, name: &str) -> usize {
        *self.places.entry(name.to_owned()).or_insert_with(|| {
            self.names.push(name.to_owned());
            self.keys.push(Key::default());
            self.wanted.push(Vec::new());
            self.keys.len() - 1
        })
    }

    fn resource_key(&mut self, name: &str, is_copied: bool) -> Result<u16, String> {
        let key = self.key(name);
        let next = u16::try_from(self.resource_keys).map_err(|error| error.to_string())?;
        let key = self.keys.get_mut(key).ok_or("keys are numbered as they come")?;
        if key.resource.is_none() {
            self.resource_keys += 1;
        }
        key.is_copied |= is_copied;
        Ok(*key.resource.get_or_insert(next))
    }

    fn matcher(&mut self, tests: &[TestText]) -> Result<Matcher, String> {
        let mut found = Vec::new();
        for test in tests {
            found.extend(self.combined(test)?);
        }
        Ok(Matcher(found))
    }

    /// What a test wants, as alternatives of facts that have to hold and facts that must not.
    fn combined(&mut self, test: &TestText) -> Result<Vec<(Facts, Facts)>, String> {
        let combines = !(test.all.is_empty() && test.any.is_empty() && test.none.is_empty());
        if !combines {
            return Ok(vec![(self.fact(test)?, Facts::default())]);
        }
        let (mut wanted, mut unwanted) = (Facts::default(), Facts::default());
        for one in &test.all {
            wanted.add(&self.fact(one)?);
        }
        for one in &test.none {
            unwanted.add(&self.fact(one)?);
        }
        if test.any.is_empty() {
            return Ok(vec![(wanted, unwanted)]);
        }
        let any = test.any.iter().map(|one| {
            let mut with = wanted;
            with.add(&self.fact(one)?);
            Ok((with, unwanted))
        });
        any.collect()
    }

    /// The fact that a single test is about.
    fn fact(&mut self, test: &TestText) -> Result<Facts, String> {
        let asked = asked(test)?;
        let next = self.facts.len();
        if let Some(number) = self.facts.get(&asked) {
            return Ok(Facts::of(*number));
        }
        if next >= MAX_FACTS {
            return Err(format!("the plan asks for more than {MAX_FACTS} facts"));
        }
        let facts = Facts::of(next);
        self.facts.insert(asked.clone(), next);
        let (subject, mode, texts) = asked;
        for text in &texts {
            match &subject {
                Subject::Key => &mut self.tests.keys,
                Subject::Name => &mut self.tests.names,
                Subject::Scope => &mut self.tests.scopes,
                Subject::ResourceKey => &mut self.tests.resource_keys,
                Subject::Event => {
                    self.tests.any_events = true;
                    &mut self.tests.events
                }
                Subject::Value(key) | Subject::ResourceValue(key) => {
                    let place = self.key(key);
                    let key = self.keys.get_mut(place).ok_or("keys are numbered as they come")?;
                    let of_resource = matches!(subject, Subject::ResourceValue(_));
                    let values = if of_resource { &mut key.resource_values } else { &mut key.values };
                    values.get_or_insert_default()
                }
            }
            .add(mode, text, &facts);
        }
        Ok(facts)
    }
}

impl SourceText {
    fn always(key: &str, owner: Owner) -> Self {
        let key = Some(key.to_owned());
        let (key, resource) = if owner == Owner::Span { (key, None) } else { (None, key) };
        Self {
            key,
            resource,
            from: None,
            path: None,
            scale: None,
            reading: None,
            is: None,
            event: Vec::new(),
            only: Vec::new(),
            nonzero: false,
            after: String::new(),
            before: String::new(),
            ops: Vec::new(),
            when: Vec::new(),
            form: None,
            role: None,
            parts: BTreeMap::new(),
        }
    }
}

fn asked(test: &TestText) -> Result<Asked, String> {
    const WRONG: &str = "a test asks for one thing: attribute, attribute_prefix, resource, scope, scope_prefix, \
                         scope_contains, name, name_prefix, name_suffix or event (or all, any, none)";
    let simple = [
        (&test.attribute_prefix, Subject::Key, Mode::Prefix),
        (&test.scope, Subject::Scope, Mode::Equal),
        (&test.scope_prefix, Subject::Scope, Mode::Prefix),
        (&test.scope_contains, Subject::Scope, Mode::Part),
        (&test.name, Subject::Name, Mode::Equal),
        (&test.name_prefix, Subject::Name, Mode::Prefix),
        (&test.name_suffix, Subject::Name, Mode::Suffix),
        (&test.event, Subject::Event, Mode::Equal),
    ];
    let mut found = simple
        .into_iter()
        .filter(|(texts, ..)| !texts.is_empty())
        .map(|(texts, subject, mode)| (subject, mode, texts.clone()))
        .collect::<Vec<_>>();
    let valued = [
        (&test.attribute, Subject::Key, Subject::Value as fn(String) -> Subject),
        (&test.resource, Subject::ResourceKey, Subject::ResourceValue),
    ];
    for (key, present, value) in valued {
        let Some(key) = key else { continue };
        found.push(match (test.is.is_empty(), test.starts.is_empty()) {
            (true, true) => (present, Mode::Equal, vec![key.clone()]),
            (false, true) => (value(key.clone()), Mode::Equal, test.is.clone()),
            (true, false) => (value(key.clone()), Mode::Prefix, test.starts.clone()),
            (false, false) => return Err(WRONG.to_owned()),
        });
    }
    match (found.pop(), found.is_empty()) {
        (Some(asked), true) => Ok(asked),
        _ => Err(WRONG.to_owned()),
    }
}

/// Name of the column of tool calls that belongs to a content column.
pub fn calls_name(content: &Content) -> String {
    format!("{}.calls", content.name)
}

/// Name of the column of who speaks in each content.
pub fn roles_name(content: &Content) -> String {
    format!("{}.roles", content.name)
}

/// Name of the column of how many bytes of text each content has.
pub fn bytes_name(content: &Content) -> String {
    format!("{}.bytes", content.name)
}
