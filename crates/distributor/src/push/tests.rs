//! Pushes against an ingester that remembers its frames.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::push::v1::PushRequest;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_config::{FromText, Limits};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_pprof::frame::Frame;
use flamelake_testkit::profile::gzip;
use flamelake_testkit::{FakeClock, ProfileBuilder};
use parking_lot::Mutex;
use prometheus::Registry;

use crate::{
    Content, Distributor, DistributorConfig, DistributorDeps, Distributors, PushBatch, PushSeries, RawProfile,
};

pub(super) const NOW: i64 = 1_795_359_600_000_000_000;
const HOUR: i64 = 3_600_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Remembers what it was given; fails frames whose service is called `refuse`, or everything.
#[derive(Debug, Default)]
struct Ingester {
    frames: Mutex<Vec<Frame>>,
    down: Mutex<Option<StatusError>>,
    silent: bool,
}

#[async_trait]
impl IngesterApi for Ingester {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        if self.silent {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.down.lock().clone() {
            return Err(error);
        }
        let store = |bytes: bytes::Bytes| {
            let frame = Frame::decode(&bytes).expect("a frame that decodes");
            if frame.strings.get(frame.service_name) == "refuse" {
                return Err(StatusError::resource_exhausted("the head is full"));
            }
            self.frames.lock().push(frame);
            Ok(())
        };
        Ok(request.frames.into_iter().map(store).collect())
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("not asked here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }
}

pub(super) struct Harness {
    distributor: Arc<Distributor>,
    ingester: Arc<Ingester>,
    clock: FakeClock,
    registry: Registry,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(|_| {}, |_| {}, Ingester::default())
    }

    fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(change, |_| {}, Ingester::default())
    }

    fn with(
        change: impl FnOnce(&mut Limits),
        configure: impl FnOnce(&mut DistributorConfig),
        ingester: Ingester,
    ) -> Self {
        let (mut limits, mut config) = (Limits::default(), DistributorConfig::default());
        change(&mut limits);
        configure(&mut config);
        let (clock, registry, ingester) = (FakeClock::at_unix_nanos(NOW), Registry::new(), Arc::new(ingester));
        let deps = DistributorDeps {
            clock: clock.shared(),
            limits: Arc::new(Arc::new(limits)),
            ingester: Arc::clone(&ingester) as Arc<dyn IngesterApi>,
            distributors: Distributors::alone(),
            registry: registry.clone(),
        };
        let distributor = Distributor::new(config, deps).unwrap();
        Self { distributor, ingester, clock, registry }
    }

    pub(super) async fn push(&self, series: Vec<PushSeries>) -> Result<(), StatusError> {
        self.distributor.push(&TenantId::anonymous(), PushBatch { series }).await
    }

    pub(super) async fn push_one(&self, pprof: Vec<u8>) -> Result<(), StatusError> {
        self.push(vec![series("s", vec![pprof])]).await
    }

    /// The error of pushing one profile, without its prefix, and the reason it was counted under.
    async fn refused(&self, pprof: Vec<u8>) -> (String, String) {
        self.refused_with(&[("__name__", "process_cpu"), ("service_name", "s")], pprof).await
    }

    async fn refused_with(&self, labels: &[(&str, &str)], pprof: Vec<u8>) -> (String, String) {
        let error = self.push(vec![with_labels(labels, vec![pprof])]).await.expect_err("must be refused");
        let text = error.message.strip_prefix("push series with index 0 and id  failed: ").unwrap_or(&error.message);
        assert!(self.frames().is_empty());
        (text.to_owned(), self.discarded())
    }

    pub(super) fn frames(&self) -> Vec<Frame> {
        self.ingester.frames.lock().clone()
    }

