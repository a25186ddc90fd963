//! Sequences of attribute keys, as a tree. Senders repeat theirs span after span: then a key is found by comparing it with
//! the one that came next the last time, and the sequence's number stands for all that its keys decide.

use crate::keys::KeyId;
use crate::text::same;

/// Number of a sequence within one call.
pub type Path = u32;

/// The sequence of no keys.
pub const START: Path = 0;
/// A sequence that has no number: there are too many, it is too long, or it repeats a key.
pub const UNKNOWN: Path = u32::MAX;

/// Bounds of the tree, which is made of what strangers send.
const MAX_PATHS: usize = 8192;
const MAX_KEYS: u16 = 256;
const MAX_BRANCHES: u8 = 16;

/// The last key of a sequence, and where longer ones go on.
#[derive(Debug, Clone, Copy)]
struct Step<'a> {
    name: &'a [u8],
    key: KeyId,
    is_empty: bool,
    branches: u8,
    keys: u16,
    /// The first that is longer by one key; the next that differs in its last key only.
    first: Path,
    next: Path,
}

/// The sequences met so far.
#[derive(Debug)]
pub struct Paths<'a>(Vec<Step<'a>>);

impl Default for Paths<'_> {
    fn default() -> Self {
        let start =
            Step { name: &[], key: 0, is_empty: false, branches: 0, keys: 0, first: UNKNOWN, next: UNKNOWN };
        Self(vec![start])
    }
}

impl<'a> Paths<'a> {
    /// Where `path` goes on with this key, if it ever did, and the key's number. A key whose value is empty is another
    /// than that key with a value, so that the path tells which values there are.
    #[inline]
    pub fn follow(&self, path: Path, name: &[u8], is_empty: bool) -> Option<(Path, KeyId)> {
        let mut at = self.0.get(path as usize)?.first;
        while let Some(step) = self.0.get(at as usize) {
            if same(step.name, name) && step.is_empty == is_empty {
                return Some((at, step.key));
            }
            at = step.next;
        }
        None
    }

    /// Lets `path` go on with a key that is not in it and with which it did not go on before. [`UNKNOWN`] where there
    /// is no room.
    pub fn extend(&mut self, path: Path, name: &'a [u8], key: KeyId, is_empty: bool) -> Path {
        let new = self.0.len();
        let Some(from) = self.0.get_mut(path as usize) else { return UNKNOWN };
        if new >= MAX_PATHS || from.keys >= MAX_KEYS || from.branches >= MAX_BRANCHES {
            return UNKNOWN;
        }
        let (keys, new) = (from.keys + 1, new as Path);
        from.branches += 1;
        let next = std::mem::replace(&mut from.first, new);
        self.0.push(Step { name, key, is_empty, branches: 0, keys, first: UNKNOWN, next });
        new
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_found_again_by_its_keys_and_which_are_empty() {
        let mut paths = Paths::default();
        let one = paths.extend(START, b"a", 7, false);
        let other = paths.extend(START, b"a", 7, true);
        let longer = paths.extend(one, b"b", 8, false);
        assert_eq!(paths.follow(START, b"a", false).unwrap(), (one, 7));
        assert_eq!(paths.follow(START, b"a", true).unwrap(), (other, 7));
        assert_eq!(paths.follow(one, b"b", false).unwrap(), (longer, 8));
        assert_eq!(paths.follow(other, b"b", false), None);
        assert_eq!(paths.follow(START, b"b", false), None);
        assert_eq!(paths.follow(UNKNOWN, b"a", false), None);
    }

    #[test]
    fn the_tree_has_its_bounds() {
        let names: Vec<Vec<u8>> = (0..20_000).map(|number: u32| number.to_string().into_bytes()).collect();
        let mut paths = Paths::default();
        let wide =
            names.iter().zip(0..).filter(|(name, key)| paths.extend(START, name, *key, false) != UNKNOWN);
        assert_eq!(wide.count(), usize::from(MAX_BRANCHES));
        let (mut path, mut length) = (START, 0);
        for (name, key) in names.iter().zip(0..) {
            path = paths
                .follow(path, name, false)
                .map_or_else(|| paths.extend(path, name, key, false), |step| step.0);
            length += usize::from(path != UNKNOWN);
        }
        assert_eq!(length, usize::from(MAX_KEYS));
        for first in &names {
            let mut path = START;
            for (name, key) in names.iter().zip(0..).take(30) {
                let name = if path == START { first } else { name };
                path = paths
                    .follow(path, name, false)
                    .map_or_else(|| paths.extend(path, name, key, false), |step| step.0);
            }
        }
        assert!(paths.0.len() <= MAX_PATHS);
        assert!(paths.0.iter().all(|step| step.branches <= MAX_BRANCHES && step.keys <= MAX_KEYS));
    }
}
