//! Blocks of which one file was mutated, as a disk does it and with checksums that were made to fit, as a bug or another writer
//! could: an error or an answer, never a panic nor memory that the bytes do not account for. A process of its own: it measures that.

#[path = "block/support.rs"]
#[expect(dead_code, reason = "rows are compared elsewhere")]
mod support;

use bytes::Bytes;
use flamelake_block::meta::{BlockMeta, META_FILE};
use flamelake_block::reader::{BlockReader, ReadError, SampleBatch, SampleColumns, SymbolDetail};
use flamelake_block::writer::{BlockIdentity, BlockWriter, FinishedBlock, block_folder};
use flamelake_model::TimestampNs;
use flamelake_object_storage::Bucket;
use flamelake_symbols::SymbolSource;
use flamelake_testkit::fuzz;

use support::{Shape, ULID, open, partition, store, tenant, write};

/// How much the process may grow.
const GROWTH_BYTES_MAX: usize = 512 << 20;

fn small_block() -> FinishedBlock {
    let shape = Shape { series: 2, profiles: 3, samples: 6, spans: true };
    let mut writer = BlockWriter::new(ULID).unwrap().with_rollups().unwrap();
    for mut rows in [partition("a", 1, shape), partition("b", 2, Shape { spans: false, profiles: 40, ..shape })] {
        // So few stacks that sums save rows.
        let stacks = rows.symbols.stack_count().min(2);
        for series in &mut rows.series {
            series.stacks.iter_mut().for_each(|stack| *stack %= stacks);
            series.values.iter_mut().for_each(|value| *value = (value.unsigned_abs() % 1000 + 1) as i64);
        }
        writer.write_partition(rows).unwrap();
    }
    let (log_ranges, sources) = (Vec::new(), Vec::new());
    let identity = BlockIdentity { ulid: ULID, tenant: tenant(), level: 1, log_ranges, sources };
    let block = writer.finish(identity).unwrap();
    assert!(block.meta.partitions.iter().any(|partition| !partition.tables.rollups.is_empty()), "there are rollups");
    block
}

/// `block.json` with its checksum made to fit.
fn stamped(json: &[u8]) -> Vec<u8> {
    let mut json = json.to_vec();
    let digits = b"{\"crc32c\":\"".len();
    if json.len() > digits + 10 {
        let crc = format!("{:08x}", crc32c::crc32c(&json[digits + 10..]));
        json[digits..digits + 8].copy_from_slice(crc.as_bytes());
    }
    json
}

/// The meta with size and checksums of one file made to fit.
fn with_file(meta: &BlockMeta, name: &str, bytes: &[u8]) -> BlockMeta {
    let mut meta = meta.clone();
    for file in meta.files.iter_mut().filter(|file| file.name == name) {
        let was = file.bytes;
        file.bytes = bytes.len() as u64;
        file.footer_start = file.footer_start.saturating_add(file.bytes).saturating_sub(was).min(file.bytes);
        let chunks = bytes.chunks(file.checksum_chunk_bytes as usize);
        file.crc32c = chunks.map(|chunk| format!("{:08x}", crc32c::crc32c(chunk))).collect();
    }
    meta
}

/// All that any query could ask for, in words. Unlike `rows_read` it believes nothing.
async fn everything(reader: &BlockReader) -> Result<Vec<String>, ReadError> {
    let mut out = Vec::new();
    let (from, to) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));
    for partition in &reader.meta().partitions {
        let part = partition.part;
        let series = reader.series(part).await?;
        let all: Vec<u32> = (0..series.len() as u32 + 1).collect();
        out.extend(series.iter().map(|entry| format!("{part} {}", entry.labels)));
        let mut profiles = |number, rows: &[_]| out.push(format!("{number} {rows:?}"));
        reader.profiles(part, &all, from, to, &mut profiles).await?;
        let functions = reader.symbols(part, SymbolDetail::Functions).await?;
        let locations = reader.symbols(part, SymbolDetail::Locations).await?;
        for spans in [false, true] {
            let columns = SampleColumns { spans, traces: spans };
            let mut sink = |batch: SampleBatch<'_>| {
                for row in batch.profiles {
                    let rows = row.samples_start as usize..row.samples_end as usize;
                    out.push(format!("{:?} {:?}", &batch.values[rows.clone()], batch.spans.get(rows.clone())));
                    for stack in &batch.stacks[rows] {
                        out.push(names(&*functions, *stack) + &places(&*locations, *stack));
                    }
                }
            };
            reader.samples(part, &all, from, to, columns, &mut sink).await?;
        }
        let mut sums = |batch: SampleBatch<'_>| {
            for (stack, value) in batch.stacks.iter().zip(batch.values) {
                out.push(format!("{value} {}", names(&*functions, *stack)));
            }
        };
        reader.summed(part, &all, from, TimestampNs(i64::MAX - 1), &mut sums).await?;
    }
    Ok(out)
}

