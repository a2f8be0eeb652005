//! The registry that roles register their metrics on, and its text form.

use prometheus::{Encoder, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::BuildInfo;
use crate::process::ProcessCollector;

/// A registry with `flamelake_build_info` and the process' own metrics.
pub fn new_registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let build = BuildInfo::current();
    let info =
        IntGaugeVec::new(Opts::new("flamelake_build_info", "1, with the build as labels."), &["version", "revision"])?;
    info.with_label_values(&[build.version, build.revision]).set(1);
    registry.register(Box::new(info))?;
    registry.register(Box::new(ProcessCollector::new()?))?;
    Ok(registry)
}

/// All metrics in the Prometheus text format.
pub fn encode(registry: &Registry) -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_measured() {
        let text = encode(&new_registry().unwrap()).unwrap();
        for name in
            ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "flamelake_build_info{"]
        {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
        }
    }
}
