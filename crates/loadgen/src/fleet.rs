//! The load: four series shapes of two services, each pod a profile every 15 s, ending now.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use flamelake_api::push::v1::{PushRequest, RawProfileSeries, RawSample};
use flamelake_api::types::v1::LabelPair;
use flamelake_testkit::ProfileBuilder;
use flamelake_testkit::profile::{at_time, gunzip, gzip};
use prost::Message as _;

/// Pods of a shape at most.
const PODS_MAX: usize = 100;
/// Each pod sends this often.
const INTERVAL_NS: i64 = 15_000_000_000;

/// Profiles of one kind of one service.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Corpus file without `.pb.gz`.
    file: &'static str,
    /// Profiles at scale 1.
    profiles: usize,
    service: &'static str,
    name: &'static str,
}

const SHAPES: [Shape; 4] = [
    Shape { file: "go-cpu-small", profiles: 2000, service: "checkout", name: "process_cpu" },
    Shape { file: "go-heap-medium", profiles: 200, service: "checkout", name: "memory" },
    Shape { file: "java-cpu", profiles: 400, service: "billing", name: "process_cpu" },
    Shape { file: "go-heap-small", profiles: 200, service: "billing", name: "memory" },
];

impl Shape {
    fn pods(&self, scale: usize) -> usize {
        (self.profiles * scale / 4).clamp(1, PODS_MAX)
    }
}

/// Encoded requests in the order they are pushed.
#[derive(Debug)]
pub(crate) struct Requests(Vec<Vec<u8>>);

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(crate) fn into_vec(self) -> Vec<Vec<u8>> {
        self.0
    }
}

/// Nanoseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "a tool outside of the server")]
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The range that holds everything, in milliseconds.
pub(crate) fn range_ms(scale: usize, now_ns: i64) -> (i64, i64) {
    let rounds = SHAPES.iter().map(|shape| (shape.profiles * scale).div_ceil(shape.pods(scale))).max().unwrap_or(1);
    ((now_ns - (rounds as i64 + 1) * INTERVAL_NS) / 1_000_000, now_ns / 1_000_000)
}

/// A pod that exists.
pub(crate) const POD: &str = "checkout-process-cpu-0";

/// All requests of a load, by time. Zipping them takes a while and is not part of what is measured.
pub(crate) fn requests(scale: usize, now_ns: i64) -> anyhow::Result<Requests> {
    let mut jobs = Vec::new();
    for shape in SHAPES {
        let plain = Arc::new(profile(shape));
        let (pods, count) = (shape.pods(scale), shape.profiles * scale);
        let rounds = count.div_ceil(pods);
        for at in 0..count {
            let (pod, round) = (at % pods, at / pods);
            // Pods do not send in the same nanosecond.
            let time_ns = now_ns - (rounds - round) as i64 * INTERVAL_NS + pod as i64 * 1_000_003;
            jobs.push((time_ns, shape, pod, Arc::clone(&plain)));
        }
    }
    jobs.sort_by_key(|(time_ns, ..)| *time_ns);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let encoded: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let chunks = jobs.chunks(jobs.len().div_ceil(threads).max(1));
        let workers: Vec<_> = chunks
            .map(|chunk| {
                scope.spawn(move || chunk.iter().map(|(t, s, p, plain)| encode(s, *p, *t, plain)).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a thread that zips profiles panicked"))
            .collect::<anyhow::Result<Vec<_>>>()
    })?
    .concat();
    Ok(Requests(encoded))
}

fn encode(shape: &Shape, pod: usize, time_ns: i64, plain: &[u8]) -> Vec<u8> {
    let kind = shape.name.replace('_', "-");
    let labels = [
        ("__name__", shape.name.to_owned()),
        ("service_name", shape.service.to_owned()),
        ("pod", format!("{}-{kind}-{pod}", shape.service)),
        ("namespace", "shop".to_owned()),
        ("region", if pod.is_multiple_of(2) { "eu" } else { "us" }.to_owned()),
        ("version", "1.2.3".to_owned()),
    ];
    let labels = labels.into_iter().map(|(name, value)| LabelPair { name: name.to_owned(), value }).collect();
    let raw_profile = gzip(&at_time(plain, time_ns), 1).into();
    let samples = vec![RawSample { raw_profile, id: String::new() }];
    PushRequest { series: vec![RawProfileSeries { labels, samples, annotations: Vec::new() }] }.encode_to_vec()
}

/// From the corpus, else one of about the same size made up.
fn profile(shape: Shape) -> Vec<u8> {
    match flamelake_testkit::shared_file(shape.file, &format!("corpus/pprof/{}.pb.gz", shape.file)) {
        Some(bytes) => gunzip(&bytes),
        None => synthetic(shape.name == "memory"),
    }
}

/// A tree of 12 levels with shared prefixes; about what a busy service shows.
fn synthetic(heap: bool) -> Vec<u8> {
    let (builder, columns, stacks) =
        if heap { (ProfileBuilder::heap(), 4, 2000) } else { (ProfileBuilder::cpu(), 1, 600) };
    (0..stacks)
        .fold(builder, |builder, number: u64| {
            let frames: Vec<String> =
                (0..12).map(|depth| format!("pkg/level{depth}.function{}", number >> (11 - depth).min(10))).collect();
            builder.stack(&frames.join(";"), &vec![1 + (number % 97) as i64; columns])
        })
        .plain()
}
