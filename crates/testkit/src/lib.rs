//! What tests are made of: profiles, frames, a clock that stands still, golden files, seeds, and the way to shared data and tools.
//!
//! Never shipped in the server. Knows nothing of roles and stores.

pub mod wire;
pub mod profile;
pub mod frame;
pub mod clock;
pub mod etcd;
pub mod seed;
pub mod golden;
pub mod fuzz;
pub mod shared;
pub mod tools;
pub mod s3_server;
pub mod s3_without_create;
pub mod certificates;

pub use clock::FakeClock;
pub use etcd::Etcd;
pub use frame::FrameBuilder;
pub use golden::assert_golden;
pub use profile::ProfileBuilder;
pub use seed::{seed, seeded_rng};
pub use shared::{package_dir, shared_dir, shared_file};
