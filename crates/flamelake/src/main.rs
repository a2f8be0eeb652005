//! The one binary: the server, and the commands that talk to one.

mod config;
mod target;
mod cli;
mod adhoc_formats;
mod admin;
mod cluster;
mod life;
mod limit_gauges;
mod wiring;
mod offline;
mod sql;
mod open_files;
mod starting;
mod access;
mod reload;
mod tls;
mod arbiter;
mod disks;
mod certificates;
mod self_profiling;
mod server;
mod commands;

use std::process::ExitCode;

use flamelake_telemetry::BuildInfo;

/// Profiles of long-running processes made us choose it: it returns freed memory and does not fragment under many threads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    BuildInfo::came_from(env!("FLAMELAKE_BUILD_REVISION"), env!("FLAMELAKE_BUILD_BRANCH"));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match cli::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::say_error(&error);
            commands::Exit::code(&error)
        }
    }
}
