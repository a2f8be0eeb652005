//! Random partitions, and rows as text so that what was written and what was read can be compared.

use std::sync::Arc;

use bytes::Bytes;
use flamelake_block::meta::Ulid;
use flamelake_block::reader::{BlockReader, ReadError, SampleBatch, SampleColumns, SymbolDetail};
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, FinishedBlock, block_folder, write_block};
use flamelake_model::{Labels, ProfileId, TenantId, TimestampNs};
use flamelake_object_storage::Bucket;
use flamelake_pprof::frame::Mapping;
use flamelake_symbols::{SymbolSource, SymbolTable};
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub(crate) const ULID: Ulid = Ulid(0x0198_0000_0000_0000_0000_0000_0000_0001);

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("team-a").unwrap()
}

/// How much to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) series: usize,
    pub(crate) profiles: usize,
    pub(crate) samples: usize,
    pub(crate) spans: bool,
}

/// A partition from a seed; its series have up to `shape.profiles` profiles of up to `shape.samples` samples.
pub(crate) fn partition(service: &str, seed: u64, shape: Shape) -> PartitionRows {
    let mut random = StdRng::seed_from_u64(seed);
    let (symbols, stacks) = symbols(service, &mut random);
    let series = (0..shape.series).map(|number| series(service, number, &stacks, shape, &mut random)).collect();
    PartitionRows { service_name: service.to_owned(), symbols, series }
}

/// Symbols of every kind, and the stacks of one frame (the empty one among them).
fn symbols(service: &str, random: &mut StdRng) -> (Arc<dyn SymbolSource>, Vec<u32>) {
    let mut frame = FrameBuilder::cpu(service).group(&[]);
    for number in 0..random.random_range(1..120) {
        let depth = random.random_range(1..12);
        let stack: Vec<String> =
            (0..depth).map(|level| format!("f{}", level * 3 + random.random_range(0..5_u32))).collect();
        frame = frame.stack(&format!("main;{};leaf{number}", stack.join(";")), &[1]);
    }
    let mut frame = frame.build();
    let build_id = frame.strings.push("build-1");
    let mangled = frame.strings.push("_Zmangled");
    frame.mappings.push(Mapping {
        memory_start: 0x1000,
        memory_limit: u64::MAX,
        file_offset: 7,
        filename: build_id,
        build_id,
        has_functions: false,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
    });
    for function in frame.functions.iter_mut().step_by(4) {
        (function.system_name, function.start_line) = (mangled, -1);
    }
    let lines = frame.lines.len() as u32;
    for (at, location) in frame.locations.iter_mut().enumerate() {
        match at % 5 {
            // Two inlined frames, none, an address of another mapping.
            1 if location.lines_end < lines => location.lines_end += 1,
            2 => (location.lines_end, location.address) = (location.lines_start, 0xffff_ffff_0000_0000 + at as u64),
            3 => (location.mapping, location.is_folded) = (1, true),
            _ => {}
        }
    }
    frame.stack_ends.push(frame.stack_locations.len() as u32);
    let mut table = SymbolTable::new();
    let mut stacks = Vec::new();
    table.intern(&frame, &mut stacks);
    (Arc::new(table.snapshot()), stacks)
}

