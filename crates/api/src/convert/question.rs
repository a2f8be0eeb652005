//! Questions between roles, to and from `flamelake.query.v1`.

use flamelake_model::function_index::FunctionIndexQuery;
use flamelake_model::function_series::FunctionRegex;
use flamelake_model::heatmap::{DotKind, HeatmapQuery};
use flamelake_model::query::{
    ExemplarKind, FunctionSeriesQuery, GoPgo, PartialQuery, SampleFilter, Selection, TimeSeriesQuery,
};
use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::{ProfileId, ProfileType, StatusError, TenantId, TimeRange, TimestampMs};

use super::bytes16;
use super::function_series::function_match;
use crate::flamelake::query::v1;
use crate::flamelake::query::v1::partial_query as kind;
use crate::flamelake::query::v1::partial_query::Question;
use crate::flamelake::{ingester, storegateway};
use crate::roles::{IngesterQuery, StoreGatewayQuery, Watermark};

impl From<&PartialQuery> for v1::PartialQuery {
    fn from(query: &PartialQuery) -> Self {
        let (filter, question) = match query {
            PartialQuery::LabelNames(_) => (None, Question::LabelNames(kind::LabelNames {})),
            PartialQuery::LabelValues { name, .. } => {
                (None, Question::LabelValues(kind::LabelValues { name: name.clone() }))
            }
            PartialQuery::Series { label_names, .. } => {
                (None, Question::Series(kind::Series { label_names: label_names.clone() }))
            }
            PartialQuery::Tree { filter, .. } => (Some(filter), Question::Tree(kind::Tree {})),
            PartialQuery::Pprof { filter, go_pgo, .. } => {
                let go_pgo = go_pgo.map(|pgo| kind::GoPgo {
                    keep_locations: pgo.keep_locations,
                    aggregate_callees: pgo.aggregate_callees,
                });
                (Some(filter), Question::Pprof(kind::Pprof { go_pgo }))
            }
            PartialQuery::TimeSeries(query) => {
                let question = kind::TimeSeries {
                    group_by: query.group_by.clone(),
                    step_ms: query.step_ms,
                    individual_exemplars: query.exemplars == ExemplarKind::Individual,
                };
                (Some(&query.filter), Question::TimeSeries(question))
            }
            PartialQuery::FunctionSeries(query) => {
                (Some(&query.filter), Question::FunctionSeries(kind::FunctionSeries::from(query)))
            }
            PartialQuery::Functions(query) => (None, Question::Functions(kind::Functions::from(query))),
            PartialQuery::Heatmap(query) => {
                let question = kind::Heatmap {
                    group_by: query.group_by.clone(),
                    step_ms: query.step_ms,
                    spans: query.kind == DotKind::Span,
                    labels: query.labels,
                };
                (None, Question::Heatmap(question))
            }
            PartialQuery::TimeSpan(_) => (None, Question::TimeSpan(kind::TimeSpan {})),
        };
        Self {
            selection: Some(query.selection().into()),
            filter: filter.map(v1::SampleFilter::from),
            question: Some(question),
        }
    }
}

impl TryFrom<v1::PartialQuery> for PartialQuery {
    type Error = StatusError;

    fn try_from(query: v1::PartialQuery) -> Result<Self, StatusError> {
        let selection = Selection::try_from(query.selection.ok_or_else(|| missing("selection"))?)?;
        let filter = SampleFilter::try_from(query.filter.unwrap_or_default())?;
        Ok(match query.question.ok_or_else(|| missing("question"))? {
            Question::LabelNames(_) => Self::LabelNames(selection),
            Question::LabelValues(kind::LabelValues { name }) => Self::LabelValues { selection, name },
            Question::Series(kind::Series { label_names }) => Self::Series { selection, label_names },
            Question::Tree(_) => Self::Tree { selection, filter },
            Question::Pprof(kind::Pprof { go_pgo }) => {
                let go_pgo = go_pgo
                    .map(|pgo| GoPgo { keep_locations: pgo.keep_locations, aggregate_callees: pgo.aggregate_callees });
                Self::Pprof { selection, filter, go_pgo }
            }
            Question::TimeSeries(series) => {
                check_step(series.step_ms)?;
                let exemplars = if series.individual_exemplars { ExemplarKind::Individual } else { ExemplarKind::None };
                let (group_by, step_ms) = (series.group_by, series.step_ms);
                Self::TimeSeries(TimeSeriesQuery { selection, filter, group_by, step_ms, exemplars })
            }
            Question::FunctionSeries(kind::FunctionSeries { group_by, step_ms, functions }) => {
                check_step(step_ms)?;
                let functions = function_match(functions)?;
                Self::FunctionSeries(FunctionSeriesQuery { selection, filter, functions, group_by, step_ms })
            }
            Question::Functions(kind::Functions { regex, limit }) => {
                let functions = FunctionRegex::new(&regex)?;
                Self::Functions(FunctionIndexQuery { selection, functions, limit: limit as usize })
            }
            Question::Heatmap(kind::Heatmap { group_by, step_ms, spans, labels }) => {
                check_step(step_ms)?;
                let kind = if spans { DotKind::Span } else { DotKind::Profile };
                Self::Heatmap(HeatmapQuery { selection, group_by, step_ms, kind, labels })
            }
            Question::TimeSpan(_) => Self::TimeSpan(selection),
        })
    }
}

