//! Hostile bytes: requests mutated from a seed. Whatever comes, decoding returns, and what it returns is valid Arrow.
//!
//! Built with overflow checks (`cargo test`), so arithmetic that would wrap in a release build fails here. Raise
//! `CLEW_KERNEL_EFFORT` for a long run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use arrow_array::{Array, RecordBatch};
use clew_kernel::decode::{Clock, Decoded, decode};
use clew_kernel::log_rows::decode_logs;
use clew_kernel::plan::Plan;
use clew_kernel::{Limits, Memory, Seen, inspect, inspect_logs};

const NOW: u64 = 1_767_323_045_000_000_000;
const PLAN: &str = r#"{
    "max_depth": 6,
    "max_span_bytes": 4000,
    "columns": [
        {"name": "d", "keys": ["model", "other"], "from": "span", "type": "dict"},
        {"name": "s", "keys": ["model"], "from": "resource", "type": "str"},
        {"name": "u", "keys": ["tokens"], "from": "span", "type": "u64"},
        {"name": "f", "keys": ["tokens"], "from": "span", "type": "f64"},
        {"name": "i", "keys": ["tokens"], "from": "span", "type": "i64"},
        {"name": "b", "keys": ["flag"], "from": "span", "type": "bool"},
        {"name": "h", "keys": ["model"], "from": "span", "type": "hash64"},
        {"name": "n", "type": "f64"}
    ],
    "contents": [
        {"name": "m", "keys": ["messages"], "kind": "message", "form": "elements", "calls": true},
        {"name": "w", "keys": ["system"], "kind": "system", "form": "whole"},
        {"name": "c", "keys": ["arguments"], "kind": "arguments", "form": "canonical"}
    ],
    "logs": [{
        "name": "codex", "prefix": "codex.", "joins": true, "duration_ms": "duration_ms", "success": "success",
        "traces": [{"keys": ["conversation.id"], "root": "starts"}],
        "events": {"user_prompt": {}, "tool_result": {"ids": [["call_id"]], "needs": ["call_id"], "failed": true}}
    }],
    "ops": ["chat", "other"],
    "looks_like": ["m"],
    "dialects": [
        {
            "name": "told",
            "detect": [{"attribute": "model", "is": ["gpt"]}, {"scope_prefix": ["scop"]}],
            "ignore": [{"name_suffix": ["!"]}],
            "op": [{"key": "arguments", "path": ["a", 0], "values": {"true": "chat"}}, {"from": "name", "prefixes": {"c": "chat"}}],
            "op_otherwise": "other",
            "sentinels": ["m"],
            "columns": {
                "d": [{"key": "nested", "path": [1, "k"]}, {"event": ["event"], "key": "k"}],
                "s": [{"key": "literal", "path": ["a", -1]}],
                "u": [{"key": "tokens", "scale": 0.5}, {"from": "duration"}],
                "n": [{"key": "when", "as": "since_start"}, {"key": "arguments", "path": ["b"], "nonzero": true}],
                "h": [{"resource": "model"}]
            },
            "contents": {
                "m": [
                    {"form": "parts", "parts": {"text": "part", "tool_calls": "messages"}, "role": "assistant", "ops": ["other"]},
                    {"key": "flat", "form": "indexed"},
                    {"event": ["event"], "form": "event"}
                ],
                "w": [{"key": "flat", "form": "indexed", "when": [{"attribute_prefix": ["flat."]}]}],
                "c": [{"event": ["event"], "key": "k"}]
            }
        },
        {"name": "else", "detect": [{"attribute_prefix": ["n"]}], "contents": {"m": [{"event": ["event"], "key": "k", "form": "event"}]}}
    ]
}"#;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: u64, payload: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(payload.len() as u64), payload.to_vec()].concat()
}