fn series(service: &str, number: usize, stacks: &[u32], shape: Shape, random: &mut StdRng) -> SeriesRows {
    let mut rows = SeriesRows {
        labels: Labels::from_pairs([
            ("service_name", service),
            ("pod", &format!("pod-{}", (number * 7) % shape.series)),
            (
                "__profile_type__",
                if number.is_multiple_of(2) {
                    "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                } else {
                    "memory:alloc:bytes::"
                },
            ),
        ]),
        ..SeriesRows::default()
    };
    let scale = [1, 10_000_000, -3][number % 3];
    let with_spans = shape.spans && number.is_multiple_of(2);
    for _ in 0..random.random_range(0..=shape.profiles) {
        let start = rows.stacks.len() as u32;
        let mut used: Vec<u32> =
            (0..random.random_range(0..=shape.samples)).map(|_| stacks[random.random_range(0..stacks.len())]).collect();
        used.sort_unstable();
        for stack in used {
            rows.stacks.push(stack);
            rows.values.push(random.random_range(0..1000) * scale);
            if with_spans {
                rows.spans.push(random.random_range(0..3));
                rows.traces.push([random.random_range(0..3); 16]);
            }
        }
        let values = &rows.values[start as usize..];
        rows.profiles.push(ProfileRow {
            time_ns: random.random_range(0..1_000_000),
            id: ProfileId(random.random()),
            duration_ns: random.random_range(0..3),
            period: 100,
            total: values.iter().sum(),
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows.profiles.sort_by_key(|row| (row.time_ns, row.id));
    rows
}

pub(crate) fn write(partitions: Vec<PartitionRows>) -> FinishedBlock {
    let identity =
        BlockIdentity { ulid: ULID, tenant: tenant(), level: 0, log_ranges: Vec::new(), sources: Vec::new() };
    write_block(identity, partitions.into_iter()).unwrap()
}

pub(crate) async fn store(files: &[(String, Bytes)]) -> Bucket {
    let bucket = Bucket::in_memory();
    for (name, bytes) in files {
        bucket.put(&format!("{}{name}", block_folder(&tenant(), ULID)), bytes.clone()).await.unwrap();
    }
    bucket
}

/// Root first, everything that a stack is.
pub(crate) fn stack_text(symbols: &dyn SymbolSource, mut stack: u32) -> String {
    let mut node = symbols.function_node(stack);
    let mut names = Vec::new();
    while node != 0 {
        names.push(symbols.name(symbols.function_node_name(node)));
        node = symbols.function_node_parent(node);
    }
    names.reverse();
    let mut text = names.join(";");
    while stack != 0 {
        let location = symbols.location(symbols.stack_location(stack));
        text += &format!(" <- {:?} {:x} {}", symbols.mapping(location.mapping), location.address, location.is_folded);
        for line in location.lines {
            text += &format!(" {:?}:{}", symbols.function(line.function), line.line);
        }
        stack = symbols.stack_parent(stack);
    }
    text
}

/// The rows of a partition within a time range, one text a profile and a sample, sorted.
pub(crate) fn rows_written(partition: &PartitionRows, from: i64, to: i64) -> Vec<String> {
    let mut out = Vec::new();
    for series in &partition.series {
        for row in series.profiles.iter().filter(|row| from <= row.time_ns && row.time_ns <= to) {
            out.push(profile_text(&series.labels, row));
            for at in row.samples_start as usize..row.samples_end as usize {
                let span = series.spans.get(at).copied().unwrap_or_default();
                let trace = series.traces.get(at).copied().unwrap_or_default();
                let stack = stack_text(&*partition.symbols, series.stacks[at]);
                out.push(format!("{} {stack} = {} {span} {trace:?}", row.id, series.values[at]));
            }
        }
    }
    out.sort();
    out
}

fn profile_text(labels: &Labels, row: &ProfileRow) -> String {
    format!("{} {labels} {} {} {} {}", row.id, row.time_ns, row.duration_ns, row.period, row.total)
}

/// The same of a block. Reads samples twice, with and without spans, and checks that both agree.
pub(crate) async fn rows_read(reader: &BlockReader, part: u16, from: i64, to: i64) -> Result<Vec<String>, ReadError> {
    let (from, to) = (TimestampNs(from), TimestampNs(to));
    let series = reader.series(part).await?;
    let all: Vec<u32> = (0..series.len() as u32).collect();
    let symbols = reader.symbols(part, SymbolDetail::Locations).await?;
    let mut out = Vec::new();
    reader
        .profiles(part, &all, from, to, &mut |number, rows| {
            out.extend(rows.iter().map(|row| profile_text(&series[number as usize].labels, row)));
        })
        .await?;
    let mut without_spans = Vec::new();
    let mut sink = |batch: SampleBatch<'_>| {
        without_spans.extend(batch.stacks.iter().copied().zip(batch.values.iter().copied()));
    };
    reader.samples(part, &all, from, to, SampleColumns::default(), &mut sink).await?;
    let mut with_spans = Vec::new();
    let mut sink = |batch: SampleBatch<'_>| {
        with_spans.extend(batch.stacks.iter().copied().zip(batch.values.iter().copied()));
        let covered: u32 = batch.profiles.iter().map(|row| row.samples_end - row.samples_start).sum();
        assert_eq!(covered as usize, batch.stacks.len());
        for row in batch.profiles {
            let rows = row.samples_start as usize..row.samples_end as usize;
            assert!(batch.stacks[rows.clone()].is_sorted());
            for at in rows {
                let span = batch.spans.get(at).copied().unwrap_or_default();
                let trace = batch.traces.get(at).copied().unwrap_or_default();
                let stack = stack_text(&*symbols, batch.stacks[at]);
                out.push(format!("{} {stack} = {} {span} {trace:?}", row.id, batch.values[at]));
            }
        }
    };
    reader.samples(part, &all, from, to, SampleColumns { spans: true, traces: true }, &mut sink).await?;
    assert_eq!(with_spans, without_spans);
    out.sort();
    Ok(out)
}

pub(crate) async fn open(bucket: &Bucket) -> Result<BlockReader, ReadError> {
    BlockReader::open(bucket.clone(), &tenant(), ULID).await
}
