//! What a tenant may do (contract `ingest.md` section 7): keys for everyone, overridden for each tenant by the runtime file.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_model::recording_rule::StaticRules;
use flamelake_model::relabel::RelabelRules;
use flamelake_model::usage_group::{Sampling, UsageGroups};

use crate::RulesPosition;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

crate::section! {
    /// Limits: bounds that hold for each tenant by itself. They also stand under `limits:` by their short names
    /// (`max_profile_size_bytes`), and by the same names under `overrides: {tenant: …}` of `runtime-config.file`.
    pub struct Limits in "limits" {
        /// Uncompressed profile data a second, in MiB. 0 = no bound.
        "distributor.ingestion-rate-limit-mb" => pub ingestion_rate_mb: f64 = 4.0,
        /// Uncompressed profile data at once, in MiB; a push larger than this is refused. It has no effect while
        /// `distributor.ingestion-rate-limit-mb` is 0.
        "distributor.ingestion-burst-size-mb" => pub ingestion_burst_size_mb: f64 = 2.0,
        /// Largest request body, uncompressed, in MiB. 0 = no bound.
        "distributor.ingestion-body-limit-mb" => pub ingestion_body_limit_mb: f64 = 256.0,
        /// Profiles of one push that are worked on at the same time. 0 = no bound.
        "distributor.push.max-concurrency" => pub push_max_concurrency: usize = 256,
        /// Bytes of a label name.
        "validation.max-length-label-name" => pub max_label_name_length: usize = 1024,
        /// Bytes of a label value.
        "validation.max-length-label-value" => pub max_label_value_length: usize = 2048,
        /// Labels of a series.
        "validation.max-label-names-per-series" => pub max_label_names_per_series: usize = 30,
        /// Values of the label `__session_id__` kept apart for each series. 0 = the label is dropped.
        "validation.max-sessions-per-series" => pub max_sessions_per_series: usize = 0,
        /// Largest profile, uncompressed, in bytes. 0 = no bound.
        "validation.max-profile-size-bytes" => pub max_profile_size_bytes: usize = 4_194_304,
        /// Samples of a profile. 0 = no bound.
        "validation.max-profile-stacktrace-samples" => pub max_profile_stacktrace_samples: usize = 16_000,
        /// Labels of a sample. 0 = no bound.
        "validation.max-profile-stacktrace-sample-labels" => pub max_profile_stacktrace_sample_labels: usize = 100,
        /// Frames of a stack; deeper ones are cut. 0 = no bound.
        "validation.max-profile-stacktrace-depth" => pub max_profile_stacktrace_depth: usize = 1000,
        /// Bytes of a function or file name; longer ones are cut. 0 = no bound.
        "validation.max-profile-symbol-value-length" => pub max_profile_symbol_value_length: usize = 65_535,
        /// Series of a tenant that may be active at a time (pushed within the last ten minutes); profiles that bring more are refused. 0 = no
        /// bound.
        "ingester.max-global-series-per-tenant" => pub max_global_series_per_tenant: usize = 0,
        /// Prometheus relabel rules for the labels of each series; series that a rule drops are counted and are no error.
        "distributor.ingestion-relabeling-rules" => pub ingestion_relabeling_rules: RelabelRules = RelabelRules::default(),
        /// Where the rules that everybody has (`godeltaprof_memory` is `memory`, ...) stand beside these: `first`, `last` or `disabled`.
        "distributor.ingestion-relabeling-default-rules-position"
            => pub ingestion_relabeling_default_rules_position: RulesPosition = RulesPosition::First,
        /// Prometheus relabel rules, `keep` and `drop` alone, over a series' labels with `__type__` and `__unit__`: types of values that a
        /// rule drops are not stored.
        "distributor.sample-type-relabeling-rules" => pub sample_type_relabeling_rules: RelabelRules = RelabelRules::default(),
        /// Groups of series by name, each a selector, that bytes are counted under; `${labels.NAME}` in a name is filled by the series.
        "distributor.usage-groups" => pub distributor_usage_groups: UsageGroups = UsageGroups::default(),
        /// Shares of the profiles of usage groups that are kept; others are dropped and counted, or kept as totals without stacks.
        "distributor.sampling" => pub distributor_sampling: Sampling = Sampling::default(),
        /// On: names of labels are any UTF-8. Off: `.` becomes `_`, and names with other characters than letters, digits and `_` are refused.
        "validation.disable-label-sanitization" => pub disable_label_sanitization: bool = true,
        /// Profiles older than this are refused. 0 = any age.
        "validation.reject-older-than" => pub reject_older_than: Duration = HOUR,
        /// Profiles that lie further in the future than this are refused. 0 = any.
        "validation.reject-newer-than" => pub reject_newer_than: Duration = MINUTE * 10,
        /// How far back queries look; earlier data is left out. 0 = no bound.
        "querier.max-query-lookback" => pub max_query_lookback: Duration = DAY * 7,
        /// Longest time range of a query; longer ones are refused. 0 = no bound.
        "querier.max-query-length" => pub max_query_length: Duration = DAY,
        /// Queries of a tenant that one querier runs at a time; further ones wait. 0 = no bound of the tenant's own.
        "querier.max-query-concurrency" => pub max_query_concurrency: usize = 0,
        /// Asynchronous queries of a tenant that run at a time, over all queriers; further ones are refused. 0 = none: they are off.
        "query-frontend.max-async-query-concurrency" => pub max_async_query_concurrency: usize = 5,
        /// Nodes of a flame graph when the request does not say. 0 = all.
        "querier.max-flamegraph-nodes-default" => pub max_flamegraph_nodes_default: i64 = 8192,
        /// Most nodes of a flame graph that a request may ask for. 0 = no bound.
        "querier.max-flamegraph-nodes-max" => pub max_flamegraph_nodes_max: i64 = 1_048_576,
        /// The two limits on nodes hold for merged pprof profiles too.
        "querier.max-flamegraph-nodes-on-select-merge-profile"
            => pub max_flamegraph_nodes_on_select_merge_profile: bool = false,
        /// Recording rules that are always there, beside those that requests make: `metric_name`, `matchers`, and if wanted `group_by`,
        /// `external_labels` and `function`.
        "recording-rules.static" => pub recording_rules: StaticRules = StaticRules::default(),
        /// Recording rules of a tenant that requests may make. 0 = no bound.
        "recording-rules.max-rules-per-tenant" => pub max_recording_rules: usize = 25,
        /// How long data is kept. 0 = for ever.
        "retention-period" => pub retention_period: Duration = DAY * 30,
    }
}

/// Where a role asks for a tenant's limits.
pub trait LimitsSource: Debug + Send + Sync {
    /// The limits that hold now.
    fn for_tenant(&self, tenant: &TenantId) -> Arc<Limits>;
    /// Tenants with limits of their own.
    fn named(&self) -> Vec<TenantId>;
    /// The limits of all others.
    fn for_others(&self) -> Arc<Limits>;
}

/// The same limits for everyone.
impl LimitsSource for Arc<Limits> {
    fn for_tenant(&self, _: &TenantId) -> Arc<Limits> {
        Self::clone(self)
    }

    fn named(&self) -> Vec<TenantId> {
        Vec::new()
    }

    fn for_others(&self) -> Arc<Limits> {
        Self::clone(self)
    }
}
