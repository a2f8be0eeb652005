//! A query from its checked question to its answer: turn, time limit, fan-out, rendering off the async threads.

use std::sync::Arc;
use std::time::Duration;

use flamelake_api::google::v1 as pprof;
use flamelake_api::querier::v1;
use flamelake_api::roles::{Ingesters, StoreGatewayApi};
use flamelake_api::types::v1 as types;
use flamelake_catalog::CatalogStore;
use flamelake_config::{Limits, LimitsSource};
use flamelake_model::query::{PartialQuery, PartialResult, PartialTimeSeries, Selection, TimeSeriesQuery, TimeSpan};
use flamelake_model::selector::Selector;
use flamelake_model::tree::Tree;
use flamelake_model::{Labels, ProfileType, StatusError, TenantId, TimeRange, TimestampMs, TimestampNs, label_name};
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use std::collections::BTreeSet;
use std::future::Future;
use tracing::Instrument as _;

use crate::admission::Admission;
use crate::check::{Checker, HeatmapInput, Now, PprofQuestion, SeriesInput, StacktracesInput, TreeQuestion};
use crate::config::QuerierConfig;
use crate::error::QuerierError;
use crate::fan_out::FanOut;
use crate::limits::QueryLimits;
use crate::merge::off_reactor;
use crate::metrics::Metrics;
use crate::plan::Catalog;
use crate::{heatmap, labels, render, series};

/// What a querier works with.
#[derive(Clone)]
pub struct QuerierDeps {
    /// The recent side.
    pub ingesters: Arc<dyn Ingesters>,
    /// The committed side.
    pub gateways: Arc<dyn StoreGatewayApi>,
    /// Which blocks are live.
    pub catalog: Arc<CatalogStore>,
    /// Limits of tenants.
    pub limits: Arc<dyn LimitsSource>,
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl std::fmt::Debug for QuerierDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuerierDeps").finish_non_exhaustive()
    }
}

/// The public query API. Cheap to clone.
#[derive(Clone)]
pub struct Querier {
    shared: Arc<Shared>,
}

struct Shared {
    config: QuerierConfig,
    admission: Admission,
    fan_out: FanOut,
    limits: Arc<dyn LimitsSource>,
    clock: SharedClock,
    metrics: Metrics,
}

impl std::fmt::Debug for Querier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Querier").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// Whose query it is and what the client can take.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) utf8_label_names: bool,
}

/// An answer and what it leaves out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    /// Damaged or missing data, by name; empty = complete.
    pub(crate) set_aside: Vec<String>,
}

impl<T> Answer<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), set_aside: self.set_aside }
    }

    /// The answer of a range before the look-back.
    fn complete(value: T) -> Self {
        Self { value, set_aside: Vec::new() }
    }
}

impl Querier {
    /// A querier over both sides. Registers its metrics.
    pub fn new(config: QuerierConfig, deps: QuerierDeps) -> Self {
        let QuerierDeps { ingesters, gateways, catalog, limits, clock, registry } = deps;
        Self::with_catalog(config, ingesters, gateways, catalog, limits, clock, &registry)
    }

    pub(crate) fn with_catalog(
        config: QuerierConfig,
        ingesters: Arc<dyn Ingesters>,
        gateways: Arc<dyn StoreGatewayApi>,
        catalog: Arc<dyn Catalog>,
        limits: Arc<dyn LimitsSource>,
        clock: SharedClock,
        registry: &Registry,
    ) -> Self {
        let metrics = Metrics::register(registry);
        let admission = Admission::new(config.max_concurrent, config.max_queued);
        let partial = config.partial_results;
        let fan_out = FanOut { catalog, ingesters, gateways, partial, metrics: metrics.clone() };
        Self { shared: Arc::new(Shared { config, admission, fan_out, limits, clock, metrics }) }
    }

