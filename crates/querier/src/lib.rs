//! The querier: the public query API. Checks a request, plans it on one catalog version, asks ingesters and store-gateways, merges
//! their exact parts, cuts once, and renders.
//!
//! Promises: a row is answered by exactly one side, whatever is flushed or compacted meanwhile (P2); an answer never depends on how
//! rows are spread (P8); queries, queues and time are bounded (P5). Of the store it reads the catalog, and keeps tenants' settings and the results of
//! asynchronous queries there: it knows no block format and no query engine.

mod config;
mod service;
mod rpc;
mod http;
mod check;
mod limits;
mod admission;
mod plan;
mod fan_out;
mod members;
mod merge;
mod render;
mod series;
mod heatmap;
mod functions;
mod compare;
mod labels;
mod promql;
mod about;
mod async_queries;
mod numbered;
mod settings;
mod recording_rules;
mod adhoc;
mod error;
mod metrics;

pub use adhoc::{AdHocFormats, AdHocPprof, AdHocProfiles};
pub use async_queries::AsyncQueries;
pub use config::QuerierConfig;
pub use error::QuerierError;
pub use members::ShardedGateways;
pub use recording_rules::{
    OwnsAllRules, RecordingRules, RecordingRulesConfig, RecordingRulesDeps, RuleOwnership, RulesConfigError,
};
pub use service::{Querier, QuerierDeps};
pub use settings::Settings;
