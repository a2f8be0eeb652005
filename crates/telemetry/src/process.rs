//! Memory, CPU time, files and threads of this process, under the names that Prometheus clients agree on.
//!
//! Read from `/proc` when asked. What cannot be read is left out: other systems have no `/proc`.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Ticks a second of the times in `/proc`: fixed for programs on Linux, whatever the kernel counts with.
const TICKS_A_SECOND: f64 = 100.0;

/// Asks the kernel at every scrape.
pub(crate) struct ProcessCollector {
    cpu_seconds: Counter,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start_seconds: Gauge,
}

impl ProcessCollector {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let collector = Self {
            cpu_seconds: Counter::new("process_cpu_seconds_total", "User and system CPU time in seconds.")?,
            resident_bytes: Gauge::new("process_resident_memory_bytes", "Resident memory in bytes.")?,
            virtual_bytes: Gauge::new("process_virtual_memory_bytes", "Virtual memory in bytes.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: Gauge::new("process_max_fds", "Most file descriptors that may be open.")?,
            threads: Gauge::new("process_threads", "Threads.")?,
            start_seconds: Gauge::new("process_start_time_seconds", "Start of the process, Unix time in seconds.")?,
        };
        if let Some(seconds) = start_seconds() {
            collector.start_seconds.set(seconds);
        }
        Ok(collector)
    }

    fn refresh(&self) {
        if let Some(seconds) = cpu_seconds() {
            // Counters only go up: rounding must not take anything back.
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            let kib = |name| field(&status, name).map(|value| value * 1024.0);
            set(&self.resident_bytes, kib("VmRSS:"));
            set(&self.virtual_bytes, kib("VmSize:"));
            set(&self.threads, field(&status, "Threads:"));
        }
        set(&self.open_fds, fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64));
        let limits = fs::read_to_string("/proc/self/limits").ok();
        set(&self.max_fds, limits.and_then(|limits| field(&limits, "Max open files")));
    }

    fn gauges(&self) -> [&Gauge; 6] {
        let Self { resident_bytes, virtual_bytes, open_fds, max_fds, threads, start_seconds, .. } = self;
        [resident_bytes, virtual_bytes, open_fds, max_fds, threads, start_seconds]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).chain(self.cpu_seconds.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.gauges().into_iter().flat_map(Collector::collect).chain(self.cpu_seconds.collect()).collect()
    }
}

fn set(gauge: &Gauge, value: Option<f64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// The number after `name` in a table with a line for each thing.
fn field(table: &str, name: &str) -> Option<f64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/self/stat` after the program's name, which may hold spaces: the first is field 3.
fn stat_field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(number - 3)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat_field(14)? + stat_field(15)?) / TICKS_A_SECOND)
}

fn start_seconds() -> Option<f64> {
    let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(boot + stat_field(22)? / TICKS_A_SECOND)
}
