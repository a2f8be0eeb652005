//! What a role needs to live: time, supervision of tasks, ordered shutdown, readiness, signals. No product knowledge.

pub mod clock;
mod blocking;
mod causes;
mod supervisor;
pub mod fair;
mod readiness;
mod signals;

pub use blocking::spawn_blocking;
pub use causes::with_causes;
pub use readiness::Readiness;
pub use signals::stop_signal;
pub use supervisor::{Supervisor, SupervisorError};
