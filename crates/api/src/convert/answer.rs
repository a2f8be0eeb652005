//! Partial answers between roles, to and from `flamelake.query.v1`, whole and in pieces.

use bytes::{Buf as _, Bytes};
use flamelake_model::heatmap::HeatmapDots;
use flamelake_model::query::{
    PartialAnswer, PartialExemplar, PartialPoint, PartialResult, PartialTimeSeries, QueryStats, TimeSpan,
};
use flamelake_model::tree::Tree;
use flamelake_model::{ErrorCode, Label, Labels, ProfileId, StatusError, TimestampMs, TimestampNs};
use prost::Message as _;

use super::bytes16;
use crate::flamelake::query::v1;
use crate::flamelake::query::v1::partial_result as kind;

/// Length of a piece.
const CHUNK_BYTES: usize = 1 << 20;

/// An answer as the pieces that travel. The last one bears the end mark.
pub fn answer_chunks(answer: PartialAnswer) -> impl Iterator<Item = v1::AnswerChunk> {
    let mut rest = Bytes::from(v1::PartialResult::from(answer.result).encode_to_vec());
    let end = v1::AnswerEnd { bytes: rest.len() as u64, stats: Some(answer.stats.into()) };
    let mut end = Some(end);
    std::iter::from_fn(move || {
        end.as_ref()?;
        let data = rest.split_to(rest.len().min(CHUNK_BYTES));
        let end = if rest.is_empty() { end.take() } else { None };
        Some(v1::AnswerChunk { data, end })
    })
}

/// Puts the pieces together again. Nothing counts before the end mark has come.
#[derive(Debug)]
pub struct AnswerAssembler {
    data: Vec<u8>,
    bytes_max: usize,
    end: Option<v1::AnswerEnd>,
}

impl AnswerAssembler {
    /// Takes answers of at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { data: Vec::new(), bytes_max, end: None }
    }

    /// The next piece; `resource_exhausted` beyond the bound.
    pub fn push(&mut self, chunk: v1::AnswerChunk) -> Result<(), StatusError> {
        if self.end.is_some() {
            return Err(torn("a piece came after the end"));
        }
        if self.data.len() + chunk.data.len() > self.bytes_max {
            return Err(StatusError::resource_exhausted(format!(
                "a partial answer is larger than {} bytes: ask for a shorter time or fewer series",
                self.bytes_max
            )));
        }
        self.data.extend_from_slice(chunk.data.chunk());
        self.end = chunk.end;
        Ok(())
    }

    /// The answer, if all of it has come; `unavailable` if not.
    pub fn finish(self) -> Result<PartialAnswer, StatusError> {
        let end = self.end.ok_or_else(|| torn("it ended without an end mark"))?;
        if end.bytes != self.data.len() as u64 {
            return Err(torn("pieces are missing"));
        }
        let result = v1::PartialResult::decode(Bytes::from(self.data))
            .map_err(|error| StatusError::internal(format!("a partial answer does not decode: {error}")))?;
        Ok(PartialAnswer { result: result.try_into()?, stats: end.stats.unwrap_or_default().into() })
    }
}

fn torn(what: &str) -> StatusError {
    StatusError::new(ErrorCode::Unavailable, format!("a partial answer was cut off: {what}"))
}

impl From<PartialResult> for v1::PartialResult {
    fn from(result: PartialResult) -> Self {
        let result = match result {
            PartialResult::Strings(strings) => {
                kind::Result::Strings(kind::Strings { strings: strings.into_iter().collect() })
            }
            PartialResult::LabelSets(sets) => {
                kind::Result::LabelSets(kind::LabelSets { sets: sets.iter().map(v1::LabelSet::from).collect() })
            }
            PartialResult::Tree(tree) => kind::Result::Tree(tree.encode().into()),
            PartialResult::Pprof(pprof) => kind::Result::Pprof(pprof.into()),
            PartialResult::TimeSeries(series) => kind::Result::TimeSeries(kind::TimeSeriesList {
                series: series.into_iter().map(v1::TimeSeries::from).collect(),
            }),
            PartialResult::FunctionSeries(series) => kind::Result::FunctionSeries(series.into()),
            PartialResult::Functions(index) => kind::Result::Functions(index.into()),
            PartialResult::Heatmap(groups) => {
                kind::Result::Heatmap(kind::Heatmap { groups: groups.into_iter().map(v1::HeatmapDots::from).collect() })
            }
            PartialResult::TimeSpan(span) => kind::Result::TimeSpan(kind::TimeSpan {
                min_ns: span.map(|span| span.min.0),
                max_ns: span.map(|span| span.max.0),
            }),
        };
        Self { result: Some(result) }
    }
}

impl TryFrom<v1::PartialResult> for PartialResult {
    type Error = StatusError;

