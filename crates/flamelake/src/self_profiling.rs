//! Profiles of this process itself: of its CPU by a sampling timer, of its heap by jemalloc's own samples. An operator fetches them at
//! `/debug/pprof/`, and they are pushed to a server, be it this one, where `self-profiling.push-url` names one.
//!
//! Nothing is sampled while nobody asks.

mod config;
mod stacks;
mod own_symbols;
mod cpu;
mod heap;
mod push;
mod routes;

pub(crate) use config::SelfProfilingConfig;
pub(crate) use cpu::CpuProfiler;
pub(crate) use push::{Origin, Pusher};
pub(crate) use routes::routes;
