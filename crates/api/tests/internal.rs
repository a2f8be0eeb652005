//! What roles say to each other survives the wire, whole or in pieces.
#![allow(missing_docs)]

use std::collections::BTreeSet;

use flamelake_api::flamelake::{ingester, query};
use flamelake_api::roles::{IngesterQuery, Watermark};
use flamelake_api::{AnswerAssembler, answer_chunks};
use flamelake_model::function_index::{FunctionIndex, FunctionIndexQuery, FunctionPlace};
use flamelake_model::function_series::{
    FunctionMatch, FunctionPoint, FunctionRegex, FunctionSeries, FunctionSeriesQuery, FunctionTotals,
    PartialFunctionSeries, TotalPoint,
};
use flamelake_model::heatmap::{Dot, DotKey, DotKind, HeatmapDots, HeatmapQuery};
use flamelake_model::query::{
    ExemplarKind, GoPgo, PartialAnswer, PartialExemplar, PartialPoint, PartialQuery, PartialResult, PartialTimeSeries,
    QueryStats, SampleFilter, Selection, TimeSeriesQuery, TimeSpan,
};
use flamelake_model::selector::Selector;
use flamelake_model::tree::Tree;
use flamelake_model::{ErrorCode, Labels, ProfileId, ProfileType, TenantId, TimeRange, TimestampMs, TimestampNs};
use prost::Message as _;

