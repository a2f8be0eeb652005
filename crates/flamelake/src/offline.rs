//! `flamelake admin …`: looks at what lies in the bucket and in the logs, without a server. Nothing here trusts what it reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use flamelake_block::meta::{BlockMeta, Ulid};
use flamelake_block::verify::verify_block;
use flamelake_catalog::{CatalogState, CatalogStore};
use flamelake_journal::{JournalConfig, OldEpoch, Segment, older_epochs, open_log_store};
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SystemClock;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::Registry;

use crate::arbiter::open_bucket;
use crate::commands::show_time;
use crate::config::ServerSettings;
use crate::wiring::log_url;

/// Shown for `flamelake admin` and after a mistake.
pub(crate) const USAGE: &str = "flamelake admin COMMAND [the server's --config.file and --storage.… flags]

  blocks list TENANT              live blocks: level, time, services, profiles, bytes
  blocks inspect TENANT BLOCK     the block.json of a block
  blocks verify TENANT [BLOCK]    reads every byte of one block, or of all that are live, and compares checksums
  catalog show TENANT             version, watermarks of logs, floor, lost rows
  catalog verify TENANT           reads the chain of commits; names blocks without a commit
  catalog rebuild TENANT          makes blocks live that no commit names, after a catalog was lost; the server may run
  delete create|list|show         asks a server (--url, --tenant): see flamelake admin delete --help
  log list [INGESTER]             epochs of logs and their bytes (a log on a disk only while its ingester is stopped)
  log inspect INGESTER [EPOCH]    each segment: whose frames it holds, how many bytes, and whether blocks cover them
";

/// The words of an admin command and the flags after them.
pub(crate) fn split(arguments: &[String]) -> (Vec<&str>, &[String]) {
    let words = arguments.iter().take_while(|argument| !argument.starts_with('-')).count();
    (arguments[..words].iter().map(String::as_str).collect(), &arguments[words..])
}

/// What the commands work on.
struct Offline {
    bucket: Bucket,
    catalog: CatalogStore,
    journal: JournalConfig,
    registry: Registry,
}

/// Does what the words say.
pub(crate) async fn run(words: &[&str], settings: &ServerSettings) -> anyhow::Result<()> {
    let (clock, registry) = (SystemClock::shared(), Registry::new());
    let bucket = open_bucket(settings, &clock, &registry)?;
    let catalog = CatalogStore::new(bucket.clone(), clock, settings.catalog.clone(), &registry);
    let journal = JournalConfig { url: log_url(settings), ..settings.journal.clone() };
    let offline = Offline { bucket, catalog, journal, registry };
    match words {
        ["blocks", "list", tenant] => offline.blocks_list(&parse(tenant)?).await,
        ["blocks", "inspect", tenant, block] => offline.blocks_inspect(&parse(tenant)?, block).await,
        ["blocks", "verify", tenant] => offline.blocks_verify(&parse(tenant)?, None).await,
        ["blocks", "verify", tenant, block] => offline.blocks_verify(&parse(tenant)?, Some(block)).await,
        ["catalog", "show", tenant] => offline.catalog_show(&parse(tenant)?).await,
        ["catalog", "verify", tenant] => offline.catalog_verify(&parse(tenant)?).await,
        ["catalog", "rebuild", tenant] => offline.catalog_rebuild(&parse(tenant)?).await,
        ["log", "list"] => offline.log_list(None).await,
        ["log", "list", ingester] => offline.log_list(Some(ingester)).await,
        ["log", "inspect", ingester] => offline.log_inspect(ingester, None).await,
        ["log", "inspect", ingester, epoch] => offline.log_inspect(ingester, Some(epoch)).await,
        _ => bail!("no such command: {}\n\n{USAGE}", words.join(" ")),
    }
}

fn parse(tenant: &str) -> anyhow::Result<TenantId> {
    TenantId::parse(tenant).with_context(|| format!("tenant {tenant:?}"))
}

impl Offline {
    async fn state(&self, tenant: &TenantId) -> anyhow::Result<Arc<CatalogState>> {
        Ok(self.catalog.load(tenant).await?)
    }

