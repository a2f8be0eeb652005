//! The head: every tenant's rows that are not, or only lately, in a committed block.
//!
//! A tenant's rows lie in *generations*: open ones take rows (one for each log: the current epoch's, and older ones that were
//! replayed), flushing ones are being written to a block, retained ones are committed and kept a little for queries that were planned
//! before. Each tenant has one lock, held to append a segment's rows or to take a snapshot, never to scan rows or to do I/O.

pub(crate) mod generation;
pub(crate) mod memory;
pub(crate) mod rows;
pub(crate) mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::TenantId;
use flamelake_pprof::frame::Frame;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tracing::Span;

use self::generation::{Generation, PartitionHead, PartitionSymbols, Scratch};
use self::memory::MemoryAccount;
use crate::error::IngesterError;

/// Pause after a flush that failed; doubled for each further failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Traced pushes of a tenant whose way to a block is followed at the same time.
const TRACES_MAX: usize = 8;
/// Longest pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(crate) struct Head {
    tenants: RwLock<HashMap<TenantId, Arc<TenantHead>>>,
    pub(crate) memory: Arc<MemoryAccount>,
    tenants_max: usize,
    partition_stacks_max: u64,
}

impl Head {
    pub(crate) fn new(memory: Arc<MemoryAccount>, tenants_max: usize, partition_stacks_max: u64) -> Self {
        Self { tenants: RwLock::default(), memory, tenants_max, partition_stacks_max }
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> Option<Arc<TenantHead>> {
        self.tenants.read().get(tenant).cloned()
    }

    /// All tenants that were met since the start, in order.
    pub(crate) fn tenants(&self) -> Vec<Arc<TenantHead>> {
        let mut tenants: Vec<_> = self.tenants.read().values().cloned().collect();
        tenants.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        tenants
    }

    /// Opens a tenant that is met first with `catalog_version`, where `covered` says what of each log lies in blocks.
    pub(crate) fn open_tenant(
        &self,
        tenant: &TenantId,
        catalog_version: u64,
        covered: &BTreeMap<String, u64>,
    ) -> Result<Arc<TenantHead>, IngesterError> {
        let mut tenants = self.tenants.write();
        if let Some(known) = tenants.get(tenant) {
            return Ok(Arc::clone(known));
        }
        if tenants.len() >= self.tenants_max {
            return Err(IngesterError::TooManyTenants { max: self.tenants_max });
        }
        let head = Arc::new(TenantHead {
            tenant: tenant.clone(),
            first_version: catalog_version,
            flush: tokio::sync::Mutex::new(()),
            retry: Mutex::default(),
            traces: HeadTraces::default(),
            state: Mutex::new(TenantState { cut: covered.clone(), ..TenantState::default() }),
        });
        tenants.insert(tenant.clone(), Arc::clone(&head));
        Ok(head)
    }
}

/// One tenant's share of the head.
#[derive(Debug)]
pub(crate) struct TenantHead {
    pub(crate) tenant: TenantId,
    /// The catalog version read when the tenant was first met: older plans cannot be answered.
    pub(crate) first_version: u64,
    /// Held while a flush of this tenant is under way: watermarks advance in order.
    pub(crate) flush: tokio::sync::Mutex<()>,
    /// When a flush that failed is due again.
    pub(crate) retry: Mutex<FlushRetry>,
    /// Of pushes whose rows are in no block yet.
    pub(crate) traces: HeadTraces,
    pub(crate) state: Mutex<TenantState>,
}

/// Spans of some traced pushes, each open until its rows are in a block.
#[derive(Debug, Default)]
pub(crate) struct HeadTraces(Mutex<Vec<Span>>);

impl HeadTraces {
    /// Of more than a few at once the later ones are not followed; nor is one that nobody listens to.
    pub(crate) fn note(&self, span: impl FnOnce() -> Span) {
        let mut spans = self.0.lock();
        if spans.len() < TRACES_MAX {
            spans.extend(Some(span()).filter(|span| !span.is_disabled()));
        }
    }