fn fixed(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn text(value: &str) -> Vec<u8> {
    field(1, value.as_bytes())
}

fn attribute(number: u64, key: &str, value: &[u8]) -> Vec<u8> {
    field(number, &[field(1, key.as_bytes()), field(2, value)].concat())
}

fn seed() -> Vec<u8> {
    let messages = r#"[{"role":"user","parts":[{"type":"text","content":"a\"\u00e9\ud83d\ude00"}]},
        {"role":"assistant","parts":[{"type":"tool_call","name":"f","id":"1","arguments":"{\"a\": [1e3, -0.5]}"}]},
        "{\"role\":\"tool\",\"parts\":[{\"type\":\"tool_call_response\",\"result\":{\"b\":null}}]}"]"#;
    let nested =
        field(5, &[field(1, &text("x")), field(1, &field(6, &attribute(1, "k", &text("<&>"))))].concat());
    let event = [fixed(1, NOW), field(2, b"event"), attribute(3, "k", &text("v"))].concat();
    let link =
        [field(1, &[7; 16]), field(2, &[7; 8]), field(3, b"a=b"), attribute(4, "k", &[0x18, 5])].concat();
    let span = [
        field(1, &[1; 16]),
        field(2, &[2; 8]),
        field(4, &[3; 8]),
        field(5, b"chat"),
        vec![0x30, 3],
        fixed(7, NOW),
        fixed(8, NOW + 5),
        attribute(9, "model", &text("gpt")),
        attribute(9, "tokens", &[0x18, 0x80, 1]),
        attribute(9, "flag", &[0x10, 1]),
        attribute(9, "ratio", &fixed(4, 0.25f64.to_bits())),
        attribute(9, "bytes", &field(7, b"\x00\xff")),
        attribute(9, "nested", &nested),
        attribute(9, "messages", &text(messages)),
        attribute(9, "system", &nested),
        attribute(9, "arguments", &text(r#"{"b": 1.0, "a": [true, null]}"#)),
        attribute(9, "literal", &text(r"{'a': (1, 'b\x41'), None: True}")),
        attribute(9, "when", &text("\"2026-01-02T03:04:06.5Z\"")),
        attribute(9, "part", &text("hi")),
        attribute(9, "flat.10.role", &text("user")),
        attribute(9, "flat.2.tools.0.name", &text("f")),
        attribute(9, "flat.2.tools", &[0x18, 5]),
        field(11, &event),
        field(13, &link),
        field(15, &[field(2, b"failed"), vec![0x18, 2]].concat()),
    ]
    .concat();
    let scope = [field(1, b"scope"), field(2, b"1.0"), attribute(3, "k", &text("v"))].concat();
    let scoped = [field(1, &scope), field(2, &span), field(2, &span), field(3, b"url")].concat();
    let resource = [attribute(1, "service.name", &text("s")), attribute(1, "model", &text("m"))].concat();
    field(1, &[field(1, &resource), field(2, &scoped)].concat())
}

fn logs_seed() -> Vec<u8> {
    let nested = field(6, &attribute(1, "k", &field(5, &field(1, &text("x")))));
    let log = [
        fixed(1, NOW),
        vec![0x10, 9],
        field(3, b"INFO"),
        field(5, &nested),
        attribute(6, "event.name", &text("codex.user_prompt")),
        attribute(6, "conversation.id", &text("c")),
        attribute(6, "nested", &nested),
        vec![0x45, 1, 0, 0, 0],
        field(12, b"event"),
    ]
    .concat();
    let tool = [
        fixed(11, NOW),
        field(5, &text("codex.tool_result")),
        field(9, &[1; 16]),
        field(10, &[2; 8]),
        attribute(6, "call_id", &text("1")),
        attribute(6, "duration_ms", &text("1.5")),
        attribute(6, "success", &text("false")),
    ]
    .concat();
    let choice = field(6, &[attribute(1, "index", &[0x18, 0]), attribute(1, "message", &nested)].concat());
    let message = [
        fixed(1, NOW),
        field(5, &choice),
        field(9, &[1; 16]),
        field(10, &[2; 8]),
        field(12, b"gen_ai.choice"),
    ]
    .concat();
    let scope = [field(1, b"scope"), field(2, b"1.0"), attribute(3, "k", &text("v"))].concat();
    let scoped =
        [field(1, &scope), field(2, &log), field(2, &tool), field(2, &message), field(3, b"url")].concat();
    let resource = attribute(1, "service.name", &text("s"));
    field(1, &[field(1, &resource), field(2, &scoped), field(3, b"url")].concat())
}

/// Xorshift: the same mutants every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(body.len().max(1));
    if body.is_empty() {
        return;
    }
    match random.below(7) {
        0 => body[at] ^= 1 << random.below(8),
        1 => body[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'['][random.below(8)],
        2 => body.truncate(at),
        3 => drop(body.remove(at)),
        4 => body.insert(at, random.below(256) as u8),
        5 => {
            let end = at + random.below((body.len() - at).min(40));
            let piece = body[at..end].to_vec();
            let to = random.below(body.len());
            body.splice(to..to, piece);
        }
        _ => {
            let end = at + random.below((body.len() - at).min(12));
            body.drain(at..end);
        }
    }
}

fn check(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().unwrap();
    }
}

