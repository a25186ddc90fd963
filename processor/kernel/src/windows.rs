//! What each model call's window was made of, and which part of it had been read before.
//!
//! A model counts the tokens of its whole prompt; what share of them each block has (system instructions, tool
//! definitions, messages) is told from the blocks' lengths, so that the shares add up to the prompt exactly.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// What a window is made of: system, tools, user, history (what the model itself said before), tool results.
pub const PARTS: usize = 5;
const SYSTEM: u8 = 0;
const TOOLS: u8 = 1;
const USER: u8 = 2;
/// By the number of a role in `c.roles`: none, system, user, assistant, tool.
const PART_OF_ROLE: [u8; 5] = [USER, SYSTEM, USER, 3, 4];

/// Contents of a column: each one's hash, of which half is enough to tell them apart, 0 for none; and its length.
#[derive(Debug, Default)]
pub struct Contents {
    pub hashes: Vec<u64>,
    pub bytes: Vec<u32>,
}

/// The spans of a batch, column by column.
#[derive(Debug, Default)]
pub struct Calls {
    pub system: Contents,
    pub tools: Contents,
    /// Those of a span together, `counts` each.
    pub messages: Contents,
    pub roles: Vec<u8>,
    pub counts: Vec<u32>,
    /// Of the prompt; not above 0 where a span has no window.
    pub tokens: Vec<i64>,
    pub start_ns: Vec<i64>,
    /// Key of the run.
    pub run: Vec<u64>,
}

/// Tokens by span.
#[derive(Debug, Default)]
pub struct Windows {
    pub parts: [Vec<i64>; PARTS],
    /// In blocks that stand in the same window once before.
    pub repeated: Vec<i64>,
    /// In blocks that an earlier call of the run had in its window too.
    pub reread: Vec<i64>,
    /// The distinct blocks that were read, as run and content mixed, in no order.
    pub read: Vec<u64>,
}

struct Block {
    part: u8,
    bytes: u32,
    key: u64,
}

/// The spans whose windows have a certain block: the first and the last of those looked at.
struct Readers {
    first: u32,
    last: u32,
}

/// The windows of a batch's calls.
///
/// `known` says of a run's block (as `Windows::read` names it) whether a batch before had it. Earlier means started
/// earlier, so that a batch says the same in whatever order its spans came.
pub fn windows(calls: &Calls, known: impl Fn(u64) -> bool) -> Windows {
    let rows = calls.tokens.len();
    let mut told = Windows {
        parts: std::array::from_fn(|_| vec![0; rows]),
        repeated: vec![0; rows],
        reread: vec![0; rows],
        read: Vec::new(),
    };
    let (blocks, spans) = blocks(calls);
    let mut order: Vec<(i64, u32)> = calls
        .start_ns
        .iter()
        .zip(0..)
        .zip(&spans)
        .filter_map(|((start_ns, row), blocks)| (!blocks.is_empty()).then_some((*start_ns, row)))
        .collect();
    order.sort_unstable();
    let mut readers =
        HashMap::<u64, Readers, RandomState>::with_capacity_and_hasher(blocks.len(), RandomState::default());
    for (_, number) in order {
        let row = number as usize;
        let window = spans.get(row).and_then(|span| blocks.get(span.clone())).unwrap_or_default();
        let tokens = calls.tokens.get(row).copied().unwrap_or(0);
        for (block, share) in window.iter().zip(shares(window, tokens)) {
            let before = readers.entry(block.key).or_insert(Readers { first: number, last: u32::MAX });
            let repeats = before.last == number;
            // Blocks without text (content that was left out before it was sent) are alike and need not be the same.
            let rereads = before.first != number || known(block.key);
            before.last = number;
            let text = block.bytes > 0;
            let columns = [
                told.parts.get_mut(usize::from(block.part)),
                (repeats && text).then_some(&mut told.repeated),
                (rereads && text).then_some(&mut told.reread),
            ];
            for total in columns.into_iter().flatten().filter_map(|column| column.get_mut(row)) {
                *total += share;
            }
        }
    }
    told.read = readers.into_keys().collect();
    told
}