    /// `reason=profiles`, joined by blanks.
    fn discarded(&self) -> String {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "flamelake_discarded_profiles_total");
        let metrics = family.map(|family| family.get_metric().to_vec()).unwrap_or_default();
        let one = |metric: &prometheus::proto::Metric| {
            let reason = metric.get_label().iter().find(|label| label.name() == "reason").unwrap().value().to_owned();
            format!("{reason}={}", metric.get_counter().get_value())
        };
        metrics.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn with_labels(labels: &[(&str, &str)], pprofs: Vec<Vec<u8>>) -> PushSeries {
    PushSeries {
        labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        profiles: pprofs
            .into_iter()
            .map(|p| RawProfile { content: Content::Pprof(p.into()), id: String::new() })
            .collect(),
    }
}

pub(super) fn series(service: &str, pprofs: Vec<Vec<u8>>) -> PushSeries {
    with_labels(&[("service_name", service), ("__name__", "process_cpu")], pprofs)
}

fn cpu() -> ProfileBuilder {
    ProfileBuilder::cpu().time_ns(NOW)
}

fn good() -> Vec<u8> {
    cpu().folded("main;a 1").gzip()
}

fn labels(frame: &Frame, group: usize) -> String {
    let text = |(name, value): &(u32, u32)| format!("{}={}", frame.strings.get(*name), frame.strings.get(*value));
    frame.groups[group].labels.iter().map(text).collect::<Vec<_>>().join(" ")
}

const BASE: &str = "__name__=process_cpu __period_type__=cpu __period_unit__=nanoseconds __service_name__=s";

#[tokio::test]
async fn a_profile_becomes_a_frame() {
    let harness = Harness::new();
    harness.push_one(good()).await.unwrap();
    let [frame] = harness.frames().try_into().unwrap();
    assert_eq!(labels(&frame, 0), format!("{BASE} service_name=s"));
    assert_eq!((frame.time_ns, frame.sample_values), (NOW, vec![1]));
    assert_eq!(harness.discarded(), "");
}

#[tokio::test]
async fn gzip_and_plain_are_one() {
    let harness = Harness::new();
    harness.push_one(cpu().folded("main;a 1").plain()).await.unwrap();
    harness.push_one(good()).await.unwrap();
    let [plain, zipped] = harness.frames().try_into().unwrap();
    assert_eq!(plain, zipped, "even their ids");
}

#[tokio::test]
async fn samples_are_split_by_their_labels() {
    let harness = Harness::new();
    let profile = cpu()
        .sample("main;a", &[1], |s| {
            s.label("pod", "x").number("bytes", 7);
        })
        .sample("main;b", &[2], |s| {
            s.label("service_name", "loses").span(0x0102);
        });
    harness.push_one(profile.gzip()).await.unwrap();
    let [frame] = harness.frames().try_into().unwrap();
    let mut groups: Vec<_> = (0..frame.groups.len()).map(|at| labels(&frame, at)).collect();
    groups.sort();
    assert_eq!(groups, [format!("{BASE} pod=x service_name=s"), format!("{BASE} service_name=s")]);
}

#[tokio::test]
async fn internal_labels_are_not_stored() {
    let harness = Harness::new();
    let sent = [
        ("__name__", "process_cpu"),
        ("service_name", "s"),
        ("__delta__", "false"),
        ("__order__", "x"),
        ("__session_id__", "0b00000000000000"),
    ];
    harness.push(vec![with_labels(&sent, vec![good()])]).await.unwrap();
    assert_eq!(labels(&harness.frames()[0], 0), format!("{BASE} service_name=s"));
}

#[tokio::test]
async fn a_missing_service_name_is_set() {
    let harness = Harness::new();
    harness.push(vec![with_labels(&[("__name__", "cpu"), ("service_name", "")], vec![good()])]).await.unwrap();
    let frame = &harness.frames()[0];
    assert_eq!(frame.strings.get(frame.service_name), "unknown_service");
}

#[tokio::test]
async fn a_profile_without_samples_is_a_success_that_stores_nothing() {
    let harness = Harness::new();
    harness.push_one(cpu().folded("main;a 0\nmain;b -1").gzip()).await.unwrap();
    harness.push_one(cpu().gzip()).await.unwrap();
    assert!(harness.frames().is_empty());
    assert_eq!(harness.discarded(), "");
}

#[tokio::test]
async fn nothing_at_all_is_refused() {
    for empty in [vec![], vec![series("s", vec![])]] {
        let error = Harness::new().push(empty).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidArgument, "no profiles received"));
    }
}

