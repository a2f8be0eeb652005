//! Files that are read again while the server runs: limits of tenants, tokens, certificates. A broken one changes nothing, is logged when it
//! breaks, and shows in a metric until it is good again.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use flamelake_config::TenantLimits;
use flamelake_rpc::auth::Tokens;
use flamelake_rpc::tls::{ListenTls, PeerTls};
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::with_causes;
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::tls::Tls;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// A file, or a few that belong together.
trait Reloaded: Send + Sync {
    /// `true` = something else holds from now on. An error leaves everything as it was.
    fn reload(&self) -> Result<bool, Box<dyn Error + Send + Sync>>;
}

impl Reloaded for TenantLimits {
    fn reload(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(Self::reload(self)?)
    }
}

impl Reloaded for Tokens {
    fn reload(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(Self::reload(self)?)
    }
}

impl Reloaded for ListenTls {
    fn reload(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(Self::reload(self)?)
    }
}

impl Reloaded for PeerTls {
    fn reload(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(Self::reload(self)?)
    }
}

/// All of them.
pub(crate) struct Reloader {
    files: Vec<File>,
    good: IntGaugeVec,
}

struct File {
    /// Value of the metric's label.
    name: &'static str,
    file: Arc<dyn Reloaded>,
    /// What was logged last; empty = it was good.
    complaint: String,
}

impl Reloader {
    /// Knows no file yet.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "flamelake_reloaded_file_good",
            "1 = the file is as it holds, 0 = broken; the last good one holds.",
        );
        let good = IntGaugeVec::new(opts, &["file"])?;
        registry.register(Box::new(good.clone()))?;
        Ok(Self { files: Vec::new(), good })
    }

    pub(crate) fn limits(&mut self, limits: &Arc<TenantLimits>) {
        self.add("limits", Arc::clone(limits) as _);
    }

    pub(crate) fn tokens(&mut self, tokens: &Arc<Tokens>) {
        self.add("tokens", Arc::clone(tokens) as _);
    }

    pub(crate) fn tls(&mut self, tls: &Tls) {
        for (name, port) in [("tls-http", &tls.http), ("tls-grpc", &tls.grpc), ("tls-admin", &tls.admin)] {
            if let Some(port) = port {
                self.add(name, Arc::clone(port) as _);
            }
        }
        if let Some(peers) = &tls.peers {
            self.add("tls-peers", Arc::clone(peers) as _);
        }
    }

    fn add(&mut self, name: &'static str, file: Arc<dyn Reloaded>) {
        self.good.with_label_values(&[name]).set(1);
        self.files.push(File { name, file, complaint: String::new() });
    }

    /// Looks at them until told to stop.
    pub(crate) async fn run(mut self, clock: SharedClock, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(EVERY) => {}
            }
            let work = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match work.await {
                Ok(reloader) => self = reloader,
                Err(panic) => {
                    error!(%panic, "files are no longer read again");
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        for File { name, file, complaint } in &mut self.files {
            let good = self.good.with_label_values(&[*name]);
            match file.reload() {
                Ok(changed) => {
                    good.set(1);
                    if changed || !complaint.is_empty() {
                        info!(file = *name, "a file was read again and holds");
                        complaint.clear();
                    }
                }
                Err(error) => {
                    good.set(0);
                    let text = with_causes(&*error);
                    if *complaint != text {
                        error!(file = *name, error = text, "a file is broken; the last good one holds");
                        *complaint = text;
                    }
                }
            }
        }
    }
}
