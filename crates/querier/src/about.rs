//! What the service says of itself: feature flags, the version of its API, a tenant's limits.

use std::collections::BTreeMap;

use flamelake_api::capabilities::v1 as capabilities;
use flamelake_api::version::v1 as version;
use flamelake_config::{Limits, Section as _};
use flamelake_rpc::{Idempotent, RpcRouter};

/// Version of the query API (contract `wire.md` section 6.3).
const QUERIER_API: u64 = 1;

/// Name, whether it is on, what it is: all that clients know, sorted (contract `query.md` section 8).
fn flags(has_rules: bool) -> [(&'static str, bool, &'static str); 4] {
    [
        ("pyroscopeRuler", has_rules, "Recording rules are kept and evaluated"),
        ("pyroscopeRulerFunctions", has_rules, "Recording rules can select a function"),
        ("utf8LabelNames", true, "Label names may be any UTF-8 text"),
        ("v2StorageLayer", true, "Heatmaps, exemplars and queries by trace or span are answered"),
    ]
}

/// The methods on the public port.
pub(crate) fn rpc(has_rules: bool) -> RpcRouter {
    RpcRouter::new()
        .unary(
            "/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
            Idempotent::Yes,
            move |_, _: capabilities::GetFeatureFlagsRequest| async move { Ok(feature_flags(has_rules)) },
        )
        .unary_without_tenant("/version.v1.Version/Version", Idempotent::Yes, |_, _: version::VersionRequest| async {
            Ok(version::VersionResponse { querier_api: QUERIER_API })
        })
}

fn feature_flags(has_rules: bool) -> capabilities::GetFeatureFlagsResponse {
    let flag = |(name, enabled, description): (&str, bool, &str)| capabilities::FeatureFlag {
        name: name.to_owned(),
        enabled,
        description: Some(description.to_owned()),
        documentation_url: None,
    };
    capabilities::GetFeatureFlagsResponse { feature_flags: flags(has_rules).map(flag).to_vec() }
}

/// Every limit by the name that it has under `overrides:`, as one would write it there.
pub(crate) fn limits(limits: &Limits) -> BTreeMap<&'static str, String> {
    Limits::keys().into_iter().map(|spec| spec.field).zip(limits.texts()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sorted_and_limits_named_as_in_overrides() {
        assert!(flags(false).is_sorted());
        let on = |has_rules: bool| flags(has_rules).iter().filter(|(_, on, _)| *on).count();
        assert_eq!((on(false), on(true)), (2, 4));
        let limits = limits(&Limits::default());
        assert_eq!(limits["ingestion_rate_mb"], "4");
        assert_eq!(limits["max_query_length"], "1d");
    }
}