    async fn blocks_list(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let state = self.state(tenant).await?;
        let mut text = format!(
            "{:<26}  LEVEL  {:<20}  {:<20}  SERVICES  PROFILES     SAMPLES       BYTES\n",
            "BLOCK", "FROM", "TO"
        );
        for block in state.blocks.values() {
            let sum =
                |of: fn(&flamelake_block::meta::PartitionMeta) -> u64| block.partitions.iter().map(of).sum::<u64>();
            writeln!(
                text,
                "{}  {:>5}  {:<20}  {:<20}  {:>8}  {:>8}  {:>10}  {:>10}",
                block.ulid,
                block.level,
                second(block.min_time_ns),
                second(block.max_time_ns),
                block.partitions.len(),
                sum(|part| part.profiles),
                sum(|part| part.samples),
                block.bytes
            )?;
        }
        writeln!(text, "{} live blocks, catalog version {}", state.blocks.len(), state.version)?;
        print(&text)
    }

    async fn blocks_inspect(&self, tenant: &TenantId, block: &str) -> anyhow::Result<()> {
        let ulid = Ulid::from_string(block).with_context(|| format!("block {block:?}"))?;
        let bytes = self.bucket.get(&format!("tenants/{tenant}/blocks/{ulid}/block.json")).await?;
        let meta = BlockMeta::from_json(&bytes)?;
        print(&(serde_json::to_string_pretty(&meta)? + "\n"))
    }

