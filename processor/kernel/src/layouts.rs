//! What becomes of a span's attributes, as far as their keys, the span's facts and its operation decide it: found out once
//! for all spans that are alike in these.

use std::rc::Rc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::facts::Facts;
use crate::keys::KeyTable;
use crate::otlp::Attr;
use crate::paths::{Path, UNKNOWN};
use crate::plan::{Origin, Plan, Use};

/// An attribute offered to a slot.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Which of the span's attributes.
    pub place: u32,
    pub wanted: Use,
    /// Of a part of a numbered message: its number, and what comes after that in the key.
    pub part: Option<(u32, &'a [u8])>,
}

/// Where the attributes of a span go.
#[derive(Debug, Default)]
pub struct Layout<'a> {
    /// Places of attributes and the columns' slots that nothing else is offered to, and that take the value as it is.
    pub plain: Vec<(u32, u16)>,
    /// All other offers: of attributes, and of what is none.
    pub offers: Vec<Offer<'a>>,
    pub others: Vec<(Origin, Use)>,
    /// Places of the attributes that may become contents; those of all others, which stay attributes, and their keys'
    /// codes.
    pub offered: Vec<u32>,
    pub kept: Vec<u32>,
    pub codes: Vec<i32>,
    /// Whether a span with these keys looks like one that a dialect should know.
    pub looks: bool,
}

/// What decides a span's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The sequence of its keys.
    pub path: Path,
    /// Number of its facts, and how often these numbers were given anew.
    pub union: u32,
    pub generation: u32,
    pub op: u8,
}

/// Most layouts that are remembered; real traffic has some dozens.
const MAX_LAYOUTS: usize = 1024;

/// The layouts met so far.
#[derive(Debug, Default)]
pub struct Layouts<'a>(HashMap<Kind, Rc<Layout<'a>>, RandomState>);

impl<'a> Layouts<'a> {
    /// The layout of a span; `facts` and `dialect` are those its kind's numbers stand for.
    #[inline]
    pub fn of(
        &mut self,
        kind: Kind,
        plan: &'a Plan,
        dialect: u16,
        facts: impl FnOnce() -> Facts,
        attrs: &[Attr<'a>],
        keys: &mut KeyTable<'a>,
    ) -> Rc<Layout<'a>> {
        if let Some(layout) = self.0.get(&kind) {
            return Rc::clone(layout);
        }
        let made = Rc::new(Layout::new(plan, dialect, kind.op, &facts(), attrs, keys));
        if kind.path != UNKNOWN {
            if self.0.len() >= MAX_LAYOUTS {
                self.0.clear();
            }
            self.0.insert(kind, Rc::clone(&made));
        }
        made
    }
}

impl<'a> Layout<'a> {
    #[inline(never)]
    fn new(
        plan: &'a Plan,
        dialect: u16,
        op: u8,
        facts: &Facts,
        attrs: &[Attr<'a>],
        keys: &mut KeyTable<'a>,
    ) -> Self {
        let mut layout = Self::default();
        let is_for = |wanted: &&Use| wanted.ops & 1 << op != 0;
        let applies = |wanted: &Use| {
            let when = plan.how(wanted.how).map(|how| &how.when);
            when.is_none_or(|when| when.is_empty() || when.holds(facts))
        };
        for (place, attr) in (0u32..).zip(attrs) {
            let mut is_offered = false;
            for wanted in keys.uses(attr.key, dialect).iter().filter(is_for) {
                is_offered |= usize::from(wanted.slot) >= plan.columns.len();
                if applies(wanted) {
                    layout.offers.push(Offer { place, wanted: *wanted, part: None });
                }
            }
            if let Some(numbered) = keys.numbered(attr.key) {
                let part = Some((numbered.index, numbered.path));
                let uses = numbered.key.uses(dialect).iter().filter(is_for);
                for wanted in uses.filter(|wanted| applies(wanted)) {
                    is_offered = true;
                    layout.offers.push(Offer { place, wanted: *wanted, part });
                }
            }
            if is_offered {
                layout.offered.push(place);
            } else {
                layout.kept.push(place);
                layout.codes.push(keys.code(attr.key));
            }
            layout.looks |= keys.looks(attr.key);
        }
        if let Some(dialect) = plan.dialects.get(usize::from(dialect)) {
            let others = dialect.others.iter().chain(&dialect.of_events).filter(|(origin, wanted)| {
                let has_event = match origin {
                    Origin::Event(place) | Origin::Events(place) => {
                        plan.events.get(usize::from(*place)).is_some_and(|source| facts.meets(&source.fact))
                    }
                    _ => true,
                };
                is_for(&wanted) && has_event && applies(wanted)
            });
            layout.others.extend(others);
        }
        layout.sort_out(plan);
        layout
    }

    /// Tells the plain offers from the others.
    fn sort_out(&mut self, plan: &Plan) {
        let Self { plain, offers, others, .. } = self;
        let mut count = vec![0u32; plan.columns.len() + plan.contents.len()];
        let slots =
            offers.iter().map(|offer| offer.wanted.slot).chain(others.iter().map(|other| other.1.slot));
        for slot in slots {
            if let Some(count) = count.get_mut(usize::from(slot)) {
                *count += 1;
            }
        }
        offers.retain(|Offer { place, wanted, part }| {
            let slot = usize::from(wanted.slot);
            let is_plain = wanted.how == 0
                && part.is_none()
                && slot < plan.columns.len()
                && count.get(slot).is_some_and(|count| *count == 1);
            if is_plain {
                plain.push((*place, wanted.slot));
            }
            !is_plain
        });
    }
}
