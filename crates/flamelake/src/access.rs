//! Which right each path wants of a request token (`auth.tokens-file`). What is not listed here wants `admin`: who adds a route decides.

use flamelake_rpc::auth::{Access, Right};

/// Exact paths, and folders that end in `/`; the longest that fits counts.
const PATHS: [(&str, Access); 44] = [
    // Kubelets and Prometheus send no tokens; these tell nothing of any tenant.
    ("/ready", Access::Open),
    ("/healthz", Access::Open),
    ("/metrics", Access::Open),
    ("/grpc.health.v1.Health/", Access::Open),
    // The page: the same for everybody. What it asks for wants rights.
    ("/", Access::Open),
    ("/explore", Access::Open),
    ("/comparison", Access::Open),
    ("/comparison-diff", Access::Open),
    ("/ui", Access::Open),
    ("/ui/", Access::Open),
    ("/icon.svg", Access::Open),
    ("/assets/", Access::Open),
    // Of the program, not of any data.
    ("/api/v1/status/buildinfo", Access::AnyToken),
    ("/capabilities.v1.FeatureFlagsService/", Access::AnyToken),
    ("/grpc.reflection.v1.ServerReflection/", Access::AnyToken),
    ("/grpc.reflection.v1alpha.ServerReflection/", Access::AnyToken),
    ("/status.v1.StatusService/GetBuildInfo", Access::AnyToken),
    ("/version.v1.Version/", Access::AnyToken),
    ("/api/v1/compare", QUERY),
    ("/api/v1/functions", QUERY),
    ("/api/v1/functions/", QUERY),
    ("/api/v1/pgo/", QUERY),
    ("/api/v1/tenant_limits", QUERY),
    ("/debuginfo.v1alpha1.DebuginfoService/ShouldInitiateUpload", PUSH),
    ("/debuginfo.v1alpha1.DebuginfoService/Upload/", PUSH),
    ("/debuginfo.v1alpha1.DebuginfoService/UploadFinished", PUSH),
    ("/ingest", PUSH),
    ("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/", PUSH),
    ("/otlp/v1development/profiles", PUSH),
    ("/push.v1.PusherService/", PUSH),
    ("/pyroscope/ingest", PUSH),
    ("/v1development/profiles", PUSH),
    ("/api/v1/costs", QUERY),
    ("/api/v1/discarded", QUERY),
    ("/adhocprofiles.v1.AdHocProfileService/", QUERY),
    ("/debuginfo.v1alpha1.DebuginfoService/ListDebuginfo", QUERY),
    ("/prometheus/", QUERY),
    ("/pyroscope/", QUERY),
    ("/querier.v1.QuerierService/", QUERY),
    ("/settings.v1.RecordingRulesService/", QUERY),
    ("/settings.v1.SettingsService/", QUERY),
    ("/vcs.v1.VCSService/", QUERY),
    ("/debuginfo.v1alpha1.DebuginfoService/DeleteDebuginfo", ADMIN),
    ("/status.v1.StatusService/", ADMIN),
];
const PUSH: Access = Access::Needs(Right::Push);
const QUERY: Access = Access::Needs(Right::Query);
const ADMIN: Access = Access::Needs(Right::Admin);

/// What the path wants.
pub(crate) fn access(path: &str) -> Access {
    let fits = |known: &str| path == known || (known.len() > 1 && known.ends_with('/') && path.starts_with(known));
    let known = PATHS.iter().filter(|(known, _)| fits(known)).max_by_key(|(known, _)| known.len());
    known.map_or(ADMIN, |(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use flamelake_api::METHODS;

    use super::*;

    #[test]
    fn paths_want_what_they_do() {
        for (path, expected) in [
            ("/ready", Access::Open),
            ("/ready/", ADMIN),
            ("/metrics", Access::Open),
            ("/grpc.health.v1.Health/Watch", Access::Open),
            ("/", Access::Open),
            ("/assets/x.js", Access::Open),
            ("/api/v1/delete", ADMIN),
            ("/api/v1/discarded", QUERY),
            ("/ingest", PUSH),
            ("/debuginfo.v1alpha1.DebuginfoService/Upload/ab12", PUSH),
            ("/pyroscope/ingest", PUSH),
            ("/pyroscope/render", QUERY),
            ("/push.v1.PusherService/Push", PUSH),
            ("/querier.v1.QuerierService/Series", QUERY),
            ("/config", ADMIN),
            ("/api/v1/status/config", ADMIN),
            ("/ring", ADMIN),
            ("/ring/forget", ADMIN),
            ("/ingester/flush", ADMIN),
            ("/status.v1.StatusService/GetConfig", ADMIN),
            ("/status.v1.StatusService/GetBuildInfo", Access::AnyToken),
            ("/push.v1.PusherServiceX/Push", ADMIN),
            ("/%69ngest", ADMIN),
            ("", ADMIN),
        ] {
            assert_eq!(access(path), expected, "{path}");
        }
    }

    #[test]
    fn no_public_method_is_open_and_only_these_want_admin() {
        let of = |wanted: Access| {
            METHODS.iter().filter(|method| access(method.path) == wanted).map(|method| method.name).collect::<Vec<_>>()
        };
        assert_eq!(of(Access::Open), Vec::<&str>::new());
        assert_eq!(of(ADMIN), ["DeleteDebuginfo", "GetConfig", "GetDiffConfig", "GetDefaultConfig"]);
        assert_eq!(of(PUSH), ["ShouldInitiateUpload", "UploadFinished", "Push"]);
    }
}
