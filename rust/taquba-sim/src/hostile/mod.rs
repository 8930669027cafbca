//! Hostile input: bytes and texts that nobody of ours has written, in front of everything that reads.
//!
//! What reads may refuse, and may find a meaning; it must not panic, and what it lets pass must keep the
//! rules of its kind, which are written down here a second time, in other words.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | the rounds, and what is counted |
//! | `rows.rs` | stored rows: random, mutated, and there and back |
//! | `texts.rs` | ids, keys and names |
//! | `urls.rs` | addresses and URLs that webhooks are given |
//! | `stores.rs` | whole stores whose rows were tampered with |
//! | `denied.rs` | a store that takes a right away |

mod denied;
mod rows;
mod stores;
mod texts;
mod urls;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::random::Random;

/// Inputs of one seed, over all boundaries.
pub const INPUTS: u64 = 1_000;

/// One thing that reads: what it was given is judged; `Err` says what was wrong.
type Boundary = fn(&mut Random) -> Result<(), String>;

const BOUNDARIES: [(&str, Boundary, u64); 7] = [
    ("rows, random", rows::random, 300),
    ("rows, mutated", rows::mutated, 300),
    ("rows, there and back", rows::there_and_back, 100),
    ("ids and names", texts::names, 200),
    ("addresses and urls", urls::urls, 97),
    ("stores", stores::tampered, 2),
    ("stores that deny", denied::denied, 1),
];

/// The rounds of one seed: what was not as it should be.
#[must_use]
pub fn round(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut problems = Vec::new();
    for (name, boundary, count) in BOUNDARIES {
        for _ in 0..count {
            let given = random.fork();
            let judged = catch_unwind(AssertUnwindSafe(|| boundary(&mut given.clone())));
            match judged {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => problems.push(format!("{name}: {problem}")),
                Err(_) => problems.push(format!("{name}: it panicked")),
            }
        }
    }
    problems
}

/// Bytes of any kind, short ones more often.
fn bytes(random: &mut Random) -> Vec<u8> {
    let max = *random.pick(&[2, 16, 80, 400]);
    let count = random.up_to(max);
    let is_small = random.chance(300_000);
    let byte = |random: &mut Random| random.up_to(if is_small { 9 } else { 255 });
    (0..count).map(|_| u8::try_from(byte(random)).expect("a byte")).collect()
}

/// The same bytes, but for a few that are changed, gone, doubled or new.
fn mutate(random: &mut Random, from: &[u8]) -> Bytes {
    let mut bytes = from.to_vec();
    for _ in 0..=random.up_to(3) {
        let at = random.below(bytes.len() + 1);
        let byte = u8::try_from(random.up_to(255)).expect("a byte");
        match random.up_to(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.extend_from_within(at / 2..at),
        }
    }
    Bytes::from(bytes)
}

/// Text of every kind that has made trouble somewhere.
fn text(random: &mut Random) -> String {
    const PIECES: [&str; 28] = [
        "",
        ".",
        "..",
        "/",
        "//",
        "\\",
        "%2e%2e",
        "\0",
        "\n",
        "\r\n",
        " ",
        "a",
        "Z",
        "0",
        "-",
        "_",
        ":",
        "é",
        "e\u{301}",
        "\u{202e}",
        "\u{feff}",
        "ﬁ",
        "𝟙",
        "workflow.",
        "WORKFLOW.",
        "run",
        "x#1",
        "~",
    ];
    let count = *random.pick(&[0, 1, 2, 4, 9, 140]);
    (0..count).map(|_| *random.pick(&PIECES)).collect()
}
