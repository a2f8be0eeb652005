//! How much room the disks have on which this process keeps something: asked of the system at every scrape.

use std::path::PathBuf;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};

use crate::config::ServerSettings;
use crate::wiring::log_url;

/// A folder and what lies there: `blocks`, `log` or `cache`.
type Folder = (&'static str, PathBuf);

struct Disks {
    folders: Vec<Folder>,
    available: GaugeVec,
    size: GaugeVec,
}

/// Registers the figures of every folder that this process uses; none if all lies in a bucket.
pub(crate) fn register(settings: &ServerSettings, registry: &Registry) -> Result<(), prometheus::Error> {
    let gauge = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["use"]);
    let disks = Disks {
        folders: folders(settings),
        available: gauge(
            "flamelake_disk_available_bytes",
            "Room left on the disk of a folder, by what lies in it (blocks, log, cache).",
        )?,
        size: gauge(
            "flamelake_disk_size_bytes",
            "Size of the disk of a folder, by what lies in it (blocks, log, cache).",
        )?,
    };
    registry.register(Box::new(disks))
}

fn folders(settings: &ServerSettings) -> Vec<Folder> {
    let mut folders = Vec::new();
    if settings.storage.backend == "filesystem" {
        folders.push(("blocks", settings.storage.filesystem.dir.clone().into()));
    }
    if let Some(log) = log_url(settings).strip_prefix("file://") {
        folders.push(("log", log.into()));
    }
    let cache = &settings.store_gateway.local_cache_dir;
    if !cache.is_empty() {
        folders.push(("cache", cache.into()));
    }
    folders
}

impl Collector for Disks {
    fn desc(&self) -> Vec<&Desc> {
        self.available.desc().into_iter().chain(self.size.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (what, folder) in &self.folders {
            // A folder that is not there yet has no disk.
            for (gauge, bytes) in
                [(&self.available, fs4::available_space(folder)), (&self.size, fs4::total_space(folder))]
            {
                let _ = bytes.map(|bytes| gauge.with_label_values(&[what]).set(bytes as f64));
            }
        }
        self.available.collect().into_iter().chain(self.size.collect()).collect()
    }
}
