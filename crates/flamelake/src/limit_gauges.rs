//! The limits as figures: what everyone has, and where a tenant has something else. Asked at every scrape, so a file that is read again shows.

use std::sync::Arc;
use std::time::Duration;

use flamelake_config::{FromText as _, Limits, Section as _, TenantLimits};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};

struct LimitGauges {
    limits: Arc<TenantLimits>,
    defaults: GaugeVec,
    overrides: GaugeVec,
}

/// Registers a figure for each limit that is a number: durations in seconds, switches as 0 and 1.
pub(crate) fn register(limits: &Arc<TenantLimits>, registry: &Registry) -> Result<(), prometheus::Error> {
    let gauges = LimitGauges {
        limits: Arc::clone(limits),
        defaults: GaugeVec::new(
            Opts::new(
                "flamelake_limits_defaults",
                "Limits of tenants without overrides; durations in seconds, switches as 0 and 1.",
            ),
            &["limit_name"],
        )?,
        overrides: GaugeVec::new(
            Opts::new("flamelake_limits_overrides", "Limits of tenants that have others than the defaults."),
            &["limit_name", "tenant"],
        )?,
    };
    registry.register(Box::new(gauges))
}

/// (name, figure) of each limit that is a number.
fn figures(limits: &Limits) -> Vec<(&'static str, f64)> {
    let figure = |kind: &str, text: &str| match kind {
        Duration::KIND => Duration::from_text(text).map(|duration| duration.as_secs_f64()),
        bool::KIND => bool::from_text(text).map(|on| f64::from(u8::from(on))),
        _ => text.parse().ok(),
    };
    let named = Limits::keys().into_iter().zip(limits.texts());
    named.filter_map(|(spec, text)| Some((spec.field, figure(spec.kind, &text)?))).collect()
}

impl Collector for LimitGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.defaults.desc().into_iter().chain(self.overrides.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let defaults = figures(self.limits.defaults());
        for (name, figure) in &defaults {
            self.defaults.with_label_values(&[*name]).set(*figure);
        }
        self.overrides.reset();
        for (tenant, limits) in self.limits.overrides().iter() {
            for own in figures(limits).into_iter().filter(|own| !defaults.contains(own)) {
                self.overrides.with_label_values(&[own.0, tenant.as_str()]).set(own.1);
            }
        }
        self.defaults.collect().into_iter().chain(self.overrides.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_show_what_differs_from_the_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "overrides: {a: {ingestion_rate_mb: 20, retention_period: 1h}, b: {ingestion_rate_mb: 4}}";
        std::fs::write(file.path(), text).unwrap();
        let limits = Arc::new(TenantLimits::open(Limits::default(), Some(file.path().to_owned())).unwrap());
        let registry = Registry::new();
        register(&limits, &registry).unwrap();
        let shown = || {
            let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
            lines.filter(|line| line.contains("ingestion_rate_mb") || line.contains("overrides")).collect::<Vec<_>>()
        };
        let default = r#"flamelake_limits_defaults{limit_name="ingestion_rate_mb"} 4"#;
        let rate = r#"flamelake_limits_overrides{limit_name="ingestion_rate_mb",tenant="a"} 20"#;
        let retention = r#"flamelake_limits_overrides{limit_name="retention_period",tenant="a"} 3600"#;
        assert_eq!(shown(), [default, rate, retention]);
        std::fs::write(file.path(), "overrides: {}").unwrap();
        limits.reload().unwrap();
        assert_eq!(shown(), [default]);
    }
}