#[tokio::test]
async fn good_profiles_are_stored_beside_bad_ones() {
    let harness = Harness::new();
    let bad = vec![0xff];
    let error = harness
        .push(vec![series("a", vec![good(), bad.clone()]), series("refuse", vec![good()]), series("b", vec![good()])])
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "of the first");
    assert!(error.message.starts_with("2 errors: push series with index 0 and id  failed: "), "{error}");
    assert!(error.message.ends_with("; push series with index 1 and id  failed: the head is full"), "{error}");
    assert_eq!(harness.frames().len(), 2);
    assert_eq!(harness.discarded(), "malformed_profile=1", "what a retry may cure is not discarded");
}

#[tokio::test]
async fn failures_of_storage_keep_their_code() {
    let harness = Harness::new();
    *harness.ingester.down.lock() = Some(StatusError::unavailable("the log is sealed"));
    let error = harness.push_one(good()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(error.message, "push series with index 0 and id  failed: the log is sealed");
}

#[tokio::test]
async fn an_ingester_that_does_not_answer_is_not_waited_for_for_ever() {
    let silent = Ingester { silent: true, ..Ingester::default() };
    let harness = Arc::new(Harness::with(|_| {}, |_| {}, silent));
    let push = tokio::spawn({
        let harness = Arc::clone(&harness);
        async move { harness.push_one(good()).await }
    });
    harness.clock.until_sleepers(1).await;
    harness.clock.advance(Duration::from_secs(5));
    assert_eq!(push.await.unwrap().unwrap_err().code, ErrorCode::DeadlineExceeded);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_malformed() {
    let whole = good();
    for bytes in [b"no pprof".to_vec(), vec![0xff; 10], whole[..whole.len() / 2].to_vec(), gzip(&[0xff; 50], 1)] {
        let harness = Harness::new();
        let error = harness.push_one(bytes).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert_eq!(harness.discarded(), "malformed_profile=1", "{error}");
    }
}

#[tokio::test]
async fn both_ends_of_the_window_are_outside() {
    for (time_ns, inside) in [
        (NOW - HOUR, false),
        (NOW - HOUR + 1, true),
        (NOW + 10 * MINUTE - 1, true),
        (NOW + 10 * MINUTE, false),
        (0, true),
        (-5, true),
    ] {
        let harness = Harness::new();
        let answer = harness.push_one(cpu().folded("main 1").time_ns(time_ns).gzip()).await;
        assert_eq!(answer.is_ok(), inside, "{time_ns}: {answer:?}");
        if inside {
            assert_eq!(harness.frames()[0].time_ns, if time_ns > 0 { time_ns } else { NOW });
        } else {
            assert_eq!(harness.discarded(), "not_in_ingestion_window=1");
        }
    }
}

#[tokio::test]
async fn a_window_can_be_switched_off() {
    let harness = Harness::limited(|limits| limits.reject_older_than = Duration::ZERO);
    harness.push_one(cpu().folded("main 1").time_ns(1).gzip()).await.unwrap();
    assert!(harness.push_one(cpu().folded("main 1").time_ns(NOW + HOUR).gzip()).await.is_err());
}

#[tokio::test]
async fn size_of_a_profile() {
    let profile = cpu().folded("main 1").plain();
    let bytes = profile.len();
    let fits = Harness::limited(|limits| limits.max_profile_size_bytes = bytes);
    fits.push_one(gzip(&profile, 1)).await.unwrap();
    fits.push_one(profile.clone()).await.unwrap();
    for pprof in [gzip(&profile, 1), profile.clone()] {
        let (_, counted) = Harness::limited(|limits| limits.max_profile_size_bytes = bytes - 1).refused(pprof).await;
        assert_eq!(counted, "profile_size_limit=1");
    }
    Harness::limited(|limits| limits.max_profile_size_bytes = 0).push_one(gzip(&profile, 1)).await.unwrap();
}

#[tokio::test]
async fn a_gzip_bomb_is_cut_off() {
    let (_, counted) = Harness::new().refused(gzip(&vec![0; 32 << 20], 9)).await;
    assert_eq!(counted, "profile_size_limit=1");
}

#[tokio::test]
async fn profiles_that_are_too_large_together_are_refused_together() {
    let harness = Harness::limited(|limits| {
        limits.ingestion_body_limit_mb = 1.0;
        limits.ingestion_rate_mb = 0.0;
    });
    let big = |fill: &str| cpu().folded("main 1").extra_string(&fill.repeat(600 << 10)).gzip();
    let limits = |limits: &mut Limits| {
        limits.ingestion_body_limit_mb = 1.0;
        limits.ingestion_rate_mb = 0.0;
    };
    let error = harness.push(vec![series("a", vec![big("x")]), series("b", vec![big("y")])]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert!(harness.frames().is_empty());
    assert_eq!(harness.discarded(), "body_size_limit_exceeded=2");
    Harness::limited(limits).push_one(big("x")).await.unwrap();
}

#[tokio::test]
async fn number_of_samples() {
    let two = || cpu().folded("a 1\nb 1").gzip();
    Harness::limited(|limits| limits.max_profile_stacktrace_samples = 2).push_one(two()).await.unwrap();
    Harness::limited(|limits| limits.max_profile_stacktrace_samples = 0).push_one(two()).await.unwrap();
    let (_, counted) = Harness::limited(|limits| limits.max_profile_stacktrace_samples = 1).refused(two()).await;
    assert_eq!(counted, "samples_limit=1");
}

#[tokio::test]
async fn labels_of_a_sample_count_numbers_too() {
    let two = || {
        let labelled = cpu().sample("a", &[1], |s| {
            s.label("k", "v").number("n", 1);
        });
        labelled.gzip()
    };
    Harness::limited(|limits| limits.max_profile_stacktrace_sample_labels = 2).push_one(two()).await.unwrap();
    let (_, counted) = Harness::limited(|limits| limits.max_profile_stacktrace_sample_labels = 1).refused(two()).await;
    assert_eq!(counted, "sample_labels_limit=1");
}

#[tokio::test]
async fn deep_stacks_lose_their_leaves() {
    let stack: Vec<String> = (0..1001).map(|depth| format!("f{depth}")).collect();
    let harness = Harness::new();
    harness.push_one(cpu().stack(&stack.join(";"), &[1]).gzip()).await.unwrap();
    let frame = &harness.frames()[0];
    let names: Vec<&str> = frame
        .stack(0)
        .iter()
        .flat_map(|at| frame.location_lines(&frame.locations[*at as usize]))
        .map(|line| frame.strings.get(frame.functions[line.function as usize].name))
        .collect();
    assert_eq!((names.len(), names[0], names[999]), (1000, "f999", "f0"));
}

#[tokio::test]
async fn profiles_that_contradict_themselves_are_malformed() {
    for (what, pprof) in [
        ("two values, one type", cpu().stack("a", &[1, 2]).gzip()),
        ("a dash in a type", ProfileBuilder::new(&[("a-b", "count")]).stack("a", &[1]).time_ns(NOW).gzip()),
        ("no type", ProfileBuilder::new(&[]).time_ns(NOW).gzip()),
    ] {
        let (_, counted) = Harness::new().refused(pprof).await;
        assert_eq!(counted, "malformed_profile=1", "{what}");
    }
}

#[tokio::test]
async fn labels_are_checked_with_those_of_samples() {
    let labels = [("__name__", "process_cpu"), ("service_name", "s"), ("a", "1")];
    let profile = || {
        let labelled = cpu().stack("a", &[1]).sample("b", &[1], |s| {
            s.label("b", "2").label("span_id", "0102030405060708");
        });
        labelled.gzip()
    };
    let harness = Harness::limited(|limits| limits.max_label_names_per_series = 4);
    harness.push(vec![with_labels(&labels, vec![profile()])]).await.unwrap();
    let (text, counted) =
        Harness::limited(|limits| limits.max_label_names_per_series = 3).refused_with(&labels, profile()).await;
    assert_eq!(counted, "max_label_names_per_series=1");
    let shown = r#"{__name__="process_cpu", a="1", b="2", service_name="s"}"#;
    assert_eq!(text, format!("profile series '{shown}' has 4 label names; limit 3"));
}

#[tokio::test]
async fn labels_that_are_not_stored_count_too() {
    let labels = [("__name__", "process_cpu"), ("service_name", "s"), ("__delta__", "false")];
    let (_, counted) =
        Harness::limited(|limits| limits.max_label_names_per_series = 2).refused_with(&labels, good()).await;
    assert_eq!(counted, "max_label_names_per_series=1");
}

#[tokio::test]
async fn repeated_labels_are_refused() {
    let labels = [("__name__", "process_cpu"), ("service_name", "s"), ("a", "1"), ("a", "1")];
    let (text, counted) = Harness::new().refused_with(&labels, good()).await;
    assert_eq!(counted, "duplicate_label_names=1");
    assert!(text.ends_with("has duplicate label name: 'a'"), "{text}");
}

#[tokio::test]
async fn a_profile_needs_a_name() {
    let (text, counted) = Harness::new().refused_with(&[("service_name", "s")], good()).await;
    assert_eq!(counted, "invalid_labels=1");
    assert_eq!(text, r#"invalid labels '{service_name="s"}' with error: invalid metric name"#);
}

#[tokio::test]
async fn the_profile_is_judged_before_its_labels() {
    let old = cpu().folded("main 1").time_ns(NOW - 2 * HOUR).gzip();
    let (_, counted) = Harness::new().refused_with(&[("service_name", "s")], old).await;
    assert_eq!(counted, "not_in_ingestion_window=1");
}

#[tokio::test]
async fn the_rate_limit_refuses_until_time_has_passed() {
    let harness = Harness::limited(|limits| {
        limits.ingestion_rate_mb = 1.0;
        limits.ingestion_burst_size_mb = 1.0;
    });
    let half = || cpu().folded("main 1").extra_string(&"x".repeat(600 << 10)).gzip();
    harness.push_one(half()).await.unwrap();
    let error = harness.push_one(half()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceExhausted);
    let text = "push series with index 0 and id  failed: push rate limit (1.0 MiB) exceeded while adding 600 KiB";
    assert_eq!(error.message, text);
    assert_eq!(harness.discarded(), "rate_limited=1");
    harness.clock.advance(Duration::from_secs(1));
    harness.push_one(half()).await.unwrap();
}

#[tokio::test]
async fn the_rate_is_taken_before_the_profile_is_judged() {
    let harness = Harness::limited(|limits| {
        limits.ingestion_rate_mb = 1.0;
        limits.ingestion_burst_size_mb = 1.0;
    });
    let old = cpu().folded("main 1").extra_string(&"x".repeat(600 << 10)).time_ns(1).gzip();
    harness.push_one(old.clone()).await.unwrap_err();
    harness.push_one(old).await.unwrap_err();
    assert_eq!(harness.discarded(), "not_in_ingestion_window=1 rate_limited=1");
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let silent = Ingester { silent: true, ..Ingester::default() };
    let harness = Arc::new(Harness::with(|_| {}, |config| config.inflight_bytes_max.0 = 10, silent));
    let waiting = tokio::spawn({
        let harness = Arc::clone(&harness);
        async move { harness.push_one(good()).await }
    });
    harness.clock.until_sleepers(1).await;
    let error = harness.push_one(good()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceExhausted);
    assert!(error.message.contains("distributor.inflight-bytes-max"), "{error}");
    assert_eq!(harness.discarded(), "inflight_bytes=1");
    harness.clock.advance(Duration::from_secs(5));
    waiting.await.unwrap().unwrap_err();
    let again = tokio::spawn({
        let harness = Arc::clone(&harness);
        async move { harness.push_one(good()).await }
    });
    harness.clock.until_sleepers(1).await;
    again.abort();
}

#[tokio::test]
async fn ids_are_stable_over_retries_and_apart_within_a_request() {
    let harness = Harness::new();
    for _ in 0..2 {
        harness.push(vec![series("s", vec![good(), good()])]).await.unwrap();
    }
    harness.push(vec![series("other", vec![good()])]).await.unwrap();
    let ids: Vec<_> = harness.frames().iter().map(|frame| frame.id).collect();
    assert_eq!(ids[..2], ids[2..4]);
    assert_ne!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[4]);
}

#[tokio::test]
async fn profiles_without_a_time_get_random_ids() {
    let harness = Harness::new();
    for _ in 0..2 {
        harness.push_one(cpu().folded("main 1").time_ns(0).gzip()).await.unwrap();
    }
    let frames = harness.frames();
    assert_ne!(frames[0].id, frames[1].id);
}

#[tokio::test]
async fn the_service_version_goes_into_build_ids() {
    let harness = Harness::new();
    let labels = [("__name__", "process_cpu"), ("service_name", "s"), ("service_git_ref", "v1")];
    harness.push(vec![with_labels(&labels, vec![good()])]).await.unwrap();
    let frame = &harness.frames()[0];
    assert_eq!(frame.strings.get(frame.mappings[0].build_id), r#"{"git_ref":"v1"}"#);
    assert!(labels_contain(frame, "service_git_ref=v1"));
}

fn labels_contain(frame: &Frame, text: &str) -> bool {
    labels(frame, 0).split(' ').any(|label| label == text)
}

fn sampled(keep_stripped: bool, probability: f64) -> Harness {
    Harness::limited(|limits| {
        limits.distributor_usage_groups = FromText::from_text("{all: '{}', mine: '{service_name=\"s\"}'}").unwrap();
        let rule = format!("{{mine: {{probability: {probability}}}}}");
        let text = format!("{{usage_groups: {rule}, keep_stripped_profiles: {keep_stripped}}}");
        limits.distributor_sampling = FromText::from_text(&text).unwrap();
    })
}

#[tokio::test]
async fn sampling_drops_and_counts() {
    let harness = sampled(false, 0.0);
    harness.push_one(good()).await.unwrap();
    assert_eq!((harness.frames().len(), harness.discarded()), (0, "dropped_by_sampling_rules=1".to_owned()));
    harness.push(vec![series("other", vec![good()])]).await.unwrap();
    assert_eq!(harness.frames().len(), 1, "of another group");
    let costs = harness.distributor.metrics.costs.of(&TenantId::anonymous());
    assert_eq!((costs.len(), &costs[0].service_name[..], costs[0].profiles), (1, "other", 1));
    let families = harness.registry.gather();
    let bytes = |name: &str, group: &str| {
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let of_group =
            |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|label| label.value() == group);
        family.get_metric().iter().find(of_group).map_or(0.0, |metric| metric.get_counter().get_value())
    };
    let received = "flamelake_usage_group_received_bytes_total";
    assert!(bytes(received, "all") > bytes(received, "mine") && bytes(received, "mine") > 0.0);
    let discarded = "flamelake_usage_group_discarded_bytes_total";
    assert_eq!(bytes(discarded, "all"), bytes(received, "mine"));
}

#[tokio::test]
async fn what_sampling_drops_may_leave_its_totals() {
    let harness = sampled(true, 0.0);
    let profile = cpu().sample("main;a", &[3], |s| {
        s.label("pod", "x");
    });
    harness.push_one(profile.folded("main;b 4\nmain;c 5").gzip()).await.unwrap();
    let [frame] = harness.frames().try_into().unwrap();
    let base = "__name__=process_cpu __period_type__=cpu __period_unit__=nanoseconds";
    let expected = format!("{base} __sampled__=true __service_name__=s service_name=s");
    assert_eq!((frame.groups.len(), labels(&frame, 0)), (1, expected));
    assert_eq!(
        (frame.sample_values.clone(), frame.stack(frame.sample_stacks[0]).len(), frame.functions.len()),
        (vec![12], 0, 0)
    );
    assert_eq!(harness.discarded(), "");
}

#[tokio::test]
async fn what_sampling_keeps_says_so() {
    let harness = sampled(false, 0.999_999_999);
    let own = [("__name__", "process_cpu"), ("service_name", "s"), ("__sampled_by__", "me")];
    harness.push(vec![with_labels(&own, vec![good()]), series("other", vec![good()])]).await.unwrap();
    let by_rule = r#"__sampled_by__={"body":{"source":{"probability":0.999999999,"usageGroup":"mine"}}}"#;
    let of = |service: &str| {
        let service = format!("service_name={service}");
        harness.frames().into_iter().find(|frame| labels_contain(frame, &service)).unwrap()
    };
    assert!(labels_contain(&of("s"), by_rule), "{}", labels(&of("s"), 0));
    assert!(!labels(&of("other"), 0).contains("__sampled_by__"), "no rule is for it");
}

/// Every Push of the golden rows is answered as recorded (what is stored is checked end to end).
#[tokio::test]
async fn golden_pushes_get_their_status() {
    let Some(shared) = flamelake_testkit::shared_dir("golden_pushes_get_their_status") else { return };
    let harness = Harness::limited(|limits| {
        limits.reject_older_than = Duration::ZERO;
        limits.reject_newer_than = Duration::ZERO;
        limits.ingestion_rate_mb = 1000.0;
        limits.ingestion_burst_size_mb = 2000.0;
    });
    let mut pushed = 0;
    for scenario in std::fs::read_dir(shared.join("golden")).unwrap() {
        let Ok(rows) = std::fs::read_to_string(scenario.unwrap().path().join("pushes.jsonl")) else { continue };
        for row in rows.lines() {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            let Some(request) = row.get("request") else { continue };
            let request: PushRequest = serde_json::from_value(request.clone()).unwrap();
            let answer = harness.distributor.push(&TenantId::anonymous(), request.into()).await;
            let status = match &answer {
                Ok(()) => 200,
                Err(error) if error.code == ErrorCode::InvalidArgument => 400,
                Err(error) if error.code == ErrorCode::ResourceExhausted => 429,
                Err(_) => 500,
            };
            let accepted = row["accept_status"].as_array().cloned().unwrap_or_default();
            assert!(row["status"] == status || accepted.iter().any(|a| *a == status), "{answer:?}: {}", row["status"]);
            pushed += 1;
        }
    }
    assert!(pushed > 50);
}

#[tokio::test]
async fn profiles_of_the_corpus_pass() {
    let Some(shared) = flamelake_testkit::shared_dir("profiles_of_the_corpus_pass") else { return };
    let harness = Harness::limited(|limits| {
        limits.reject_older_than = Duration::ZERO;
        limits.ingestion_rate_mb = 0.0;
        limits.max_profile_stacktrace_samples = 0;
    });
    let mut pushed = 0;
    for entry in std::fs::read_dir(shared.join("corpus/pprof")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".pb.gz") {
            continue;
        }
        let answer = harness.push_one(std::fs::read(&path).unwrap()).await;
        let bad = ["invalid_utf8.pb.gz", "dotnet-pprof-3.pb.gz"].contains(&name.as_str());
        assert_eq!(answer.is_err(), bad, "{name}: {answer:?}");
        pushed += 1;
    }
    assert!(pushed > 20);
}
