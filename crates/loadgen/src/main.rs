//! A synthetic fleet: pushes real profiles moved in time, asks the usual questions, prints the numbers that we publish.
//!
//! The load is that of `design/performance.md` section 00, so that each number stands beside the one measured for the reference.
//! Knows the server only by its URL, its process id and its data folder.

#![expect(clippy::disallowed_methods, reason = "it measures and waits for real processes")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod fleet;
mod push;
mod process;
mod queries;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use crate::process::ServerProcess;
use crate::report::Report;

/// Pushes the standard load to a server and asks the standard questions.
#[derive(Debug, Parser)]
struct Args {
    /// Base URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:4040")]
    url: String,
    /// Process ids of the server, one flag each: CPU and memory are read from /proc and summed. Without any those figures are left out.
    #[arg(long)]
    pid: Vec<u32>,
    /// The server's data folder: its size is the bytes at rest.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Times the load: 1 = 2,800 profiles, 4 = 11,200.
    #[arg(long, default_value_t = 1)]
    scale: usize,
    /// Connections that push at the same time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// `X-Scope-OrgID` of every request.
    #[arg(long, default_value = "load")]
    tenant: String,
    /// Seconds to wait between the last push and the questions.
    #[arg(long, default_value_t = 0)]
    settle: u64,
    /// Cut all heads into blocks (POST /ingester/flush) before the questions.
    #[arg(long)]
    flush: bool,
    /// Only ask; the data are there from an earlier run, whose `now` in nanoseconds this is.
    #[arg(long)]
    now: Option<i64>,
    /// Ask nothing.
    #[arg(long)]
    push_only: bool,
    /// Runs of each question; the median counts.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Write all figures as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let server = ServerProcess::new(args.pid.clone());
    let mut report = Report::new(args.scale);
    let now_ns = match args.now {
        Some(now_ns) => now_ns,
        None => push(&args, server.as_ref(), &mut report).await?,
    };
    if args.flush {
        push::post(&args.url, "/ingester/flush").await.context("flush")?;
    }
    tokio::time::sleep(Duration::from_secs(args.settle)).await;
    if let Some(folder) = &args.data {
        report.figure("bytes at rest", process::folder_bytes(folder)? as f64 / 1e6, "MB");
    }
    if args.push_only {
        print!("{}", report.table());
        return Ok(());
    }
    queries::ask_all(&args.url, &args.tenant, args.scale, args.runs, now_ns, server.as_ref(), &mut report).await?;
    if let Some(memory) = server.as_ref().and_then(|s| s.resident_bytes().ok()) {
        report.figure("resident memory after the questions", memory as f64 / 1e6, "MB");
    }
    print!("{}", report.table());
    if let Some(file) = &args.json {
        std::fs::write(file, report.json()).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Pushes the fleet's profiles; tells the `now` they are laid out around.
async fn push(args: &Args, server: Option<&ServerProcess>, report: &mut Report) -> anyhow::Result<i64> {
    let now_ns = fleet::now_ns();
    let requests = fleet::requests(args.scale, now_ns)?;
    eprintln!("{} profiles, {:.1} MB; now {now_ns}", requests.len(), requests.bytes() as f64 / 1e6);
    if let Some(server) = server {
        report.figure("resident memory: idle", server.resident_bytes()? as f64 / 1e6, "MB");
    }
    let outcome = push::push_all(&args.url, &args.tenant, args.connections, requests, server).await?;
    outcome.report(report);
    Ok(now_ns)
}
