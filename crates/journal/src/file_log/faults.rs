//! A disk that fails when told: for tests of what a real disk rarely does.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

/// Planned failures of the log's disk; clones share them.
#[derive(Clone, Debug, Default)]
pub struct FileFaults {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    syncs: usize,
    full: bool,
}

impl FileFaults {
    /// The next `times` syncs fail.
    pub fn fail_syncs(&self, times: usize) {
        self.plan.lock().syncs = times;
    }

    /// Is the disk full from now on?
    pub fn set_full(&self, full: bool) {
        self.plan.lock().full = full;
    }

    pub(super) fn before_sync(&self) -> io::Result<()> {
        let mut plan = self.plan.lock();
        if plan.syncs == 0 {
            return Ok(());
        }
        plan.syncs -= 1;
        Err(io::Error::other("sync failed on purpose"))
    }

    pub(super) fn before_write(&self) -> io::Result<()> {
        if self.plan.lock().full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}