fn check_step(step_ms: i64) -> Result<(), StatusError> {
    if step_ms < 1 { Err(StatusError::invalid_argument("step_ms must be at least 1")) } else { Ok(()) }
}

fn missing(what: &str) -> StatusError {
    StatusError::invalid_argument(format!("the question has no {what}"))
}

impl From<&Selection> for v1::Selection {
    fn from(selection: &Selection) -> Self {
        let op = |op: MatchOp| match op {
            MatchOp::Equal => v1::matcher::Op::Equal,
            MatchOp::NotEqual => v1::matcher::Op::NotEqual,
            MatchOp::Matches => v1::matcher::Op::Match,
            MatchOp::MatchesNot => v1::matcher::Op::NotMatch,
        };
        let matcher = |matcher: &Matcher| v1::Matcher {
            name: matcher.name().to_owned(),
            op: op(matcher.op()).into(),
            value: matcher.value().to_owned(),
        };
        Self {
            profile_type: selection.profile_type.as_ref().map(ProfileType::to_string).unwrap_or_default(),
            matchers: selection.selector.matchers().iter().map(matcher).collect(),
            start_ms: selection.range.start().0,
            end_ms: selection.range.end().0,
        }
    }
}

impl TryFrom<v1::Selection> for Selection {
    type Error = StatusError;

    fn try_from(selection: v1::Selection) -> Result<Self, StatusError> {
        let profile_type = match selection.profile_type.as_str() {
            "" => None,
            id => Some(ProfileType::parse(id).map_err(|error| StatusError::from_coded(&error))?),
        };
        let matcher = |matcher: &v1::Matcher| {
            let op = match matcher.op() {
                v1::matcher::Op::Equal => MatchOp::Equal,
                v1::matcher::Op::NotEqual => MatchOp::NotEqual,
                v1::matcher::Op::Match => MatchOp::Matches,
                v1::matcher::Op::NotMatch => MatchOp::MatchesNot,
                v1::matcher::Op::Unspecified => {
                    return Err(StatusError::invalid_argument("a matcher's operator is unknown to this version"));
                }
            };
            Matcher::new(&matcher.name, op, &matcher.value)
        };
        let matchers = selection.matchers.iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
        let range = TimeRange::new(TimestampMs(selection.start_ms), TimestampMs(selection.end_ms))
            .map_err(|error| StatusError::from_coded(&error))?;
        Ok(Self { profile_type, selector: Selector::from_matchers(matchers), range })
    }
}

impl From<&SampleFilter> for v1::SampleFilter {
    fn from(filter: &SampleFilter) -> Self {
        Self {
            profile_ids: filter.profile_ids.iter().map(|id| id.0.to_vec().into()).collect(),
            span_ids: filter.span_ids.clone(),
            trace_ids: filter.trace_ids.iter().map(|id| id.to_vec().into()).collect(),
            call_site: filter.call_site.clone(),
        }
    }
}

impl TryFrom<v1::SampleFilter> for SampleFilter {
    type Error = StatusError;

    fn try_from(filter: v1::SampleFilter) -> Result<Self, StatusError> {
        Ok(Self {
            profile_ids: filter.profile_ids.iter().map(|id| bytes16(id).map(ProfileId)).collect::<Result<_, _>>()?,
            span_ids: filter.span_ids,
            trace_ids: filter.trace_ids.iter().map(|id| bytes16(id)).collect::<Result<_, _>>()?,
            call_site: filter.call_site,
        })
    }
}

impl From<&IngesterQuery> for ingester::v1::QueryRequest {
    fn from(request: &IngesterQuery) -> Self {
        let mark = |mark: &Watermark| ingester::v1::Watermark { log: mark.log.clone(), through: mark.through };
        Self {
            tenant: request.tenant.to_string(),
            catalog_version: request.catalog_version,
            watermarks: request.watermarks.iter().map(mark).collect(),
            query: Some((&request.query).into()),
        }
    }
}

impl TryFrom<ingester::v1::QueryRequest> for IngesterQuery {
    type Error = StatusError;

    fn try_from(request: ingester::v1::QueryRequest) -> Result<Self, StatusError> {
        let mark = |mark: ingester::v1::Watermark| Watermark { log: mark.log, through: mark.through };
        Ok(Self {
            tenant: tenant(&request.tenant)?,
            catalog_version: request.catalog_version,
            watermarks: request.watermarks.into_iter().map(mark).collect(),
            query: request.query.ok_or_else(|| missing("query"))?.try_into()?,
        })
    }
}

impl From<&StoreGatewayQuery> for storegateway::v1::QueryRequest {
    fn from(request: &StoreGatewayQuery) -> Self {
        Self {
            tenant: request.tenant.to_string(),
            blocks: request.blocks.clone(),
            query: Some((&request.query).into()),
            set_missing_aside: request.set_missing_aside,
        }
    }
}

impl TryFrom<storegateway::v1::QueryRequest> for StoreGatewayQuery {
    type Error = StatusError;

    fn try_from(request: storegateway::v1::QueryRequest) -> Result<Self, StatusError> {
        Ok(Self {
            tenant: tenant(&request.tenant)?,
            blocks: request.blocks,
            query: request.query.ok_or_else(|| missing("query"))?.try_into()?,
            set_missing_aside: request.set_missing_aside,
        })
    }
}

/// A tenant as another role names it.
pub fn tenant(text: &str) -> Result<TenantId, StatusError> {
    TenantId::parse(text).map_err(|error| StatusError::from_coded(&error))
}