    pub(crate) fn config(&self) -> &QuerierConfig {
        &self.shared.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// All limits of a tenant.
    pub(crate) fn limits_of(&self, tenant: &TenantId) -> Arc<Limits> {
        self.shared.limits.for_tenant(tenant)
    }

    /// Runs one call in its turn and within `querier.timeout`; dropping the future ends it. Measured by method and outcome.
    pub(crate) async fn run<T>(
        &self,
        caller: &Caller,
        method: &'static str,
        call: impl Future<Output = Result<T, StatusError>>,
    ) -> Result<T, StatusError> {
        let started = self.shared.clock.monotonic();
        let in_turn = async {
            let _turn = self.shared.admission.enter(&caller.tenants, self.limits(caller).concurrency).await?;
            call.await
        };
        let span = tracing::trace_span!(target: "flamelake::span", "query", method, tenants = caller.tenants.len());
        let result = self.within_timeout(in_turn).instrument(span).await;
        let outcome = result.as_ref().map_or_else(|error| error.code.name(), |_| "ok");
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.shared.metrics.query_seconds.with_label_values(&[method, outcome]).observe(took.as_secs_f64());
        result
    }

    async fn within_timeout<T>(&self, call: impl Future<Output = Result<T, StatusError>>) -> Result<T, StatusError> {
        let timeout = self.shared.config.timeout;
        if timeout == Duration::ZERO {
            return call.await;
        }
        tokio::select! {
            biased;
            result = call => result,
            () = self.shared.clock.sleep(timeout) => Err(StatusError::from_coded(&QuerierError::Timeout { timeout })),
        }
    }

    /// Types of profiles in the range.
    pub(crate) async fn profile_types(
        &self,
        caller: &Caller,
        start: i64,
        end: i64,
    ) -> Result<Answer<Vec<ProfileType>>, StatusError> {
        let limits = self.limits(caller);
        let Some(selection) = self.checker(&limits).profile_types(start, end)? else { return Ok(Answer::default()) };
        let name = label_name::PROFILE_TYPE.to_owned();
        let ids = self.strings(caller, PartialQuery::LabelValues { selection, name }).await?;
        Ok(ids.map(|ids| labels::profile_types(&ids)))
    }

    /// Names of labels.
    pub(crate) async fn label_names(
        &self,
        caller: &Caller,
        request: types::LabelNamesRequest,
    ) -> Result<Answer<Vec<String>>, StatusError> {
        let Some(selection) = self.label_selection(caller, request.start, request.end, &request.matchers, || Ok(()))?
        else {
            return Ok(Answer::default());
        };
        let names = self.strings(caller, PartialQuery::LabelNames(selection)).await?;
        Ok(names.map(|names| labels::names_for_client(names, caller.utf8_label_names)))
    }

    /// Values of one label.
    pub(crate) async fn label_values(
        &self,
        caller: &Caller,
        request: types::LabelValuesRequest,
    ) -> Result<Answer<Vec<String>>, StatusError> {
        let named = || match request.name.is_empty() {
            true => Err(StatusError::invalid_argument("name is required")),
            false => Ok(()),
        };
        let Some(selection) = self.label_selection(caller, request.start, request.end, &request.matchers, named)?
        else {
            return Ok(Answer::default());
        };
        let values = self.strings(caller, PartialQuery::LabelValues { selection, name: request.name }).await?;
        Ok(values.map(|values| values.into_iter().collect()))
    }

    /// Label sets of series.
    pub(crate) async fn series_labels(
        &self,
        caller: &Caller,
        request: v1::SeriesRequest,
    ) -> Result<Answer<BTreeSet<Labels>>, StatusError> {
        let Some(selection) = self.label_selection(caller, request.start, request.end, &request.matchers, || Ok(()))?
        else {
            return Ok(Answer::default());
        };
        let every_name_asked = request.label_names.is_empty();
        let query = PartialQuery::Series { selection, label_names: request.label_names };
        let (result, set_aside) = self.ask(caller, query).await?;
        let PartialResult::LabelSets(sets) = result else { return Err(mismatch()) };
        let utf8 = caller.utf8_label_names || !every_name_asked;
        Ok(Answer { value: labels::sets_for_client(sets, utf8), set_aside })
    }

    /// The exact tree; `None` = the range lies before the look-back.
    async fn tree(&self, caller: &Caller, question: Option<TreeQuestion>) -> Result<Answer<Tree>, StatusError> {
        let Some(TreeQuestion { selection, filter, .. }) = question else {
            return Ok(Answer::complete(Tree::default()));
        };
        let (result, set_aside) = self.ask(caller, PartialQuery::Tree { selection, filter }).await?;
        let PartialResult::Tree(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }

    /// A flame graph, cut once.
    pub(crate) async fn flamegraph(
        &self,
        caller: &Caller,
        input: &StacktracesInput,
    ) -> Result<Answer<v1::FlameGraph>, StatusError> {
        let limits = self.limits(caller);
        let question = self.checker(&limits).tree(input)?;
        let max_nodes = question.as_ref().and_then(|question| question.max_nodes.0);
        let Answer { value: tree, set_aside } = self.tree(caller, question).await?;
        let value = off_reactor(move || render::flamegraph(&tree, max_nodes)).await?;
        Ok(Answer { value, set_aside })
    }

    /// The tree as bytes, cut once.
    pub(crate) async fn tree_bytes(
        &self,
        caller: &Caller,
        input: &StacktracesInput,
    ) -> Result<Answer<Vec<u8>>, StatusError> {
        let limits = self.limits(caller);
        let question = self.checker(&limits).tree(input)?;
        let max_nodes = question.as_ref().and_then(|question| question.max_nodes.0);
        let Answer { value: tree, set_aside } = self.tree(caller, question).await?;
        let value = off_reactor(move || render::tree_bytes(&tree, max_nodes)).await?;
        Ok(Answer { value, set_aside })
    }

    /// A merged profile; an empty message when nothing matched.
    pub(crate) async fn pprof(
        &self,
        caller: &Caller,
        input: &StacktracesInput,
    ) -> Result<Answer<pprof::Profile>, StatusError> {
        let limits = self.limits(caller);
        let question = self.checker(&limits).pprof(input)?;
        let end = TimestampMs(input.end);
        let Some(question) = question else { return Ok(Answer::default()) };
        let max_nodes = question.go_pgo.is_none().then_some(question.max_nodes.0).flatten();
        let profile_type = question.profile_type.clone();
        let Answer { value: parts, set_aside } = self.pprof_bytes(caller, question).await?;
        let value = off_reactor(move || render::profile(&parts, &profile_type, end, max_nodes)).await??;
        Ok(Answer { value, set_aside })
    }

    /// Graphviz text; empty when there are no samples.
    pub(crate) async fn dot(&self, caller: &Caller, input: &StacktracesInput) -> Result<Answer<String>, StatusError> {
        let limits = self.limits(caller);
        let question = self.checker(&limits).pprof(input)?;
        let Some(question) = question else { return Ok(Answer::default()) };
        let (max_nodes, profile_type) = (question.max_nodes.0, question.profile_type.clone());
        let Answer { value: parts, set_aside } = self.pprof_bytes(caller, question).await?;
        let value = off_reactor(move || render::dot(&parts, &profile_type, max_nodes)).await??;
        Ok(Answer { value, set_aside })
    }

    async fn pprof_bytes(&self, caller: &Caller, question: PprofQuestion) -> Result<Answer<Vec<u8>>, StatusError> {
        let PprofQuestion { selection, filter, go_pgo, .. } = question;
        let (result, set_aside) = self.ask(caller, PartialQuery::Pprof { selection, filter, go_pgo }).await?;
        let PartialResult::Pprof(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }

    /// Totals over time.
    pub(crate) async fn series(
        &self,
        caller: &Caller,
        input: &SeriesInput,
    ) -> Result<Answer<Vec<types::Series>>, StatusError> {
        let limits = self.limits(caller);
        let Some(question) = self.checker(&limits).series(input)? else { return Ok(Answer::default()) };
        let parts = self.time_series(caller, question.query.clone()).await?;
        Ok(parts.map(|parts| series::render(parts, &question)))
    }

    /// Exact totals over time.
    pub(crate) async fn time_series(
        &self,
        caller: &Caller,
        query: TimeSeriesQuery,
    ) -> Result<Answer<Vec<PartialTimeSeries>>, StatusError> {
        let (result, set_aside) = self.ask(caller, PartialQuery::TimeSeries(query)).await?;
        let PartialResult::TimeSeries(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }

    /// Exact sums over time, by group.
    pub(crate) async fn sums(
        &self,
        caller: &Caller,
        input: &SeriesInput,
    ) -> Result<Answer<Vec<PartialTimeSeries>>, StatusError> {
        let limits = self.limits(caller);
        let Some(question) = self.checker(&limits).series(input)? else { return Ok(Answer::default()) };
        let (result, set_aside) = self.ask(caller, PartialQuery::TimeSeries(question.query)).await?;
        let PartialResult::TimeSeries(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }

    /// Profiles or spans by time and value.
    pub(crate) async fn heatmap(
        &self,
        caller: &Caller,
        input: &HeatmapInput,
    ) -> Result<Answer<Vec<types::HeatmapSeries>>, StatusError> {
        let limits = self.limits(caller);
        let Some(question) = self.checker(&limits).heatmap(input)? else { return Ok(Answer::default()) };
        let (result, set_aside) = self.ask(caller, PartialQuery::Heatmap(question.query.clone())).await?;
        let PartialResult::Heatmap(groups) = result else { return Err(mismatch()) };
        let value = off_reactor(move || heatmap::render(&groups, &question)).await??;
        Ok(Answer { value, set_aside })
    }

    /// First and last profile that has not passed its retention; `None` when there are none.
    pub(crate) async fn time_span(&self, caller: &Caller) -> Result<Answer<Option<TimeSpan>>, StatusError> {
        let Ok([tenant]) = <&[TenantId; 1]>::try_from(caller.tenants.as_slice()) else {
            let count = caller.tenants.len();
            return Err(StatusError::invalid_argument(format!(
                "profile stats take exactly one tenant, the request names {count}"
            )));
        };
        let retention = self.shared.limits.for_tenant(tenant).retention_period;
        let range = self.now().kept(retention);
        let selection = Selection { profile_type: None, selector: Selector::default(), range };
        let (result, set_aside) = self.ask(caller, PartialQuery::TimeSpan(selection)).await?;
        let PartialResult::TimeSpan(span) = result else { return Err(mismatch()) };
        // Where data past its retention still lies, it must not show.
        let kept = span.map(|span| TimeSpan { min: span.min.max(range.start_ns()), ..span });
        Ok(Answer { value: kept, set_aside })
    }

    /// Both exact trees side by side, cut once.
    pub(crate) async fn diff(
        &self,
        caller: &Caller,
        left: &StacktracesInput,
        right: &StacktracesInput,
    ) -> Result<Answer<v1::FlameGraphDiff>, StatusError> {
        let limits = self.limits(caller);
        let checker = self.checker(&limits);
        Checker::diff_types(left, right)?;
        let max_nodes = checker.diff_nodes(left, right)?.0;
        let (left, right) = (checker.tree(left)?, checker.tree(right)?);
        let (left, right) = futures::try_join!(self.tree(caller, left), self.tree(caller, right))?;
        let set_aside = joined(left.set_aside, right.set_aside);
        let (left, right) = (left.value, right.value);
        let value = off_reactor(move || render::diff(&left, &right, max_nodes)).await??;
        Ok(Answer { value, set_aside })
    }

    /// Names or values of labels.
    pub(crate) async fn strings(
        &self,
        caller: &Caller,
        query: PartialQuery,
    ) -> Result<Answer<BTreeSet<String>>, StatusError> {
        let (result, set_aside) = self.ask(caller, query).await?;
        let PartialResult::Strings(value) = result else { return Err(mismatch()) };
        Ok(Answer { value, set_aside })
    }

    /// Asks both sides.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        query: PartialQuery,
    ) -> Result<(PartialResult, Vec<String>), StatusError> {
        // Large: boxed here once and not in each future that asks.
        let answer = Box::pin(self.shared.fan_out.ask(&caller.tenants, &query)).await?;
        Ok((answer.result, answer.stats.set_aside))
    }

    fn label_selection(
        &self,
        caller: &Caller,
        start: i64,
        end: i64,
        matchers: &[String],
        before_matchers: impl FnOnce() -> Result<(), StatusError>,
    ) -> Result<Option<Selection>, StatusError> {
        let limits = self.limits(caller);
        self.checker(&limits).labels(start, end, matchers, before_matchers)
    }

    /// The limits of all tenants of a request together.
    pub(crate) fn limits(&self, caller: &Caller) -> QueryLimits {
        let of = |tenant| QueryLimits::of(&self.shared.limits.for_tenant(tenant));
        caller.tenants.iter().map(of).fold(QueryLimits::none(), QueryLimits::and)
    }

    pub(crate) fn checker<'a>(&self, limits: &'a QueryLimits) -> Checker<'a> {
        Checker { limits, now: self.now() }
    }

    /// The range of a question about labels; `None` where it lies before the look-back.
    pub(crate) fn checked_range(
        &self,
        caller: &Caller,
        start: i64,
        end: i64,
    ) -> Result<Option<TimeRange>, StatusError> {
        self.checker(&self.limits(caller)).range(start, end)
    }

    /// `querier.promql-samples-max`.
    pub(crate) fn promql_samples_max(&self) -> usize {
        self.shared.config.promql_samples_max
    }

    /// By the querier's clock.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.shared.clock.sleep(duration).await;
    }

    /// The moment that requests are checked at.
    pub(crate) fn now(&self) -> Now {
        Now(TimestampNs(self.shared.clock.unix_nanos()).to_ms())
    }
}

/// The gaps of both, each named once.
pub(crate) fn joined(left: Vec<String>, right: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = left.into_iter().chain(right).collect();
    all.sort();
    all.dedup();
    all
}

pub(crate) fn mismatch() -> StatusError {
    StatusError::from_coded(&QuerierError::Mismatch)
}
