//! What a role needs to live: time, task supervision, ordered shutdown, readiness. No product knowledge.

pub mod clock;
