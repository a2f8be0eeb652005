//! Recording rules: metrics of profiles, one value a window, written to a Prometheus (`settings.v1.RecordingRulesService`;
//! `docs/formats/recording-rules.md`).

mod config;
mod evaluate;
mod metrics;
mod remote_write;
mod rule;
mod ruler;
mod store;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flamelake_api::settings::v1;
use flamelake_config::LimitsSource;
use flamelake_model::recording_rule::{is_label_name, is_static_id};
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_rpc::{Idempotent, RpcRouter};
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

pub use self::config::RecordingRulesConfig;
use self::metrics::Metrics;
use self::remote_write::{Receiver, RemoteWrite};
use self::rule::Rule;
use self::ruler::Ruler;
use self::store::RuleStore;
use crate::Querier;

const WHAT: &str = "recording rules";
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// Tells whether this process evaluates a tenant's rules now. Two owners at once cost work, never a value.
pub trait RuleOwnership: fmt::Debug + Send + Sync {
    /// Asked before each window.
    fn owns(&self, tenant: &TenantId) -> bool;
}

/// The only process there is owns the rules of all tenants.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnsAllRules;

impl RuleOwnership for OwnsAllRules {
    fn owns(&self, _: &TenantId) -> bool {
        true
    }
}

/// What recording rules work with.
#[derive(Clone)]
pub struct RecordingRulesDeps {
    /// Who answers what rules ask.
    pub querier: Querier,
    /// Where rules and windows are kept.
    pub bucket: Bucket,
    /// How many rules a tenant may have.
    pub limits: Arc<dyn LimitsSource>,
    /// Whose rules are evaluated here.
    pub ownership: Arc<dyn RuleOwnership>,
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl fmt::Debug for RecordingRulesDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingRulesDeps").finish_non_exhaustive()
    }
}

