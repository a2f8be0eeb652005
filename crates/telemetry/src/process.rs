//! What the kernel knows of this process, under the names that every Prometheus client uses.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge};

/// Clock ticks a second in `/proc/self/stat`; fixed at 100 on Linux for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` when it is asked. Where there is no `/proc`, everything stays 0.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    cpu_seconds: Gauge,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
}

impl ProcessCollector {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu_seconds: Gauge::new("process_cpu_seconds_total", "User and system CPU time in seconds.")?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Resident memory in bytes.")?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors.")?,
        })
    }

    fn read(&self) {
        if let Some((cpu, resident)) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
            self.cpu_seconds.set(cpu);
            self.resident_bytes.set(resident);
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            self.open_fds.set(entries.count() as i64);
        }
    }
}

/// CPU seconds and resident bytes of a `/proc/<pid>/stat` line (proc(5): fields 14, 15 and 24).
fn parse_stat(line: &str) -> Option<(f64, i64)> {
    const PAGE_BYTES: i64 = 4096;
    // The command, field 2, may hold blanks and parentheses: count from the last one.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    Some(((number(14)? + number(15)?) as f64 / TICKS_PER_SECOND, number(24)? * PAGE_BYTES))
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.cpu_seconds.desc(), self.resident_bytes.desc(), self.open_fds.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        [self.cpu_seconds.collect(), self.resident_bytes.collect(), self.open_fds.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_blanks_and_parentheses_is_no_trouble() {
        let mut line = "7 (a b) c) S".to_owned();
        (4..=52).for_each(|field| line.push_str(&format!(" {field}")));
        assert_eq!(parse_stat(&line), Some((0.29, 24 * 4096)));
    }
}
