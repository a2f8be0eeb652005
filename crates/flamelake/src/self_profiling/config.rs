//! The keys of profiles of this process itself.

use std::time::Duration;

use flamelake_config::Secret;

flamelake_config::section! {
    /// Self-profiling: profiles of the server itself. `/debug/pprof/` gives them to operators in any case.
    pub struct SelfProfilingConfig {
        /// Server that this process pushes profiles of itself to, all the time: of its CPU, and of its heap where jemalloc samples it
        /// (`_RJEM_MALLOC_CONF=prof:true`). May be its own public port. Empty = none.
        "self-profiling.push-url" => pub push_url: String = String::new(),
        /// How long each pushed profile is, from 1 s to 5 min.
        "self-profiling.push-interval" => pub push_interval: Duration = Duration::from_secs(15),
        /// Tenant that they belong to there. Empty = the request names none.
        "self-profiling.push-tenant" => pub push_tenant: String = String::new(),
        /// Request token, where that server wants one with the right `push`.
        "self-profiling.push-token" => pub push_token: Secret = Secret::default(),
    }
}

impl SelfProfilingConfig {
    /// Within the bounds.
    pub(crate) fn interval(&self) -> Duration {
        self.push_interval.clamp(Duration::from_secs(1), Duration::from_secs(300))
    }
}