/// Why the settings of recording rules cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RulesConfigError {
    /// No URL, or none of HTTP.
    #[error("recording-rules.remote-write-url is {url:?}: set it to a URL such as http://prometheus:9090/api/v1/write")]
    Url {
        /// As it was given.
        url: String,
    },
    /// No header.
    #[error("{key}: this is no HTTP header")]
    Header {
        /// The key that it was given by.
        key: &'static str,
    },
    /// Two kinds of credentials.
    #[error("recording-rules.remote-write-username and recording-rules.remote-write-bearer-token exclude each other")]
    TwoWaysIn,
    /// Too short, too long, or not whole.
    #[error("recording-rules.interval must be from 1s to 1d, in whole seconds")]
    Interval,
    /// No label.
    #[error("recording-rules.tenant-label {label:?} is no name of a label")]
    TenantLabel {
        /// As it was given.
        label: String,
    },
    /// No client could be made.
    #[error("make a client for remote write")]
    Client(#[source] reqwest::Error),
    /// The registry refuses.
    #[error("register the metrics of recording rules")]
    Metrics(#[from] prometheus::Error),
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecordingRules {
    store: RuleStore,
    limits: Arc<dyn LimitsSource>,
    clock: SharedClock,
    ruler: Arc<Ruler>,
}

impl RecordingRules {
    /// Rules that are kept in this bucket. [`run`](Self::run) evaluates them.
    pub fn new(config: RecordingRulesConfig, deps: RecordingRulesDeps) -> Result<Self, RulesConfigError> {
        let receiver = Arc::new(RemoteWrite::new(&config)?);
        Self::with_receiver(config, deps, receiver)
    }

    fn with_receiver(
        config: RecordingRulesConfig,
        deps: RecordingRulesDeps,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Self, RulesConfigError> {
        if config.interval < INTERVAL_MIN || config.interval > INTERVAL_MAX || config.interval.subsec_nanos() != 0 {
            return Err(RulesConfigError::Interval);
        }
        if !config.tenant_label.is_empty() && !is_label_name(&config.tenant_label) {
            return Err(RulesConfigError::TenantLabel { label: config.tenant_label });
        }
        let metrics = Metrics::register(&deps.registry)?;
        let store = RuleStore::new(deps.bucket.clone(), SharedClock::clone(&deps.clock));
        let (limits, clock) = (Arc::clone(&deps.limits), SharedClock::clone(&deps.clock));
        let ruler = Arc::new(Ruler::new(config, deps, store.clone(), receiver, metrics));
        Ok(Self { store, limits, clock, ruler })
    }

    /// Evaluates the rules of the tenants that this process owns, until stopped; a window that is not done by then is done by the next owner.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.ruler.run()).await;
    }

    /// The methods on the public port.
    pub fn rpc(&self) -> RpcRouter {
        const GET: &str = "/settings.v1.RecordingRulesService/GetRecordingRule";
        const LIST: &str = "/settings.v1.RecordingRulesService/ListRecordingRules";
        const UPSERT: &str = "/settings.v1.RecordingRulesService/UpsertRecordingRule";
        const DELETE: &str = "/settings.v1.RecordingRulesService/DeleteRecordingRule";
        let (get, list, upsert, delete) = (self.clone(), self.clone(), self.clone(), self.clone());
        RpcRouter::new()
            .unary(GET, Idempotent::Yes, move |context, request: v1::GetRecordingRuleRequest| {
                let rules = get.clone();
                async move { rules.get(context.tenants.exactly_one(WHAT)?, &request.id).await }
            })
            .unary(LIST, Idempotent::Yes, move |context, _: v1::ListRecordingRulesRequest| {
                let rules = list.clone();
                async move { rules.list(context.tenants.exactly_one(WHAT)?).await }
            })
            .unary(UPSERT, Idempotent::No, move |context, request| {
                let rules = upsert.clone();
                async move { rules.upsert(context.tenants.exactly_one(WHAT)?, request).await }
            })
            .unary(DELETE, Idempotent::No, move |context, request: v1::DeleteRecordingRuleRequest| {
                let rules = delete.clone();
                async move { rules.delete(context.tenants.exactly_one(WHAT)?, &request.id).await }
            })
    }

    /// Those that requests made, and those of the configuration.
    async fn all(&self, tenant: &TenantId) -> Result<store::ById, StatusError> {
        let mut rules = self.store.load(tenant).await?;
        let provisioned = &self.limits.for_tenant(tenant).recording_rules;
        rules.extend(provisioned.iter().map(|(id, spec)| (id.to_owned(), Rule::provisioned(id, spec, 0))));
        Ok(rules)
    }

    async fn get(&self, tenant: &TenantId, id: &str) -> Result<v1::GetRecordingRuleResponse, StatusError> {
        let rules = self.all(tenant).await?;
        let rule = rules.get(id).ok_or_else(|| missing(id))?;
        Ok(v1::GetRecordingRuleResponse { rule: Some(rule.message()) })
    }

    async fn list(&self, tenant: &TenantId) -> Result<v1::ListRecordingRulesResponse, StatusError> {
        let rules = self.all(tenant).await?;
        Ok(v1::ListRecordingRulesResponse { rules: rules.values().map(Rule::message).collect() })
    }

    async fn upsert(
        &self,
        tenant: &TenantId,
        request: v1::UpsertRecordingRuleRequest,
    ) -> Result<v1::UpsertRecordingRuleResponse, StatusError> {
        let rule = Rule::parse(request)?;
        let kept =
            if rule.id.is_empty() { self.create(tenant, rule).await? } else { self.replace(tenant, rule).await? };
        Ok(v1::UpsertRecordingRuleResponse { rule: Some(kept.message()) })
    }

    async fn create(&self, tenant: &TenantId, rule: Rule) -> Result<Rule, StatusError> {
        let created_at_ms = self.clock.unix_nanos() / 1_000_000;
        let id = Ulid::from_parts(u64::try_from(created_at_ms).unwrap_or_default(), self.clock.random()).to_string();
        let rule = Rule { id: id.clone(), generation: 1, created_at_ms, ..rule };
        let rules_max = self.limits.for_tenant(tenant).max_recording_rules;
        self.store
            .change(tenant, |rules| {
                if rules_max > 0 && rules.len() >= rules_max {
                    return Err(StatusError::resource_exhausted(format!(
                        "a tenant may have {rules_max} recording rules (recording-rules.max-rules-per-tenant): delete one first"
                    )));
                }
                rules.insert(id.clone(), rule.clone());
                Ok(())
            })
            .await?;
        Ok(rule)
    }

    async fn replace(&self, tenant: &TenantId, rule: Rule) -> Result<Rule, StatusError> {
        refuse_provisioned(&rule.id)?;
        let replaced =
            |kept: &Rule| Rule { generation: kept.generation + 1, created_at_ms: kept.created_at_ms, ..rule.clone() };
        self.store
            .change(tenant, |rules| {
                let kept = rules.get_mut(&rule.id).ok_or_else(|| missing(&rule.id))?;
                if kept.generation != rule.generation {
                    let why = format!(
                        "recording rule {:?} has generation {}, the change is of {}: read it again",
                        rule.id, kept.generation, rule.generation
                    );
                    return Err(StatusError::new(ErrorCode::AlreadyExists, why));
                }
                *kept = replaced(kept);
                Ok(())
            })
            .await?;
        Ok(Rule { generation: rule.generation + 1, ..rule })
    }

    async fn delete(&self, tenant: &TenantId, id: &str) -> Result<v1::DeleteRecordingRuleResponse, StatusError> {
        refuse_provisioned(id)?;
        let removed = |rules: &mut store::ById| rules.remove(id).map(drop).ok_or_else(|| missing(id));
        self.store.change(tenant, removed).await?;
        Ok(v1::DeleteRecordingRuleResponse {})
    }
}

fn refuse_provisioned(id: &str) -> Result<(), StatusError> {
    if is_static_id(id) {
        let why =
            "this rule comes from the configuration (recording-rules.static of the tenant's limits): change it there";
        return Err(StatusError::new(ErrorCode::FailedPrecondition, why));
    }
    Ok(())
}

fn missing(id: &str) -> StatusError {
    let id: String = id.chars().take(100).collect();
    StatusError::new(ErrorCode::NotFound, format!("there is no recording rule {id:?}"))
}