fn names(symbols: &dyn SymbolSource, stack: u32) -> String {
    let mut text = String::new();
    let mut node = symbols.function_node(stack);
    while node != 0 {
        assert!(symbols.function_node_parent(node) < node, "a walk up comes to an end");
        text = text + symbols.name(symbols.function_node_name(node)) + ";";
        node = symbols.function_node_parent(node);
    }
    text
}

fn places(symbols: &dyn SymbolSource, mut stack: u32) -> String {
    let mut text = String::new();
    while stack != 0 {
        assert!(symbols.stack_parent(stack) < stack, "a walk up comes to an end");
        let location = symbols.location(symbols.stack_location(stack));
        text += &format!("{:?} {:x}", symbols.mapping(location.mapping), location.address);
        for line in location.lines {
            text += &format!("{:?}:{}", symbols.function(line.function), line.line);
        }
        stack = symbols.stack_parent(stack);
    }
    text
}

async fn read(bucket: &Bucket) -> Result<Vec<String>, ReadError> {
    everything(&open(bucket).await?).await
}

/// Most memory that this process ever held; nothing where the kernel does not tell.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or_default() << 10
}

#[test]
fn fuzz_block_json() {
    let good = [small_block().meta, write(Vec::new()).meta];
    fuzz::run("block.json", &good.each_ref().map(BlockMeta::to_json), |bytes| {
        if let Ok(meta) = BlockMeta::from_json(bytes) {
            assert!(good.contains(&meta), "its checksum says that it was written");
        }
        if let Ok(meta) = BlockMeta::from_json(&stamped(bytes)) {
            assert_eq!(BlockMeta::from_json(&meta.to_json()).unwrap(), meta);
        }
    });
}

/// An input is a file's number, how it is dressed, and its bytes.
#[test]
fn fuzz_block_files() {
    let block = small_block();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bucket = runtime.block_on(store(&block.files));
    let good = runtime.block_on(read(&bucket)).unwrap();
    let key = |name: &str| format!("{}{name}", block_folder(&tenant(), ULID));
    let input = |dress, (number, (_, bytes)): (usize, &(String, Bytes))| [&[number as u8, dress], &bytes[..]].concat();
    let corpus: Vec<Vec<u8>> = [0, 1]
        .into_iter()
        .flat_map(|dress| block.files.iter().enumerate().map(move |file| input(dress, file)))
        .collect();
    let before = peak_bytes();
    fuzz::run("block files", &corpus, |bytes| {
        let [number, dress, bytes @ ..] = bytes else { return };
        let (name, original) = &block.files[usize::from(*number) % block.files.len()];
        let is_dressed = dress % 2 == 1;
        let put = |name: &str, bytes: Vec<u8>| runtime.block_on(bucket.put(&key(name), Bytes::from(bytes))).unwrap();
        match (is_dressed, name == META_FILE) {
            (true, true) => put(name, stamped(bytes)),
            (true, false) => {
                put(META_FILE, with_file(&block.meta, name, bytes).to_json());
                put(name, bytes.to_vec());
            }
            (false, _) => put(name, bytes.to_vec()),
        }
        match runtime.block_on(read(&bucket)) {
            Ok(rows) => assert!(is_dressed || rows == good, "{name}: other rows and no error"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        put(name, original.to_vec());
        put(META_FILE, block.meta.to_json());
    });
    assert_eq!(runtime.block_on(read(&bucket)).unwrap(), good);
    assert!(peak_bytes() - before < GROWTH_BYTES_MAX, "it took {} MiB", (peak_bytes() - before) >> 20);
}
