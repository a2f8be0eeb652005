//! One window of one tenant: what its rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flamelake_model::function_series::PartialFunctionSeries;
use flamelake_model::query::PartialTimeSeries;
use flamelake_model::recording_rule::Asked;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_runtime::clock::SharedClock;
use futures::{StreamExt as _, stream};

use super::rule::Rule;
use super::window::{Outcome, Series, Span, Window};
use crate::Querier;
use crate::check::{FunctionSeriesInput, FunctionsInput, SeriesInput};
use crate::service::{Answer, Caller};

/// Rules of one tenant that are evaluated at the same time.
const RULES_AT_ONCE: usize = 4;
/// After so many attempts at a window, a rule that fails where others do not is given up.
const ATTEMPTS_MAX: u32 = 5;

/// Values of the labels to group by, and what is counted.
type Groups = Vec<(Vec<Option<String>>, i64)>;

/// What rules are evaluated with.
#[derive(Clone, Debug)]
pub(super) struct Evaluator {
    pub(super) querier: Querier,
    pub(super) clock: SharedClock,
    /// Empty = none.
    pub(super) tenant_label: String,
    pub(super) series_max: usize,
    /// Of one rule for one window.
    pub(super) within: Duration,
}

/// Rules of a tenant that failed where others did not, and how often the window at hand was tried.
#[derive(Debug, Default)]
pub(super) struct Patience {
    attempts: u32,
    given_up: BTreeSet<String>,
}