fn run(plan: &Plan, memory: &mut Memory, bodies: &[Vec<u8>]) -> Decoded {
    let clock = Clock { now_ns: NOW as i64, min_time_ns: 1, max_time_ns: u64::MAX >> 1 };
    let pairs: Vec<_> = bodies.iter().map(|body| (body.as_slice(), [9; 16])).collect();
    let decoded = decode(plan, memory, &mut Seen::off(), &pairs, clock).unwrap();
    check(&decoded.spans);
    check(&decoded.contents);
    let accepted: u64 = decoded.verdicts.iter().map(|verdict| verdict.spans).sum();
    assert_eq!(accepted, decoded.spans.num_rows() as u64);
    let limits = Limits {
        max_span_bytes: plan.max_span_bytes,
        max_depth: plan.max_depth,
        min_time: clock.min_time_ns,
        max_time: clock.max_time_ns,
    };
    for (body, verdict) in bodies.iter().zip(&decoded.verdicts) {
        assert_eq!(inspect(body, limits), *verdict);
    }
    decoded
}

#[test]
fn the_seed_itself_is_accepted() {
    let plan = Plan::parse(PLAN).unwrap();
    let decoded = run(&plan, &mut Memory::default(), &[seed()]);
    assert_eq!(decoded.verdicts[0].spans, 2);
    assert_eq!(decoded.contents.num_rows(), 4);
}

#[test]
fn mutants_never_panic_and_never_give_invalid_arrow() {
    let plan = Plan::parse(PLAN).unwrap();
    let effort: usize = std::env::var("CLEW_KERNEL_EFFORT").map_or(1, |text| text.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut memory = Memory::default();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..2_000 * effort {
        let bodies: Vec<Vec<u8>> = (0..4)
            .map(|_| {
                let mut body = seed();
                for _ in 0..=random.below(4) {
                    mutate(&mut body, &mut random);
                }
                body
            })
            .collect();
        for verdict in run(&plan, &mut memory, &bodies).verdicts {
            accepted += verdict.spans;
            refused += u64::from(verdict.error.is_some());
        }
    }
    // Both ways are exercised: a generator that only made garbage would test little.
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} spans accepted, {refused} bodies refused");
}