/// The blocks of all windows, and where those of each span stand.
fn blocks(calls: &Calls) -> (Vec<Block>, Vec<std::ops::Range<usize>>) {
    let mut blocks = Vec::with_capacity(calls.messages.hashes.len());
    let mut spans = Vec::with_capacity(calls.tokens.len());
    let mut messages = calls.messages.hashes.iter().zip(&calls.messages.bytes).zip(&calls.roles);
    let single = |contents: &Contents, row: usize| {
        let (hash, bytes) = (contents.hashes.get(row)?, contents.bytes.get(row)?);
        (*hash != 0).then_some((*hash, *bytes))
    };
    for (row, ((tokens, run), count)) in calls.tokens.iter().zip(&calls.run).zip(&calls.counts).enumerate() {
        let messages = messages.by_ref().take(*count as usize);
        let first = blocks.len();
        if *tokens > 0 {
            for (part, contents) in [(SYSTEM, &calls.system), (TOOLS, &calls.tools)] {
                blocks.extend(single(contents, row).map(|(hash, bytes)| Block {
                    part,
                    bytes,
                    key: hash ^ run,
                }));
            }
            blocks.extend(messages.map(|((hash, bytes), role)| Block {
                part: PART_OF_ROLE.get(usize::from(*role)).copied().unwrap_or(USER),
                bytes: *bytes,
                key: hash ^ run,
            }));
        } else {
            messages.for_each(drop);
        }
        spans.push(first..blocks.len());
    }
    (blocks, spans)
}

/// The share of each block in its window's tokens; together they are exactly those.
fn shares(window: &[Block], tokens: i64) -> impl Iterator<Item = i64> {
    let size = |block: &Block| u64::from(block.bytes.max(1));
    let total = window.iter().map(size).sum::<u64>() as f64;
    let mut read = 0;
    let mut begin = 0;
    window.iter().map(move |block| {
        read += size(block);
        // Rounding where each block ends, not its length, keeps the sum; doubles are exact up to 2**53 tokens.
        let end = (read as f64 / total * tokens as f64).round_ties_even() as i64;
        end - std::mem::replace(&mut begin, end)
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Hash, role and length of a message.
    type Message = (u64, u8, u32);

    fn messages(calls: &[(i64, i64, &[Message])]) -> Calls {
        let mut columns = Calls::default();
        for (start_ns, tokens, window) in calls {
            columns.start_ns.push(*start_ns);
            columns.tokens.push(*tokens);
            columns.run.push(1 << 40);
            columns.counts.push(window.len() as u32);
            for (hash, role, bytes) in *window {
                columns.messages.hashes.push(*hash);
                columns.messages.bytes.push(*bytes);
                columns.roles.push(*role);
            }
        }
        let none = || Contents { hashes: vec![0; calls.len()], bytes: vec![0; calls.len()] };
        (columns.system, columns.tools) = (none(), none());
        columns
    }

    #[test]
    fn shares_add_up_however_they_round() {
        for tokens in 1..200 {
            let calls = messages(&[(0, tokens, &[(1, 2, 7), (2, 3, 0), (3, 4, 13), (4, 9, 1)])]);
            let told = windows(&calls, |_| false);
            assert_eq!(told.parts.iter().map(|part| part[0]).sum::<i64>(), tokens);
        }
    }

    #[test]
    fn earlier_is_what_started_earlier_and_a_span_without_window_reads_nothing() {
        let window: &[_] = &[(5, 2, 10), (6, 4, 10), (6, 4, 10)];
        let told = windows(&messages(&[(9, 30, window), (3, 30, window), (1, 0, window)]), |_| false);
        assert_eq!(told.reread, [30, 0, 0]);
        assert_eq!(told.repeated, [10, 10, 0]);
        assert_eq!(told.parts[2], [10, 10, 0]);
        assert_eq!(told.parts[4], [20, 20, 0]);
        assert_eq!(told.read.len(), 2);
    }

    #[test]
    fn what_a_batch_before_had_is_reread_unless_it_has_no_text() {
        let calls = messages(&[(0, 20, &[(5, 2, 10), (6, 2, 0), (7, 2, 9)])]);
        let told = windows(&calls, |key| key != 7 ^ 1 << 40);
        assert_eq!((told.reread[0], told.repeated[0]), (10, 0));
    }
}