    /// Those noted until now.
    pub(crate) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Flushes that failed in a row, and when the next is due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FlushRetry {
    failures: u32,
    pub(crate) not_before: Duration,
}

impl FlushRetry {
    /// Each failure costs a whole block of work, so they come ever more seldom.
    pub(crate) fn failed(&mut self, now: Duration) {
        let pause = RETRY_PAUSE.saturating_mul(1 << self.failures.min(16)).min(RETRY_PAUSE_MAX);
        self.failures += 1;
        self.not_before = now + pause;
    }
}

/// What [`TenantHead`]'s lock guards.
#[derive(Debug, Default)]
pub(crate) struct TenantState {
    symbols: HashMap<Arc<str>, LiveSymbols>,
    /// Generations that take rows, by log.
    pub(crate) open: BTreeMap<String, Generation>,
    pub(crate) flushing: Vec<Arc<Generation>>,
    pub(crate) retained: Vec<Retained>,
    /// Where the next generation of a log starts: what is cut already.
    pub(crate) cut: BTreeMap<String, u64>,
    /// Highest row of each log that has left memory.
    pub(crate) dropped: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct LiveSymbols {
    symbols: Arc<PartitionSymbols>,
    rolls: u32,
    used_at: Duration,
}

/// A committed generation, kept for queries planned before the commit.
#[derive(Debug)]
pub(crate) struct Retained {
    pub(crate) generation: Arc<Generation>,
    pub(crate) committed_at: Duration,
}

impl TenantHead {
    /// Appends one segment's frames of this tenant: all of them become visible at once.
    pub(crate) fn apply(
        &self,
        head: &Head,
        log: &str,
        seq: u64,
        frames: &[Frame],
        now: Duration,
        scratch: &mut Scratch,
    ) {
        let mut state = self.state.lock();
        let TenantState { symbols: live, open, cut, .. } = &mut *state;
        let generation = open
            .entry(log.to_owned())
            .or_insert_with(|| Generation::new(log, cut.get(log).copied().unwrap_or_default()));
        // Before the rows: whatever happens on the way, a generation that holds rows says so, and its log stays.
        generation.to = seq;
        generation.first_seq.get_or_insert(seq);
        generation.opened_at.get_or_insert(now);
        for frame in frames {
            let service: Arc<str> = Arc::from(frame.strings.get(frame.service_name));
            let (symbols, rolls) = symbols_of(live, &service, now, head.partition_stacks_max);
            let partition = generation
                .partitions
                .entry((Arc::clone(&service), rolls))
                .or_insert_with(|| PartitionHead::new(service, symbols));
            let growth = partition.append(seq, frame, scratch);
            generation.bytes += growth.rows;
            head.memory.grow(growth.rows + growth.symbols);
        }
    }

    /// Closes the open generations and hands them to a flush, those of an earlier failed flush first.
    pub(crate) fn cut(&self) -> Vec<Arc<Generation>> {
        let mut state = self.state.lock();
        for (log, generation) in std::mem::take(&mut state.open) {
            if !generation.is_empty() {
                state.cut.insert(log, generation.to);
                state.flushing.push(Arc::new(generation));
            }
        }
        state.flushing.clone()
    }

    /// The generations are in a committed block: they leave in a while.
    pub(crate) fn committed(&self, generations: &[Arc<Generation>], now: Duration) {
        let mut state = self.state.lock();
        state.flushing.retain(|flushing| !generations.iter().any(|done| Arc::ptr_eq(flushing, done)));
        state.retained.extend(
            generations.iter().map(|generation| Retained { generation: Arc::clone(generation), committed_at: now }),
        );
    }

    /// Drops retained generations committed before `cutoff` and the oldest beyond `bytes_max`, and symbols that no rows use and nobody
    /// used since.
    pub(crate) fn drop_retained(
        &self,
        memory: &MemoryAccount,
        cutoff: Duration,
        bytes_max: u64,
        idle_cutoff: Duration,
    ) {
        let mut state = self.state.lock();
        let mut bytes: u64 = state.retained.iter().map(|retained| retained.generation.bytes).sum();
        // In order of commits, so the oldest go first.
        let gone = state.retained.iter().take_while(|retained| {
            let goes = retained.committed_at <= cutoff || bytes > bytes_max;
            bytes -= retained.generation.bytes;
            goes
        });
        let gone = gone.count();
        for Retained { generation, .. } in state.retained.drain(..gone).collect::<Vec<_>>() {
            let dropped = state.dropped.entry(generation.log.clone()).or_default();
            *dropped = generation.to.max(*dropped);
            memory.shrink(generation.bytes);
        }
        state.symbols.retain(|_, live| {
            let in_use = Arc::strong_count(&live.symbols) > 1 || live.used_at > idle_cutoff;
            if !in_use {
                memory.shrink(live.symbols.memory_bytes());
            }
            in_use
        });
    }

    /// First segment of `log` with rows that no committed block holds; `None` if all are covered.
    pub(crate) fn first_uncovered(&self, log: &str) -> Option<u64> {
        let state = self.state.lock();
        let open = state.open.get(log).into_iter();
        let flushing = state.flushing.iter().map(Arc::as_ref).filter(|generation| generation.log == log);
        open.chain(flushing).filter_map(|generation| generation.first_seq).min()
    }

    /// Up to where this log's rows are cut or committed: what a replay skips.
    pub(crate) fn covered(&self, log: &str) -> u64 {
        self.state.lock().cut.get(log).copied().unwrap_or_default()
    }

    /// Bytes of rows that no committed block holds, and when the oldest of them came.
    pub(crate) fn uncommitted(&self) -> (u64, Option<Duration>) {
        let state = self.state.lock();
        let generations = || state.open.values().chain(state.flushing.iter().map(Arc::as_ref));
        (generations().map(|g| g.bytes).sum(), generations().filter_map(|g| g.opened_at).min())
    }
}

/// The symbols that new rows of a service use, and how often they were started anew.
fn symbols_of(
    live: &mut HashMap<Arc<str>, LiveSymbols>,
    service: &Arc<str>,
    now: Duration,
    stacks_max: u64,
) -> (Arc<PartitionSymbols>, u32) {
    let live = live.entry(Arc::clone(service)).or_insert_with(|| LiveSymbols {
        symbols: Arc::default(),
        rolls: 0,
        used_at: now,
    });
    if live.symbols.stack_count() >= stacks_max {
        live.symbols = Arc::default();
        live.rolls += 1;
    }
    live.used_at = now;
    (Arc::clone(&live.symbols), live.rolls)
}

#[cfg(test)]
mod tests;
