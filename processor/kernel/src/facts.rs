//! Facts about a span: which tests of the plan hold for its keys, values, names, scope and resource.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

const WORDS: usize = 6;

/// Most facts a plan may ask about.
pub const MAX_FACTS: usize = WORDS * 64;

/// A set of facts, each known by its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Facts([u64; WORDS]);

impl Facts {
    /// The set of one fact; empty for a number beyond [`MAX_FACTS`].
    pub fn of(number: usize) -> Self {
        let mut facts = Self::default();
        if let Some(word) = facts.0.get_mut(number / 64) {
            *word = 1 << (number % 64);
        }
        facts
    }

    #[inline]
    pub fn add(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn has_all(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(word, wanted)| word & wanted == *wanted)
    }

    /// Whether both have a fact in common.
    #[inline]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }
}

/// Sets of facts of which one has to hold: all of the first member and none of the second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matcher(pub Vec<(Facts, Facts)>);

impl Matcher {
    pub fn holds(&self, facts: &Facts) -> bool {
        self.0.iter().any(|(wanted, unwanted)| facts.has_all(wanted) && !facts.meets(unwanted))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Equal,
    Prefix,
    Suffix,
    Part,
}

/// Texts and what each stands for, several at once.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    equal: HashMap<Vec<u8>, Facts, RandomState>,
    others: Vec<(Mode, Vec<u8>, Facts)>,
}

impl Texts {
    pub fn add(&mut self, mode: Mode, text: &str, facts: &Facts) {
        let text = text.as_bytes();
        if mode == Mode::Equal {
            self.equal.entry(text.to_vec()).or_default().add(facts);
        } else {
            self.others.push((mode, text.to_vec(), *facts));
        }
    }

    /// The facts that hold for `text`.
    pub fn facts(&self, text: &[u8]) -> Facts {
        let mut facts = self.equal.get(text).copied().unwrap_or_default();
        for (mode, wanted, more) in &self.others {
            let holds = match mode {
                Mode::Equal => false,
                Mode::Prefix => text.starts_with(wanted),
                Mode::Suffix => text.ends_with(wanted),
                Mode::Part => memchr::memmem::find(text, wanted).is_some(),
            };
            if holds {
                facts.add(more);
            }
        }
        facts
    }
}

/// The facts of texts that are numbered as they come (names of a dictionary), each looked up once.
#[derive(Debug, Default)]
pub struct Remembered {
    /// By the text's number: the place of its facts in `distinct`, one more than that; 0 where it was not asked yet.
    places: Vec<u32>,
    distinct: Vec<Facts>,
}

impl Remembered {
    /// The facts of the text with this number.
    #[inline]
    pub fn facts(&mut self, code: i32, find: impl FnOnce() -> Facts) -> Facts {
        let code = code as usize;
        let place = self.places.get(code).copied().unwrap_or_default();
        match self.distinct.get((place as usize).wrapping_sub(1)) {
            Some(facts) => *facts,
            None => self.ask(code, find()),
        }
    }

    #[cold]
    fn ask(&mut self, code: usize, facts: Facts) -> Facts {
        let place = self.distinct.iter().position(|known| *known == facts).unwrap_or(self.distinct.len());
        if place == self.distinct.len() {
            self.distinct.push(facts);
        }
        if self.places.len() <= code {
            self.places.resize(code + 1, 0);
        }
        if let Some(known) = self.places.get_mut(code) {
            *known = u32::try_from(place + 1).unwrap_or_default();
        }
        facts
    }
}
