//! Which blocks have outlived their tenant's retention: those whose newest row has.

use std::collections::BTreeSet;
use std::time::Duration;

use flamelake_block::meta::{BlockMeta, Ulid};

/// Blocks to remove at `now_ns`; none when `retention` is 0 (for ever).
pub(crate) fn expired<'a>(
    blocks: impl IntoIterator<Item = &'a BlockMeta>,
    retention: Duration,
    now_ns: i64,
) -> BTreeSet<Ulid> {
    let Ok(retention_ns) = i64::try_from(retention.as_nanos()) else { return BTreeSet::new() };
    if retention_ns == 0 {
        return BTreeSet::new();
    }
    let cutoff_ns = now_ns.saturating_sub(retention_ns);
    blocks.into_iter().filter(|block| block.max_time_ns < cutoff_ns).map(|block| block.ulid).collect()
}
