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

/// Most sets that are told apart; more than a plan's tests can make of anything but texts made to that end, whose facts
/// do not count then.
const MAX_SETS: usize = 2048;

/// Distinct sets of facts that one key, value or name brings, by number. The first is the empty one.
#[derive(Debug)]
pub struct Sets {
    sets: Vec<Facts>,
    numbers: HashMap<Facts, u32, RandomState>,
}

impl Default for Sets {
    fn default() -> Self {
        Self { sets: vec![Facts::default()], numbers: HashMap::from_iter([(Facts::default(), 0)]) }
    }
}

impl Sets {
    pub fn number(&mut self, facts: &Facts) -> u32 {
        if let Some(number) = self.numbers.get(facts) {
            return *number;
        }
        if self.sets.len() >= MAX_SETS {
            return 0;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or_default();
        self.sets.push(*facts);
        self.numbers.insert(*facts, number);
        number
    }

    fn get(&self, number: u32) -> Facts {
        self.sets.get(number as usize).copied().unwrap_or_default()
    }
}

/// The sets of texts that are numbered as they come (names of a dictionary), each looked up once.
#[derive(Debug, Default)]
pub struct Remembered {
    /// By the text's number: that of its set, one more than it; 0 where it was not asked yet.
    numbers: Vec<u32>,
}

impl Remembered {
    /// Number of the set of the text with this number.
    #[inline]
    pub fn set(&mut self, code: i32, sets: &mut Sets, find: impl FnOnce() -> Facts) -> u32 {
        match self.numbers.get(code as usize) {
            Some(number) if *number > 0 => number - 1,
            _ => self.ask(code as usize, sets.number(&find())),
        }
    }

    #[cold]
    fn ask(&mut self, code: usize, number: u32) -> u32 {
        if self.numbers.len() <= code {
            self.numbers.resize(code + 1, 0);
        }
        if let Some(known) = self.numbers.get_mut(code) {
            *known = number + 1;
        }
        number
    }
}

/// Most unions that are remembered; real traffic has some dozens. Those of a span are no more than facts.
const MAX_UNIONS: usize = 1024;

/// Unions of sets, by number, and what was made of each. Adding a set to a union met before is a look-up.
#[derive(Debug)]
pub struct Unions<T> {
    unions: Vec<(Facts, T)>,
    numbers: HashMap<Facts, u32, RandomState>,
    /// By union and set: their union, one more than its number; 0 where it was not asked yet.
    next: Vec<Vec<u32>>,
}

impl<T> Default for Unions<T> {
    fn default() -> Self {
        Self { unions: Vec::new(), numbers: HashMap::default(), next: Vec::new() }
    }
}

impl<T: Copy + Default> Unions<T> {
    /// Makes room for another span's; numbers given before are void when it returns true.
    #[inline]
    pub fn begin(&mut self) -> bool {
        let is_full = self.unions.len() >= MAX_UNIONS;
        if is_full {
            *self = Self::default();
        }
        is_full
    }

    pub fn number(&mut self, facts: &Facts, make: impl FnOnce(&Facts) -> T) -> u32 {
        if let Some(number) = self.numbers.get(facts) {
            return *number;
        }
        let number = u32::try_from(self.unions.len()).unwrap_or_default();
        self.unions.push((*facts, make(facts)));
        self.next.push(Vec::new());
        self.numbers.insert(*facts, number);
        number
    }

    /// Number of the union with that set added.
    #[inline]
    pub fn add(&mut self, union: u32, set: u32, sets: &Sets, make: impl FnOnce(&Facts) -> T) -> u32 {
        if set == 0 {
            return union;
        }
        match self.next.get(union as usize).and_then(|next| next.get(set as usize)) {
            Some(number) if *number > 0 => number - 1,
            _ => self.add_new(union, set, sets, make),
        }
    }

    #[cold]
    fn add_new(&mut self, union: u32, set: u32, sets: &Sets, make: impl FnOnce(&Facts) -> T) -> u32 {
        let mut facts = self.get(union).0;
        facts.add(&sets.get(set));
        let number = self.number(&facts, make);
        if let Some(next) = self.next.get_mut(union as usize) {
            if next.len() <= set as usize {
                next.resize(set as usize + 1, 0);
            }
            if let Some(known) = next.get_mut(set as usize) {
                *known = number + 1;
            }
        }
        number
    }

    /// The union and what was made of it.
    #[inline]
    pub fn get(&self, union: u32) -> (Facts, T) {
        self.unions.get(union as usize).copied().unwrap_or_default()
    }

    /// What was made of the union.
    #[inline]
    pub fn made(&self, union: u32) -> T {
        self.unions.get(union as usize).map(|union| union.1).unwrap_or_default()
    }
}
