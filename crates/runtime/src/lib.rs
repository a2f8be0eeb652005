//! What a role needs to live: time, readiness, signals. No product knowledge.

pub mod clock;
mod readiness;
mod signals;

pub use readiness::Readiness;
pub use signals::stop_signal;