impl Evaluator {
    /// What the rules say of the window. An error: nothing is decided, try again.
    pub(super) async fn window(
        &self,
        tenant: &TenantId,
        rules: Vec<Rule>,
        span: Span,
        patience: &mut Patience,
    ) -> Result<Window, StatusError> {
        let takes_gaps = patience.attempts + 1 >= ATTEMPTS_MAX;
        let evaluated: Vec<(Rule, Result<Outcome, StatusError>)> = stream::iter(rules)
            .map(|rule| async move {
                let outcome = self.rule(tenant, &rule, span, takes_gaps).await;
                (rule, outcome)
            })
            .buffered(RULES_AT_ONCE)
            .collect()
            .await;
        let works = evaluated.iter().any(|(_, outcome)| outcome.is_ok());
        patience.attempts += 1;
        let mut given_up = BTreeSet::new();
        let mut outcomes = Vec::new();
        for (rule, outcome) in evaluated {
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) if works && (patience.attempts >= ATTEMPTS_MAX || patience.given_up.contains(&rule.id)) => {
                    tracing::warn!(%tenant, rule = rule.id, %error, "a recording rule is given up for one window: others of the tenant work");
                    outcomes.push(failed(&rule, error.to_string()));
                    given_up.insert(rule.id);
                }
                Err(error) => return Err(error),
            }
        }
        *patience = Patience { attempts: 0, given_up };
        Ok(Window { start_ms: span.start_ms, end_ms: span.end_ms, rules: without_doubles(outcomes) })
    }

    /// An error may be gone in a moment; what cannot be otherwise is an outcome. `takes_gaps`: what is left out stays out.
    async fn rule(&self, tenant: &TenantId, rule: &Rule, span: Span, takes_gaps: bool) -> Result<Outcome, StatusError> {
        let groups = tokio::select! {
            biased;
            groups = self.groups(tenant, rule, span, takes_gaps) => groups,
            () = self.clock.sleep(self.within) => {
                let why = format!("it took longer than {:?}: add matchers, or group by less", self.within);
                Err(StatusError::new(ErrorCode::DeadlineExceeded, why))
            }
        };
        let groups = match groups {
            Ok(groups) => groups,
            Err(error) if error.code == ErrorCode::InvalidArgument => return Ok(failed(rule, error.to_string())),
            Err(error) => return Err(error),
        };
        if groups.len() > self.series_max {
            let why = format!(
                "it has {} series and {} are allowed (recording-rules.max-series-per-rule): group by less",
                groups.len(),
                self.series_max
            );
            return Ok(failed(rule, why));
        }
        let own = (!self.tenant_label.is_empty()).then(|| (self.tenant_label.as_str(), tenant.as_str()));
        let series = groups.into_iter().map(|(group, value)| Series { labels: rule.spec.labels(&group, own), value });
        Ok(Outcome { id: rule.id.clone(), generation: rule.generation, series: series.collect(), failed: None })
    }

    async fn groups(
        &self,
        tenant: &TenantId,
        rule: &Rule,
        span: Span,
        takes_gaps: bool,
    ) -> Result<Groups, StatusError> {
        let caller = Caller { tenants: vec![tenant.clone()], utf8_label_names: true };
        let asked = async {
            match rule.spec.function.clone() {
                None => Box::pin(self.totals(&caller, rule, span)).await,
                Some(function) => Box::pin(self.totals_of(function, &caller, rule, span)).await,
            }
        };
        let Answer { value, set_aside } = Box::pin(self.querier.run(&caller, "RecordingRule", asked)).await?;
        if !set_aside.is_empty() {
            let left_out = set_aside.join("; ");
            if !takes_gaps {
                return Err(StatusError::unavailable(format!("the answer would leave out {left_out}")));
            }
            // Who cannot be reached may be in a moment; data that is damaged does not come back.
            tracing::warn!(%tenant, rule = rule.id, left_out, "a recording rule does without some data");
        }
        Ok(value)
    }

    async fn totals(&self, caller: &Caller, rule: &Rule, span: Span) -> Result<Answer<Groups>, StatusError> {
        let asked = asked(rule)?;
        let input = SeriesInput {
            profile_type: asked.profile_type.to_string(),
            label_selector: asked.selector.to_string(),
            // The point at the start holds what belongs to the window before; that at the end, what is asked for.
            start: span.start_ms,
            end: span.end_ms,
            step: span.seconds(),
            group_by: rule.spec.group_by.clone(),
            ..SeriesInput::default()
        };
        let at_end = |part: PartialTimeSeries| {
            let point = part.points.iter().find(|point| point.timestamp.0 == span.end_ms)?;
            Some((part.group, point.sum))
        };
        let answer = self.querier.sums(caller, &input).await?;
        Ok(answer.map(|parts| parts.into_iter().filter_map(at_end).collect()))
    }

    async fn totals_of(
        &self,
        function: String,
        caller: &Caller,
        rule: &Rule,
        span: Span,
    ) -> Result<Answer<Groups>, StatusError> {
        let asked = asked(rule)?;
        let input = FunctionSeriesInput {
            profile_type: asked.profile_type.to_string(),
            label_selector: asked.selector.to_string(),
            start: span.start_ms,
            end: span.end_ms,
            step: span.seconds(),
            group_by: rule.spec.group_by.clone(),
            functions: FunctionsInput::Names(vec![function]),
            ..FunctionSeriesInput::default()
        };
        let at_end = |part: PartialFunctionSeries| {
            let point = part.points.iter().find(|point| point.timestamp.0 == span.end_ms)?;
            Some((part.group, point.total))
        };
        let answer = self.querier.function_series(caller, &input).await?;
        Ok(answer.map(|parts| parts.functions.into_iter().filter_map(at_end).collect()))
    }
}

fn asked(rule: &Rule) -> Result<Asked, StatusError> {
    rule.spec.asked().map_err(|error| StatusError::from_coded(&error))
}

fn failed(rule: &Rule, why: String) -> Outcome {
    Outcome { id: rule.id.clone(), generation: rule.generation, series: Vec::new(), failed: Some(why) }
}

/// A series that two rules write would have two values: the rule that was there first has it.
fn without_doubles(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let mut seen: BTreeMap<BTreeMap<String, String>, String> = BTreeMap::new();
    for outcome in &mut outcomes {
        let first = outcome.series.iter().find_map(|series| seen.get(&series.labels).map(|id| (id.clone(), series)));
        if let Some((first, series)) = first {
            outcome.failed = Some(format!("recording rule {first} writes the series {:?}, too", series.labels));
            outcome.series = Vec::new();
            continue;
        }
        seen.extend(outcome.series.iter().map(|series| (series.labels.clone(), outcome.id.clone())));
    }
    outcomes
}
