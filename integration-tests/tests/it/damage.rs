//! Damage on disk: whatever file of a tenant or a log is changed, cut or gone, the server starts, says what it leaves out, and answers with
//! all the rest (docs/formats/damage.md).
#![expect(clippy::print_stdout, reason = "which damage was done is what a reader of the test wants to see")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flamelake_integration_tests::answers::{CPU, Range, tree_of};
use flamelake_integration_tests::faults::{copy_folder, files, newest_log};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};
use flamelake_testkit::seeded_rng;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Flushes of the data set; each is a block of [`FRAMES`] frames of its own.
const BLOCKS: usize = 5;
const FRAMES: usize = 4;
/// Frames in the log alone, a segment each.
const LOGGED: usize = 12;

fn options() -> ServerOptions {
    ServerOptions::new().flags(["catalog.checkpoint-every=2", "compactor.cleanup-interval=1h"])
}

/// A folder with some blocks, a catalog and a log of a server that was killed.
struct DataSet {
    folder: tempfile::TempDir,
    /// Folders of blocks below `tenants/anonymous/blocks`, in order of time, with their frames.
    blocks: Vec<(String, BTreeSet<String>)>,
    logged: BTreeSet<String>,
}

impl DataSet {
    async fn new() -> anyhow::Result<Self> {
        let mut server = Server::start(options()).await?;
        let time_ns = now_ns() - 60_000_000_000;
        let mut blocks: Vec<(String, BTreeSet<String>)> = Vec::new();
        for block in 0..BLOCKS {
            let frames: Vec<String> = (0..FRAMES).map(|n| format!("b{block}_{n}")).collect();
            for (at, frame) in frames.iter().enumerate() {
                push_cpu(&server.client(), "damage", &format!("main;{frame} 1"), time_ns + at as i64).await?;
            }
            server.flush().await?;
            let found = fs::read_dir(server.data().join("tenants/anonymous/blocks"))?;
            let names = found.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let names: Vec<String> = names.collect::<anyhow::Result<_>>()?;
            let new = names.into_iter().find(|name| blocks.iter().all(|(known, _)| known != name));
            blocks.push((new.context("a new block")?, frames.into_iter().collect()));
        }
        let logged: Vec<String> = (0..LOGGED).map(|n| format!("log_{n}")).collect();
        for (at, frame) in logged.iter().enumerate() {
            push_cpu(&server.client(), "damage", &format!("main;{frame} 1"), time_ns + at as i64).await?;
        }
        server.kill()?;
        let folder = tempfile::tempdir()?;
        copy_folder(&server.data(), folder.path())?;
        Ok(Self { folder, blocks, logged: logged.into_iter().collect() })
    }

    fn all(&self) -> BTreeSet<String> {
        self.blocks.iter().flat_map(|(_, frames)| frames).chain(&self.logged).cloned().collect()
    }

    /// A server that has not been started, on a copy.
    fn server(&self) -> anyhow::Result<Server> {
        let server = Server::prepare(options())?;
        copy_folder(self.folder.path(), &server.data())?;
        Ok(server)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Flip,
    Cut,
    Remove,
}

impl Harm {
    const ALL: [Self; 3] = [Self::Flip, Self::Cut, Self::Remove];

