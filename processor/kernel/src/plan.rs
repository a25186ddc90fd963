//! The extraction plan: which attribute keys become which columns, and which hold content.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Deserialize;

/// Deepest AnyValue nesting that may be allowed: checking and rendering recurse once per level.
pub const MAX_DEPTH: u32 = 128;
/// And where nothing is said of it.
pub const DEFAULT_DEPTH: u32 = 64;

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
pub enum Source {
    Span,
    Resource,
}

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
    pub keys: Vec<String>,
    pub from: Source,
    #[serde(rename = "type")]
    pub kind: Type,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub name: String,
    pub keys: Vec<String>,
    pub kind: String,
    pub form: Form,
    #[serde(default)]
    pub calls: bool,
}

impl Content {
    /// Whether elements are chat messages, whose canonical form is role and parts only.
    pub fn is_message(&self) -> bool {
        self.kind == "message"
    }
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

/// One use of a key: the slot it feeds and its place in that slot's list of keys (0 comes first).
#[derive(Debug, Clone, Copy)]
pub struct Use {
    pub slot: u16,
    pub rank: u16,
}

/// What the plan wants of one attribute key.
#[derive(Debug, Clone, Default)]
pub struct Key {
    pub name: Vec<u8>,
    pub span: Vec<Use>,
    pub resource: Vec<Use>,
    pub is_content: bool,
}

/// A checked plan. Slots number the columns first, then the contents.
#[derive(Debug)]
pub struct Plan {
    pub content_refresh_ns: i64,
    pub max_span_bytes: usize,
    pub max_depth: u32,
    pub columns: Vec<Column>,
    pub contents: Vec<Content>,
    pub keys: Vec<Key>,
}

impl Plan {
    /// Reads a plan's JSON text; the error says what is wrong with it.
    pub fn parse(text: &str, taken: &[&str]) -> Result<Self, String> {
        let text: Text =
            serde_json::from_str(text).map_err(|error| format!("the plan is not valid: {error}"))?;
        if text.max_depth > MAX_DEPTH {
            return Err(format!("max_depth is {}, expected at most {MAX_DEPTH}", text.max_depth));
        }
        if text.columns.len() + text.contents.len() > usize::from(u16::MAX) {
            return Err("the plan has more than 65535 columns".to_owned());
        }
        let mut plan = Self {
            content_refresh_ns: i64::try_from(text.content_refresh_s.saturating_mul(1_000_000_000))
                .unwrap_or(i64::MAX),
            max_span_bytes: text.max_span_bytes,
            max_depth: text.max_depth,
            columns: text.columns,
            contents: text.contents,
            keys: Vec::new(),
        };
        plan.check_names(taken)?;
        plan.index_keys()?;
        Ok(plan)
    }

    fn check_names(&self, taken: &[&str]) -> Result<(), String> {
        let mut seen: Vec<String> = taken.iter().map(|name| (*name).to_owned()).collect();
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
        for column in &self.columns {
            claim(column.name.clone())?;
        }
        for content in &self.contents {
            claim(content.name.clone())?;
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

    fn index_keys(&mut self) -> Result<(), String> {
        let mut places: HashMap<&str, usize, RandomState> = HashMap::default();
        let mut keys: Vec<Key> = Vec::new();
        let columns = self.columns.iter().map(|c| (&c.name, &c.keys, c.from, false));
        let contents = self.contents.iter().map(|c| (&c.name, &c.keys, Source::Span, true));
        for (slot, (name, wanted, from, is_content)) in columns.chain(contents).enumerate() {
            if wanted.is_empty() {
                return Err(format!("column {name:?} names no attribute keys"));
            }
            for (rank, key) in wanted.iter().enumerate() {
                let place = *places.entry(key).or_insert_with(|| {
                    keys.push(Key { name: key.as_bytes().to_vec(), ..Key::default() });
                    keys.len() - 1
                });
                let entry = keys.get_mut(place).ok_or("keys are indexed as they are added")?;
                let place = Use {
                    slot: u16::try_from(slot).map_err(|error| error.to_string())?,
                    rank: u16::try_from(rank).map_err(|_| format!("column {name:?} names too many keys"))?,
                };
                match from {
                    Source::Span => entry.span.push(place),
                    Source::Resource => entry.resource.push(place),
                }
                entry.is_content |= is_content;
            }
        }
        self.keys = keys;
        Ok(())
    }
}

/// Name of the column of tool calls that belongs to a content column.
pub fn calls_name(content: &Content) -> String {
    format!("{}.calls", content.name)
}