#[test]
fn mutants_sent_again_are_all_duplicates_and_none_is_remembered_of_a_refused_body() {
    let plan = Plan::parse(PLAN).unwrap();
    let clock = Clock { now_ns: NOW as i64, min_time_ns: 1, max_time_ns: u64::MAX >> 1 };
    let mut random = Random(0x0123_4567_89ab_cdef);
    for _ in 0..500 {
        let mut body = seed();
        mutate(&mut body, &mut random);
        let mut seen = Seen::new(600_000_000_000, 1_000);
        let mut call = |body: &[u8]| {
            let bodies = [(body, [9; 16])];
            decode(&plan, &mut Memory::default(), &mut seen, &bodies, clock).unwrap().verdicts.remove(0)
        };
        let (first, second) = (call(&body), call(&body));
        assert_eq!(second.error, first.error);
        assert_eq!(second.spans, 0);
        assert_eq!(second.message, first.message);
        let count = |rejected: &[(&str, u64)]| rejected.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(count(&second.rejected), count(&first.rejected) + first.spans);
        if first.error.is_some() {
            assert_eq!(call(&seed()).spans, 1, "the seed's two spans have the same ids");
        }
    }
}

#[test]
fn mutants_of_log_records_never_panic_and_never_give_invalid_arrow() {
    let plan = Plan::parse(PLAN).unwrap();
    let effort: usize = std::env::var("CLEW_KERNEL_EFFORT").map_or(1, |text| text.parse().unwrap());
    let clock = Clock { now_ns: NOW as i64, min_time_ns: 1, max_time_ns: u64::MAX >> 1 };
    let limits = Limits {
        max_span_bytes: plan.max_span_bytes,
        max_depth: plan.max_depth,
        min_time: clock.min_time_ns,
        max_time: clock.max_time_ns,
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut memory = Memory::default();
    let (mut accepted, mut refused, mut made, mut messages) = (0, 0, 0, 0);
    for _ in 0..2_000 * effort {
        let bodies: Vec<Vec<u8>> = (0..4)
            .map(|_| {
                let mut body = logs_seed();
                for _ in 0..=random.below(4) {
                    mutate(&mut body, &mut random);
                }
                body
            })
            .collect();
        let pairs: Vec<_> = bodies.iter().map(|body| (body.as_slice(), [9; 16])).collect();
        let decoded = decode_logs(&plan, &mut memory, &pairs, clock).unwrap();
        check(&decoded.logs);
        check(&decoded.messages);
        messages += decoded.messages.num_rows();
        check(&decoded.contents);
        let rows: u64 = decoded.verdicts.iter().map(|verdict| verdict.spans).sum();
        assert_eq!(rows, decoded.logs.num_rows() as u64);
        for ((body, verdict), spans) in bodies.iter().zip(&decoded.verdicts).zip(&decoded.spans) {
            assert_eq!(inspect_logs(body, limits), *verdict);
            refused += u64::from(verdict.error.is_some());
            if let Some(spans) = spans {
                let of_them = inspect(spans, limits);
                assert_eq!(of_them.error, None);
                made += of_them.spans;
            }
        }
        accepted += rows;
    }
    assert!(accepted > 500 && refused > 1_000, "{accepted} records accepted, {refused} bodies refused");
    assert!(made > 500, "{made} spans made");
    assert!(messages > 300, "{messages} records with messages");
}

#[test]
fn the_seed_of_log_records_itself_is_accepted() {
    let plan = Plan::parse(PLAN).unwrap();
    let clock = Clock { now_ns: NOW as i64, min_time_ns: 1, max_time_ns: u64::MAX >> 1 };
    let decoded = decode_logs(&plan, &mut Memory::default(), &[(&logs_seed(), [9; 16])], clock).unwrap();
    assert_eq!((decoded.verdicts[0].spans, &decoded.verdicts[0].error), (3, &None));
    assert_eq!((decoded.messages.num_rows(), decoded.contents.num_rows()), (1, 1));
    let pairs = [(decoded.spans[0].as_deref().unwrap(), [9; 16])];
    let spans = decode(&plan, &mut Memory::default(), &mut Seen::off(), &pairs, clock).unwrap();
    assert_eq!((spans.verdicts[0].spans, &spans.verdicts[0].error), (2, &None));
}
