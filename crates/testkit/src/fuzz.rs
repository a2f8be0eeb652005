//! Mutation fuzzing on the stable toolchain: a corpus of good inputs, mutated at random from a printed seed.
//!
//! A target is a test whose name starts with `fuzz_`. A plain test run plays a fixed number of inputs, always the same; `make fuzz`
//! sets `FLAMELAKE_FUZZ_INPUTS` (and a fresh `FLAMELAKE_SEED`) to go on for longer. A failing input is printed as hex with its seed.

use rand::Rng;
use rand::rngs::StdRng;

use crate::seed::seeded_rng;

/// Inputs of a plain test run: a few seconds for all targets together.
const INPUTS_DEFAULT: usize = 3_000;
/// Longest input that mutations grow to.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Calls `target` with mutated corpus entries. The target must not panic; what it asserts about accepted inputs is its own affair.
///
/// # Panics
/// If the target panics; the input is printed first.
pub fn run(name: &str, corpus: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    let mut rng = seeded_rng(name);
    let inputs = std::env::var("FLAMELAKE_FUZZ_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(INPUTS_DEFAULT);
    for entry in corpus {
        target(entry);
    }
    for _ in 0..inputs {
        let mut input = corpus.get(rng.random_range(0..corpus.len().max(1))).cloned().unwrap_or_default();
        for _ in 0..rng.random_range(1..6) {
            mutate(&mut rng, &mut input, corpus);
        }
        input.truncate(INPUT_BYTES_MAX);
        let guard = Guard { name, input: &input };
        target(&input);
        std::mem::forget(guard);
    }
}

struct Guard<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Guard<'_> {
    #[expect(clippy::print_stderr, reason = "a failing target shows its input by what it printed")]
    fn drop(&mut self) {
        let hex: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{}: failing input ({} bytes): {hex}", self.name, self.input.len());
    }
}

/// The usual mutations of coverage-guided fuzzers, without the coverage.
fn mutate(rng: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    const INTERESTING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x8b, 0x22];
    if input.is_empty() {
        input.push(rng.random());
    }
    let at = rng.random_range(0..input.len());
    match rng.random_range(0..8) {
        0 => input[at] ^= 1 << rng.random_range(0..8),
        1 => input[at] = rng.random(),
        2 => input[at] = INTERESTING[rng.random_range(0..INTERESTING.len())],
        3 => input.truncate(at),
        4 => input.insert(at, rng.random()),
        5 => {
            let end = (at + rng.random_range(1..16)).min(input.len());
            input.drain(at..end);
        }
        6 => {
            let end = (at + rng.random_range(1..64)).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        _ => {
            let Some(other) = corpus.get(rng.random_range(0..corpus.len().max(1))) else { return };
            let from = rng.random_range(0..=other.len());
            input.splice(at.., other[from..].iter().copied());
        }
    }
}