    async fn blocks_verify(&self, tenant: &TenantId, block: Option<&str>) -> anyhow::Result<()> {
        let blocks = match block {
            Some(block) => vec![Ulid::from_string(block).with_context(|| format!("block {block:?}"))?],
            None => self.state(tenant).await?.blocks.keys().copied().collect(),
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} blocks {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(blocks.len() as u64).with_style(style);
        let mut faulty = 0;
        for ulid in &blocks {
            let faults = match verify_block(&self.bucket, tenant, *ulid).await {
                Ok(faults) => faults,
                Err(error) => vec![format!("{error}")],
            };
            faulty += usize::from(!faults.is_empty());
            for fault in faults {
                bar.suspend(|| print(&format!("{ulid}: {fault}\n")))?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        print(&format!("{} blocks read, {faulty} with faults\n", blocks.len()))?;
        if faulty > 0 {
            bail!(
                "{faulty} blocks have faults: queries name and leave out what they cannot read; restore the files from a backup"
            );
        }
        Ok(())
    }

    async fn catalog_show(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let state = self.state(tenant).await?;
        let mut text = format!(
            "version  {}\nblocks   {} live, {} removed and not yet deleted\nfloor    {}\n",
            state.version,
            state.blocks.len(),
            state.removed.len(),
            state.floor
        );
        for (log, through) in &state.covered {
            writeln!(text, "covered  {log} through {through}")?;
        }
        for lost in &state.lost {
            writeln!(text, "lost     {} from {} to {}", lost.log, lost.from + 1, lost.to)?;
        }
        print(&text)
    }

    async fn catalog_verify(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let state = self.state(tenant).await?;
        let uncommitted = self.catalog.uncommitted(tenant, &state).await?;
        for block in &uncommitted {
            print(&format!("{}: whole, and in no commit (a flush under way, or a lost commit)\n", block.ulid))?;
        }
        let mut missing = 0;
        for ulid in state.blocks.keys() {
            if self.bucket.head(&format!("tenants/{tenant}/blocks/{ulid}/block.json")).await?.is_none() {
                print(&format!("{ulid}: live, and its block.json is missing\n"))?;
                missing += 1;
            }
        }
        print(&format!(
            "version {}, {} live blocks, {missing} missing, {} without a commit\n",
            state.version,
            state.blocks.len(),
            uncommitted.len()
        ))?;
        if missing > 0 {
            bail!(
                "{missing} live blocks are missing: restore tenants/{tenant}/blocks from a backup or from versions of the bucket"
            );
        }
        Ok(())
    }

    async fn catalog_rebuild(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let (rescued, state) = self.catalog.rebuild(tenant).await?;
        for block in &rescued {
            print(&format!("{block}: live again\n"))?;
        }
        print(&format!(
            "{} blocks made live; version {}, {} live blocks\n",
            rescued.len(),
            state.version,
            state.blocks.len()
        ))
    }

    async fn log_list(&self, only: Option<&str>) -> anyhow::Result<()> {
        let logs = open_log_store(&self.journal, &self.bucket, SystemClock::shared(), &self.registry)?;
        let mut text = format!("{:<30}  {:<26}  BYTES\n", "INGESTER", "EPOCH");
        for ingester in logs.ingesters().await?.iter().filter(|name| only.is_none_or(|only| only == *name)) {
            for epoch in older_epochs(&logs, ingester, None).await? {
                writeln!(text, "{ingester:<30}  {:<26}  {}", epoch.id().epoch, bytes_of(&epoch).await)?;
            }
        }
        print(&text)
    }
}

impl Offline {
    /// Does not seal: the log may be one that is written.
    async fn log_inspect(&self, ingester: &str, only: Option<&str>) -> anyhow::Result<()> {
        let logs = open_log_store(&self.journal, &self.bucket, SystemClock::shared(), &self.registry)?;
        let epochs = older_epochs(&logs, ingester, None).await?;
        ensure!(!epochs.is_empty(), "ingester {ingester:?} has no log: `log list` names those that have one");
        let mut covered = Covered::default();
        print(&format!(
            "{:<26}  {:>10}  {:<30}  {:>8}  {:>12}  STATE\n",
            "EPOCH", "SEGMENT", "TENANT", "FRAMES", "BYTES"
        ))?;
        for epoch in epochs.iter().filter(|epoch| only.is_none_or(|only| epoch.id().epoch.to_string() == only)) {
            let mut segments = epoch.segments(0).await?;
            while let Some(segment) = segments.next().await {
                match segment {
                    Ok(segment) => print(&self.lines(epoch, &segment, &mut covered).await?)?,
                    Err(error) => print(&format!("{:<26}  {error}\n", epoch.id().epoch))?,
                }
            }
        }
        Ok(())
    }

    /// One line for each tenant of a segment.
    async fn lines(&self, epoch: &OldEpoch, segment: &Segment, covered: &mut Covered) -> anyhow::Result<String> {
        let mut tenants: BTreeMap<&TenantId, (usize, usize)> = BTreeMap::new();
        for entry in &segment.entries {
            let (frames, bytes) = tenants.entry(&entry.tenant).or_default();
            *frames += entry.frames.len();
            *bytes += entry.bytes();
        }
        let (epoch_id, seq) = (epoch.id().epoch, segment.seq);
        if tenants.is_empty() {
            let what = if segment.tombstone { "tombstone: the log is sealed" } else { "empty" };
            return Ok(format!("{epoch_id}  {seq:>10}  {what}\n"));
        }
        let mut text = String::new();
        for (tenant, (frames, bytes)) in tenants {
            let through = self.covered(tenant, &epoch.log_name(), covered).await?;
            let state = if seq <= through { "in blocks" } else { "in this log only" };
            writeln!(text, "{epoch_id}  {seq:>10}  {:<30}  {frames:>8}  {bytes:>12}  {state}", tenant.as_str())?;
        }
        Ok(text)
    }

    /// The last segment of a log that the tenant's blocks cover.
    async fn covered(&self, tenant: &TenantId, log: &str, known: &mut Covered) -> anyhow::Result<u64> {
        let key = (tenant.clone(), log.to_owned());
        if let Some(&through) = known.get(&key) {
            return Ok(through);
        }
        let through = self.state(tenant).await?.covered_of(log);
        known.insert(key, through);
        Ok(through)
    }
}

/// Watermarks by tenant and log.
type Covered = BTreeMap<(TenantId, String), u64>;

async fn bytes_of(epoch: &OldEpoch) -> String {
    epoch.bytes().await.map_or_else(|error| error.to_string(), |bytes| bytes.to_string())
}

fn second(ns: i64) -> String {
    show_time(ns.div_euclid(1_000_000))
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_before_flags() {
        let given: Vec<String> = ["blocks", "list", "t", "--storage.backend=s3", "x"].map(str::to_owned).to_vec();
        let (words, flags) = split(&given);
        assert_eq!(words, ["blocks", "list", "t"]);
        assert_eq!(flags, ["--storage.backend=s3", "x"]);
    }
}