fn selection() -> Selection {
    Selection {
        profile_type: Some(ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap()),
        selector: Selector::parse(r#"{a="b", c!="d", e=~"f.*", g!~"h|i"}"#).unwrap(),
        range: TimeRange::new(TimestampMs(-5), TimestampMs(7)).unwrap(),
    }
}

fn filter() -> SampleFilter {
    SampleFilter {
        profile_ids: vec![ProfileId([7; 16])],
        span_ids: vec![1, u64::MAX],
        trace_ids: vec![[9; 16]],
        call_site: vec!["main".to_owned(), "work".to_owned()],
    }
}

fn functions(functions: FunctionMatch) -> PartialQuery {
    PartialQuery::FunctionSeries(FunctionSeriesQuery {
        selection: selection(),
        filter: filter(),
        functions,
        group_by: vec!["pod".to_owned()],
        step_ms: 15_000,
    })
}

fn questions() -> Vec<PartialQuery> {
    vec![
        PartialQuery::LabelNames(Selection { profile_type: None, ..selection() }),
        PartialQuery::LabelValues { selection: selection(), name: "pod".to_owned() },
        PartialQuery::Series { selection: selection(), label_names: vec!["a".to_owned()] },
        PartialQuery::Tree { selection: selection(), filter: filter() },
        PartialQuery::Pprof {
            selection: selection(),
            filter: SampleFilter::default(),
            go_pgo: Some(GoPgo { keep_locations: 5, aggregate_callees: true }),
        },
        PartialQuery::Pprof { selection: selection(), filter: filter(), go_pgo: None },
        PartialQuery::TimeSeries(TimeSeriesQuery {
            selection: selection(),
            filter: filter(),
            group_by: vec!["pod".to_owned()],
            step_ms: 15_000,
            exemplars: ExemplarKind::Individual,
        }),
        functions(FunctionMatch::All),
        functions(FunctionMatch::Names(BTreeSet::new())),
        functions(FunctionMatch::Names(BTreeSet::from(["a.b".to_owned(), "main".to_owned()]))),
        functions(FunctionMatch::Regex(FunctionRegex::new("a|b.*").unwrap())),
        PartialQuery::Functions(FunctionIndexQuery {
            selection: Selection { profile_type: None, ..selection() },
            functions: FunctionRegex::containing("a.b").unwrap(),
            limit: 7,
        }),
        PartialQuery::Heatmap(HeatmapQuery {
            selection: selection(),
            group_by: vec!["pod".to_owned()],
            step_ms: 15_000,
            kind: DotKind::Span,
            labels: true,
        }),
        PartialQuery::TimeSpan(Selection { profile_type: None, ..selection() }),
    ]
}

#[test]
fn questions_survive() {
    for query in questions() {
        let request = IngesterQuery {
            tenant: TenantId::parse("t").unwrap(),
            catalog_version: 12,
            watermarks: vec![Watermark { log: "one/X".to_owned(), through: 3 }],
            query,
        };
        let bytes = ingester::v1::QueryRequest::from(&request).encode_to_vec();
        let read: IngesterQuery = ingester::v1::QueryRequest::decode(&bytes[..]).unwrap().try_into().unwrap();
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
    }
}

fn results() -> Vec<PartialResult> {
    let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
    let mut tree = Tree::default();
    tree.add(["main", "work"], -3);
    let point = PartialPoint {
        timestamp: TimestampMs(1),
        sum: -4,
        profiles: 2,
        exemplars: vec![PartialExemplar {
            timestamp: TimestampMs(2),
            profile_id: ProfileId([3; 16]),
            value: 9,
            labels: labels.clone(),
        }],
        annotations: labels.iter().cloned().collect(),
    };
    let series =
        PartialTimeSeries { group: vec![Some(String::new()), None, Some("x".to_owned())], points: vec![point] };
    vec![
        PartialResult::Strings(BTreeSet::from(["a".to_owned(), "b".to_owned()])),
        PartialResult::LabelSets(BTreeSet::from([labels])),
        PartialResult::Tree(tree),
        PartialResult::Pprof((0..3_000_000u32).map(|at| at as u8).collect()),
        PartialResult::Pprof(Vec::new()),
        PartialResult::TimeSeries(vec![series]),
        PartialResult::FunctionSeries(function_series()),
        PartialResult::Functions(function_index()),
        PartialResult::Heatmap(vec![dots(true), dots(false)]),
        PartialResult::TimeSpan(None),
        PartialResult::TimeSpan(Some(TimeSpan { min: TimestampNs(-1), max: TimestampNs(1) })),
    ]
}

fn function_index() -> FunctionIndex {
    let mut index = FunctionIndex::new(2);
    for (name, service, at) in [("main", "shop", -1), ("main", "bank", 2), ("a", "shop", 3), ("z", "shop", 3)] {
        let place = FunctionPlace {
            profile_types: BTreeSet::from(["a:b:c:d:e".to_owned()]),
            files: BTreeSet::from(["main.go".to_owned()]),
            first: TimestampNs(at),
            last: TimestampNs(at + 1),
        };
        index.add(name, service, place);
    }
    index
}

fn function_series() -> FunctionSeries {
    let point = |(at, self_value, total)| FunctionPoint { timestamp: TimestampMs(at), self_value, total };
    let group = vec![None, Some("p".to_owned())];
    let points = [(i64::MIN, 1, i64::MIN), (-1, 0, 3), (i64::MAX, 2, 2)].map(point).to_vec();
    let total = |point: &FunctionPoint| TotalPoint { timestamp: point.timestamp, value: point.total };
    FunctionSeries {
        totals: vec![FunctionTotals { group: group.clone(), points: points.iter().map(total).collect() }],
        functions: vec![PartialFunctionSeries { group, function: "main".to_owned(), points }],
    }
}

#[test]
fn columns_of_functions_must_fit_each_other() {
    use query::v1::partial_result;
    let good = partial_result::FunctionSeries::from(function_series());
    let changes: [fn(&mut partial_result::FunctionSeries); 5] = [
        |series| series.functions[0].self_values.truncate(1),
        |series| series.functions[0].totals.push(1),
        |series| series.functions[0].timestamps_ms[1] = 0,
        |series| series.totals[0].totals.truncate(1),
        |series| series.totals[0] = query::v1::FunctionPoints::default(),
    ];
    for change in changes {
        let mut series = good.clone();
        change(&mut series);
        assert_eq!(FunctionSeries::try_from(series).unwrap_err().code, ErrorCode::Internal);
    }
}

fn dots(profiles: bool) -> HeatmapDots {
    let dot = |number: u8| Dot {
        key: DotKey {
            time: TimestampNs(number.into()),
            profile_id: ProfileId([if profiles { number } else { 0 }; 16]),
            span_id: if profiles { 0 } else { number.into() },
            trace_id: [if profiles { 0 } else { number / 2 }; 16],
        },
        value: -i64::from(number),
        labels: if profiles { Labels::from_pairs([("pod", (number % 2).to_string())]) } else { Labels::default() },
    };
    HeatmapDots { group: vec![None, Some("p".to_owned())], dots: (1..5).map(dot).collect() }
}

#[test]
fn columns_of_dots_must_fit_each_other() {
    let good = query::v1::HeatmapDots::from(dots(true));
    let changes: [fn(&mut query::v1::HeatmapDots); 6] = [
        |columns| columns.times_ns.push(1),
        |columns| columns.values.clear(),
        |columns| columns.profile_ids = columns.profile_ids.slice(1..),
        |columns| columns.span_ids = vec![1],
        |columns| columns.labels[0] = 9,
        |columns| *columns = query::v1::HeatmapDots::default(),
    ];
    for change in changes {
        let mut columns = good.clone();
        change(&mut columns);
        assert_eq!(HeatmapDots::try_from(columns).unwrap_err().code, ErrorCode::Internal);
    }
}

fn answer(result: PartialResult) -> PartialAnswer {
    PartialAnswer {
        result,
        stats: QueryStats { samples: 1, profiles: 2, set_aside: vec!["X: cut".to_owned()], ring_epoch: 7 },
    }
}

/// For comparison: trees by their nodes, everything else as it is.
fn text(answer: &PartialAnswer) -> String {
    match &answer.result {
        PartialResult::Tree(tree) => format!("{:?} {:?}", tree.encode(), answer.stats),
        _ => format!("{answer:?}"),
    }
}

#[test]
fn answers_survive_in_pieces() {
    for result in results() {
        let sent = answer(result);
        let mut assembler = AnswerAssembler::new(16 << 20);
        for chunk in answer_chunks(sent.clone()) {
            assert!(chunk.encoded_len() < 2 << 20);
            assembler.push(chunk).unwrap();
        }
        assert_eq!(text(&assembler.finish().unwrap()), text(&sent));
    }
}

#[test]
fn an_answer_counts_only_whole() {
    let chunks: Vec<_> = answer_chunks(answer(results().remove(3))).collect();
    assert_eq!(chunks.len(), 3);
    for missing in 0..3 {
        let mut assembler = AnswerAssembler::new(16 << 20);
        let mut kept = chunks.clone();
        kept.remove(missing);
        kept.into_iter().for_each(|chunk| assembler.push(chunk).unwrap());
        assert_eq!(assembler.finish().unwrap_err().code, ErrorCode::Unavailable);
    }
    let mut small = AnswerAssembler::new(2 << 20);
    let error = chunks.into_iter().find_map(|chunk| small.push(chunk).err()).unwrap();
    assert_eq!(error.code, ErrorCode::ResourceExhausted);
}

#[test]
fn malformed_questions_are_refused() {
    let good = query::v1::PartialQuery::from(&questions()[3]);
    let refused = |change: fn(&mut query::v1::PartialQuery)| {
        let mut bad = good.clone();
        change(&mut bad);
        PartialQuery::try_from(bad).unwrap_err().code
    };
    let codes = [
        refused(|bad| bad.selection = None),
        refused(|bad| bad.question = None),
        refused(|bad| bad.filter.as_mut().unwrap().trace_ids[0].truncate(3)),
        refused(|bad| bad.selection.as_mut().unwrap().matchers[0].op = 77),
        refused(|bad| bad.selection.as_mut().unwrap().matchers[2].value = "(".to_owned()),
        refused(|bad| bad.selection.as_mut().unwrap().end_ms = -100),
        refused(|bad| bad.selection.as_mut().unwrap().profile_type = "a:b".to_owned()),
    ];
    assert_eq!(codes, [ErrorCode::InvalidArgument; 7]);
}
