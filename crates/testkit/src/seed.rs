//! Randomness that can be played again: `FLAMELAKE_SEED=<number>` replays what a failing test printed.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The seed of this run: from the environment, else 1 so that a plain run is always the same. Printed with the name of who asks.
///
/// # Panics
/// If the variable is no number.
#[expect(clippy::print_stderr, reason = "a failing test shows its seed by what it printed")]
pub fn seed(who: &str) -> u64 {
    let seed = match std::env::var("FLAMELAKE_SEED") {
        Ok(text) => text.trim().parse().expect("FLAMELAKE_SEED is a number"),
        Err(_) => 1,
    };
    eprintln!("{who}: FLAMELAKE_SEED={seed}");
    seed
}

/// A generator from [`seed`].
pub fn seeded_rng(who: &str) -> StdRng {
    StdRng::seed_from_u64(seed(who))
}
