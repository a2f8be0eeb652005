//! Spins for some seconds under the CPU profiler of the public Rust SDK, which pushes to a server: `flamelake-rust-client URL SECONDS`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pyroscope::backend::{BackendConfig, PprofConfig, pprof_backend};
use pyroscope::pyroscope::PyroscopeAgentBuilder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: flamelake-rust-client URL SECONDS".into());
    };
    let backend = pprof_backend(PprofConfig::default(), BackendConfig::default());
    let agent = PyroscopeAgentBuilder::new(url, "rustbusy", 100, "pyroscope-rs", "2.1.5", backend)
        .tags(vec![("region", "eu")])
        .build()?
        .start()?;
    println!("{}", rust_spin_here(Duration::from_secs(seconds.parse()?)));
    agent.stop()?.shutdown();
    Ok(())
}

#[inline(never)]
fn rust_spin_here(time: Duration) -> u64 {
    let (begun, mut turns) = (Instant::now(), 0_u64);
    while begun.elapsed() < time {
        turns = black_box(turns + 1);
    }
    turns
}