    /// A flip or cut lies in the first `used` bytes.
    fn befall(self, file: &Path, used: usize, rng: &mut StdRng) -> anyhow::Result<()> {
        let mut bytes = fs::read(file).with_context(|| file.display().to_string())?;
        match self {
            Self::Flip => bytes[rng.random_range(used / 4..used)] ^= 1 << rng.random_range(0..8),
            Self::Cut => bytes.truncate(rng.random_range(0..used)),
            Self::Remove => return Ok(fs::remove_file(file)?),
        }
        Ok(fs::write(file, bytes)?)
    }
}

/// Frames in a flame graph of everything, and what the answer says it leaves out.
async fn frames(server: &Server) -> anyhow::Result<(BTreeSet<String>, Option<String>)> {
    let range = Range::around_now();
    let request = json!({
        "profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms, "maxNodes": 1_048_576,
    });
    let method = "querier.v1.QuerierService/SelectMergeStacktraces";
    let (status, partial, answer) = server.client().json_or_partial(method, &request).await?;
    ensure!(status == 200, "{status} {answer}");
    let tree = tree_of(&serde_json::from_value(answer.get("flamegraph").cloned().unwrap_or(Value::Null))?)?;
    ensure!(tree.iter().all(|(path, (_, own))| *own == i64::from(path.contains(';'))), "counted twice: {tree:?}");
    let names = tree.keys().filter_map(|path| path.strip_prefix("main;")).map(str::to_owned).collect();
    Ok((names, partial))
}

/// The whole profile, which reads every table.
async fn pprof(server: &Server) -> anyhow::Result<Option<String>> {
    let range = Range::around_now();
    let request = json!({ "profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms });
    let method = "querier.v1.QuerierService/SelectMergeProfile";
    let (status, partial, answer) = server.client().json_or_partial(method, &request).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(partial)
}

/// Takes new profiles, flushes them, survives a restart, and never panics.
async fn goes_on(server: &mut Server) -> anyhow::Result<()> {
    push_cpu(&server.client(), "after", "main;after 1", now_ns()).await?;
    server.flush().await?;
    server.restart().await?;
    let (found, _) = frames(server).await?;
    ensure!(found.contains("after"), "what was pushed after the damage is missing: {found:?}");
    let log = server.log();
    ensure!(!log.contains("panicked at"), "{log}");
    Ok(())
}

/// An answer has all frames, or says that it is partial and lacks nothing but `at_stake`.
fn judge(
    set: &DataSet,
    found: &BTreeSet<String>,
    partial: Option<&str>,
    at_stake: &BTreeSet<String>,
) -> anyhow::Result<()> {
    let lost: BTreeSet<String> = set.all().difference(found).cloned().collect();
    ensure!(lost.is_subset(at_stake), "lost too: {:?}", lost.difference(at_stake));
    ensure!(lost.is_empty() || partial.is_some(), "lost without a word: {lost:?}");
    Ok(())
}

const BLOCK_FILES: [&str; 8] = [
    "series.parquet",
    "profiles.parquet",
    "samples.parquet",
    "stacks.parquet",
    "fnstacks.parquet",
    "frames.parquet",
    "functions.parquet",
    "block.json",
];

#[tokio::test]
async fn each_file_of_a_block() -> anyhow::Result<()> {
    let mut rng = seeded_rng("each_file_of_a_block");
    let set = DataSet::new().await?;
    for file in BLOCK_FILES {
        for harm in Harm::ALL {
            for warm in [false, true] {
                let (block, at_stake) = &set.blocks[rng.random_range(0..BLOCKS)];
                println!("{file} {harm:?} {}", if warm { "of a running server" } else { "of a stopped one" });
                let mut server = set.server()?;
                let path = server.data().join("tenants/anonymous/blocks").join(block).join(file);
                let used = fs::metadata(&path)?.len() as usize;
                if warm {
                    server.launch().await?;
                    if rng.random_bool(0.5) {
                        judge(&set, &frames(&server).await?.0, None, &BTreeSet::new())?;
                    }
                }
                harm.befall(&path, used, &mut rng)?;
                if !warm {
                    server.launch().await?;
                }
                let (found, partial) = frames(&server).await?;
                judge(&set, &found, partial.as_deref(), at_stake)?;
                let whole = pprof(&server).await?;
                if !warm {
                    // Every table is read for a profile; a flip may lie where nothing is read, such as the indexes of pages.
                    ensure!(harm == Harm::Flip || whole.is_some(), "no word about it");
                }
                for note in [partial, whole].into_iter().flatten() {
                    ensure!(note.contains(block.as_str()), "{note} does not name {block}");
                    ensure!(server.log().contains(block.as_str()), "the log does not name {block}");
                    ensure!(
                        server.metric("flamelake_store_gateway_blocks_set_aside_total").await? > 0.0,
                        "not counted"
                    );
                    ensure!(server.metric("flamelake_querier_partial_answers_total").await? > 0.0, "not counted");
                }
                goes_on(&mut server).await.with_context(|| format!("{file} {harm:?} {warm}"))?;
                let (found, partial) = frames(&server).await?;
                judge(&set, &found, partial.as_deref(), at_stake)?;
            }
        }
    }
    Ok(())
}

/// What a commit or a checkpoint said can be told from the blocks: nothing is lost, and nothing needs to be said.
#[tokio::test]
async fn each_object_of_a_catalog() -> anyhow::Result<()> {
    let mut rng = seeded_rng("each_object_of_a_catalog");
    let set = DataSet::new().await?;
    let catalog = Path::new("tenants/anonymous/catalog");
    let objects = files(&set.folder.path().join(catalog))?;
    ensure!(objects.len() >= BLOCKS + 2, "{objects:?}");
    for object in &objects {
        let object = object.strip_prefix(set.folder.path())?;
        for harm in Harm::ALL {
            for warm in [false, true] {
                println!(
                    "{} {harm:?} {}",
                    object.display(),
                    if warm { "of a running server" } else { "of a stopped one" }
                );
                let mut server = set.server()?;
                if warm {
                    server.launch().await?;
                }
                let path = server.data().join(object);
                if !path.is_file() {
                    continue; // A start may have swept it.
                }
                harm.befall(&path, fs::metadata(&path)?.len() as usize, &mut rng)?;
                if !warm {
                    server.launch().await?;
                }
                let (found, partial) = frames(&server).await?;
                judge(&set, &found, partial.as_deref(), &BTreeSet::new())?;
                ensure!(partial.is_none(), "{partial:?}");
                goes_on(&mut server).await?;
                let (found, partial) = frames(&server).await?;
                judge(&set, &found, partial.as_deref(), &BTreeSet::new())?;
                ensure!(partial.is_none(), "{partial:?}");
            }
        }
    }
    Ok(())
}

/// All checkpoints and the commits they stand for at once.
#[tokio::test]
async fn a_catalog_of_which_only_the_end_is_left() -> anyhow::Result<()> {
    let set = DataSet::new().await?;
    let mut server = set.server()?;
    let mut objects = files(&server.data().join("tenants/anonymous/catalog"))?;
    let end = objects.iter().rposition(|path| !path.to_string_lossy().contains("checkpoints")).context("a commit")?;
    objects.remove(end);
    for object in objects {
        fs::remove_file(object)?;
    }
    server.launch().await?;
    let (found, partial) = frames(&server).await?;
    judge(&set, &found, partial.as_deref(), &BTreeSet::new())?;
    ensure!(server.metric("flamelake_catalog_damaged_objects_total").await? > 0.0, "not counted");
    goes_on(&mut server).await
}

/// The rows of a log that was flushed are in a block whose commit was the last one: without it, only the log is missing it.
#[tokio::test]
async fn the_last_commit_when_its_log_is_gone() -> anyhow::Result<()> {
    for harm in Harm::ALL {
        let mut rng = seeded_rng("the_last_commit_when_its_log_is_gone");
        let set = DataSet::new().await?;
        let mut server = set.server()?;
        server.launch().await?;
        server.flush().await?;
        server.stop().await?;
        let commits = files(&server.data().join("tenants/anonymous/catalog"))?;
        for log in files(&server.data().join("log"))?.iter().filter(|path| path.extension().is_some()) {
            fs::remove_file(log)?;
        }
        let is_commit = |path: &&PathBuf| !path.to_string_lossy().contains("checkpoints");
        let last = commits.iter().rfind(is_commit).context("a commit")?;
        // A checkpoint at this version would know all of it.
        let _ = fs::remove_file(last.with_file_name("checkpoints").join(last.file_name().context("a name")?));
        println!("{} {harm:?}", last.display());
        harm.befall(last, fs::metadata(last)?.len() as usize, &mut rng)?;
        server.launch().await?;
        let (found, partial) = frames(&server).await?;
        judge(&set, &found, partial.as_deref(), &BTreeSet::new())?;
        goes_on(&mut server).await?;
        judge(&set, &frames(&server).await?.0, None, &BTreeSet::new())?;
    }
    Ok(())
}

/// Offsets of the records of a log file, and where the last one ends.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut at: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, window)| *window == b"FLJS").map(|(at, _)| at).collect();
    at.push(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    at
}

#[tokio::test]
async fn a_log_in_the_middle_and_at_its_end() -> anyhow::Result<()> {
    let mut rng = seeded_rng("a_log_in_the_middle_and_at_its_end");
    let set = DataSet::new().await?;
    for place in ["a record in the middle", "the last record", "cut", "gone"] {
        println!("{place}");
        let mut server = set.server()?;
        let log = newest_log(&server.data())?;
        let mut bytes = fs::read(&log)?;
        let records = records(&bytes);
        let (middle, last) = (records.len() - 6, records.len() - 2);
        let mut flip = |record: usize| {
            let at = rng.random_range(records[record]..records[record + 1]);
            bytes[at] ^= 0x10;
            fs::write(&log, &bytes)
        };
        // How many frames may be lost, and whether the log can know: behind its end nobody can tell what was there.
        let (lost_max, is_known) = match place {
            "a record in the middle" => {
                flip(middle)?;
                (1, true)
            }
            "the last record" => {
                flip(last)?;
                (1, false)
            }
            "cut" => {
                fs::write(&log, &bytes[..records[middle] + 10])?;
                (records.len() - middle, false)
            }
            _ => {
                fs::remove_file(&log)?;
                (LOGGED, false)
            }
        };
        server.launch().await?;
        let (found, partial) = frames(&server).await?;
        let lost = set.all().difference(&found).count();
        ensure!(lost <= lost_max, "{place}: {lost} lost");
        if is_known {
            ensure!(lost == 0 || partial.is_some(), "{place}: lost without a word");
            ensure!(server.metric("flamelake_journal_damaged_records_total").await? > 0.0, "not counted");
            ensure!(server.log().contains("a damaged log record is set aside"), "not logged");
            let kept = files(&server.data().join("log/damaged"))?;
            ensure!(kept.len() == 1, "the damaged file is kept: {kept:?}");
        }
        goes_on(&mut server).await.with_context(|| place.to_owned())?;
        if found.len() + lost != set.all().len() {
            bail!("{place}: {found:?}");
        }
    }
    Ok(())
}

/// The first file of a log goes once it is covered; one that goes before is missed.
#[tokio::test]
async fn the_first_file_of_a_log() -> anyhow::Result<()> {
    let mut server = Server::start(options().flag("log.file-bytes=4KiB")).await?;
    let time_ns = now_ns() - 60_000_000_000;
    for n in 0..40 {
        let folded: String = (0..100).map(|f| format!("main;f{n}_{f:0100} 1\n")).collect();
        push_cpu(&server.client(), "rotated", &folded, time_ns + n).await?;
    }
    server.kill()?;
    let logs: Vec<PathBuf> = files(&server.data().join("log"))?;
    let logs: Vec<&PathBuf> = logs.iter().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    ensure!(logs.len() > 2, "{logs:?}");
    fs::remove_file(logs[0])?;
    server.launch().await?;
    let (found, partial) = frames(&server).await?;
    ensure!(partial.is_some_and(|note| note.contains("log all/")), "no word about it");
    ensure!(found.iter().any(|name| name.starts_with("f39_")), "{found:?}");
    ensure!(server.metric("flamelake_ingester_log_damage_total").await? == 1.0, "not counted");
    goes_on(&mut server).await
}