    fn try_from(result: v1::PartialResult) -> Result<Self, StatusError> {
        let Some(result) = result.result else {
            return Err(StatusError::internal("a partial answer of a kind that this version does not know"));
        };
        Ok(match result {
            kind::Result::Strings(strings) => Self::Strings(strings.strings.into_iter().collect()),
            kind::Result::LabelSets(sets) => Self::LabelSets(sets.sets.iter().map(Labels::from).collect()),
            kind::Result::Tree(bytes) => {
                Self::Tree(Tree::decode(&bytes).map_err(|error| StatusError::internal(error.to_string()))?)
            }
            kind::Result::Pprof(bytes) => Self::Pprof(bytes.into()),
            kind::Result::TimeSeries(list) => {
                Self::TimeSeries(list.series.into_iter().map(PartialTimeSeries::try_from).collect::<Result<_, _>>()?)
            }
            kind::Result::FunctionSeries(series) => Self::FunctionSeries(series.try_into()?),
            kind::Result::Functions(index) => Self::Functions(index.into()),
            kind::Result::Heatmap(list) => {
                Self::Heatmap(list.groups.into_iter().map(HeatmapDots::try_from).collect::<Result<_, _>>()?)
            }
            kind::Result::TimeSpan(kind::TimeSpan { min_ns, max_ns }) => Self::TimeSpan(
                min_ns.zip(max_ns).map(|(min, max)| TimeSpan { min: TimestampNs(min), max: TimestampNs(max) }),
            ),
        })
    }
}

impl From<PartialTimeSeries> for v1::TimeSeries {
    fn from(series: PartialTimeSeries) -> Self {
        let value = |value: Option<String>| v1::time_series::Value { value };
        Self {
            group: series.group.into_iter().map(value).collect(),
            points: series.points.into_iter().map(v1::Point::from).collect(),
        }
    }
}

impl TryFrom<v1::TimeSeries> for PartialTimeSeries {
    type Error = StatusError;

    fn try_from(series: v1::TimeSeries) -> Result<Self, StatusError> {
        Ok(Self {
            group: series.group.into_iter().map(|value| value.value).collect(),
            points: series.points.into_iter().map(PartialPoint::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<PartialPoint> for v1::Point {
    fn from(point: PartialPoint) -> Self {
        let exemplar = |exemplar: PartialExemplar| v1::Exemplar {
            timestamp_ms: exemplar.timestamp.0,
            profile_id: exemplar.profile_id.0.to_vec().into(),
            value: exemplar.value,
            labels: Some((&exemplar.labels).into()),
        };
        Self {
            timestamp_ms: point.timestamp.0,
            sum: point.sum,
            profiles: point.profiles,
            exemplars: point.exemplars.into_iter().map(exemplar).collect(),
            annotations: point.annotations.iter().map(v1::Label::from).collect(),
        }
    }
}

impl TryFrom<v1::Point> for PartialPoint {
    type Error = StatusError;

    fn try_from(point: v1::Point) -> Result<Self, StatusError> {
        let exemplar = |exemplar: v1::Exemplar| -> Result<PartialExemplar, StatusError> {
            Ok(PartialExemplar {
                timestamp: TimestampMs(exemplar.timestamp_ms),
                profile_id: ProfileId(bytes16(&exemplar.profile_id)?),
                value: exemplar.value,
                labels: (&exemplar.labels.unwrap_or_default()).into(),
            })
        };
        Ok(Self {
            timestamp: TimestampMs(point.timestamp_ms),
            sum: point.sum,
            profiles: point.profiles,
            exemplars: point.exemplars.into_iter().map(exemplar).collect::<Result<_, _>>()?,
            annotations: point.annotations.into_iter().map(Label::from).collect(),
        })
    }
}

impl From<&Label> for v1::Label {
    fn from(label: &Label) -> Self {
        Self { name: label.name.as_ref().to_owned(), value: label.value.as_ref().to_owned() }
    }
}

impl From<v1::Label> for Label {
    fn from(label: v1::Label) -> Self {
        Self { name: label.name.into(), value: label.value.into() }
    }
}

impl From<&Labels> for v1::LabelSet {
    fn from(labels: &Labels) -> Self {
        Self { labels: labels.iter().map(v1::Label::from).collect() }
    }
}

impl From<&v1::LabelSet> for Labels {
    fn from(set: &v1::LabelSet) -> Self {
        Self::from_pairs(set.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())))
    }
}

impl From<QueryStats> for v1::QueryStats {
    fn from(stats: QueryStats) -> Self {
        Self {
            samples: stats.samples,
            profiles: stats.profiles,
            set_aside: stats.set_aside,
            ring_epoch: stats.ring_epoch,
        }
    }
}

impl From<v1::QueryStats> for QueryStats {
    fn from(stats: v1::QueryStats) -> Self {
        Self {
            samples: stats.samples,
            profiles: stats.profiles,
            set_aside: stats.set_aside,
            ring_epoch: stats.ring_epoch,
        }
    }
}
