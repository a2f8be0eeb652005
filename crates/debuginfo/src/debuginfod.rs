//! Asks debuginfod servers for binaries that nobody uploaded (<https://sourceware.org/elfutils/Debuginfod.html>). Off unless servers are
//! named, and no other server is ever asked: not even one that those redirect to.
//!
//! Queries do not wait: they leave a wish, and the names are there for a later one. What is fetched is stored as if it had been uploaded.

use std::time::Duration;

use bytes::Bytes;
use flamelake_config::without_passwords;
use flamelake_model::TenantId;
use flamelake_runtime::clock::SharedClock;
use tokio::sync::mpsc;

use crate::build_id::BuildId;
use crate::config::SymbolizerConfig;
use crate::convert::convert;
use crate::error::ConvertError;
use crate::metrics::Metrics;
use crate::store::{FileMetadata, Store};
use crate::symboliser::Symboliser;

/// Wishes that wait; queries leave more again when these are done.
const WISHES_MAX: usize = 256;
/// Wishes that are remembered, so that they are not asked for again at once.
const ASKED_MAX: u64 = 100_000;

/// What of a build id: debug files have most names; of a Go program only the program itself has any.
const ARTEFACTS: [&str; 2] = ["debuginfo", "executable"];

type Wish = (TenantId, BuildId);

/// Where queries leave their wishes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    sender: mpsc::Sender<Wish>,
    asked: moka::sync::Cache<Wish, ()>,
}

impl Wishes {
    /// Never waits. What was asked for a short while ago, and what finds no room, is forgotten.
    pub(crate) fn leave(&self, tenant: &TenantId, id: &BuildId) {
        let wish = (tenant.clone(), id.clone());
        if !self.asked.contains_key(&wish) && self.sender.try_send(wish.clone()).is_ok() {
            self.asked.insert(wish, ());
        }
    }
}

/// The client; [`run`](Self::run) it.
#[derive(Debug)]
pub struct Debuginfod {
    http: reqwest::Client,
    config: SymbolizerConfig,
    store: Store,
    clock: SharedClock,
    symboliser: Symboliser,
    metrics: Metrics,
    wishes: mpsc::Receiver<Wish>,
}

/// Why a wish was not fulfilled.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("ask {url}")]
    Http {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}")]
    Status { url: String, status: http::StatusCode },
    #[error("{url} sends more than {max} bytes (symbolizer.max-symbol-size-bytes)")]
    TooLarge { url: String, max: u64 },
    #[error("no thread could convert it: {0}")]
    Thread(String),
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Store(#[from] flamelake_model::StatusError),
}

/// The two ends; `None` where no server is named.
pub(crate) fn wishes(config: &SymbolizerConfig) -> Option<(Wishes, mpsc::Receiver<Wish>)> {
    if config.debuginfod_urls.is_empty() {
        return None;
    }
    let (sender, receiver) = mpsc::channel(WISHES_MAX);
    let asked =
        moka::sync::Cache::builder().max_capacity(ASKED_MAX).time_to_live(config.debuginfod_retry_interval).build();
    Some((Wishes { sender, asked }, receiver))
}

impl Debuginfod {
    pub(crate) fn new(
        config: SymbolizerConfig,
        store: Store,
        clock: SharedClock,
        symboliser: Symboliser,
        metrics: Metrics,
        wishes: mpsc::Receiver<Wish>,
    ) -> Self {
        let http = reqwest::Client::builder()
            .timeout(config.debuginfod_timeout)
            .connect_timeout(Duration::from_secs(10))
            // A server on the list must not send us to one that is not.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("constant settings are valid");
        Self { http, config, store, clock, symboliser, metrics, wishes }
    }

    /// Fulfils wishes one by one until nobody can leave any more.
    pub async fn run(mut self) {
        while let Some((tenant, id)) = self.wishes.recv().await {
            let outcome = match self.fulfil(&tenant, &id).await {
                Ok(true) => "found",
                Ok(false) => "absent",
                Err(error) => {
                    tracing::warn!(%tenant, build_id = %id, error = &error as &dyn std::error::Error, "no debug information by debuginfod");
                    "failed"
                }
            };
            self.metrics.debuginfod.with_label_values(&[outcome]).inc();
        }
    }

    /// False if no server has it.
    async fn fulfil(&self, tenant: &TenantId, id: &BuildId) -> Result<bool, FetchError> {
        let listed = self.store.list(tenant).await?;
        if listed.get(id).is_some_and(|listed| listed.has_table) || listed.len() >= self.config.files_max {
            return Ok(listed.contains_key(id));
        }
        let mut last = Ok(false);
        for (url, artefact) in self.config.debuginfod_urls.iter().flat_map(|url| ARTEFACTS.map(|what| (url, what))) {
            let url = format!("{}/buildid/{id}/{artefact}", url.trim_end_matches('/'));
            let stored = match self.file(&url).await {
                Ok(None) => continue,
                Ok(Some(file)) => self.store_table(tenant, id, file).await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(()) => {
                    tracing::info!(%tenant, build_id = %id, url = without_passwords(&url), "debug information was fetched");
                    self.symboliser.look_again(tenant);
                    return Ok(true);
                }
                // Another server, or the program in place of its debug file, may do.
                Err(error) => last = Err(error),
            }
        }
        last
    }

    async fn file(&self, url: &str) -> Result<Option<Bytes>, FetchError> {
        let http = |source| FetchError::Http { url: without_passwords(url), source };
        let mut response = self.http.get(url).send().await.map_err(http)?;
        let status = response.status();
        if status == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if status != http::StatusCode::OK {
            return Err(FetchError::Status { url: without_passwords(url), status });
        }
        let max = self.config.file_bytes_max.0;
        let mut file = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if (file.len() + chunk.len()) as u64 > max {
                return Err(FetchError::TooLarge { url: without_passwords(url), max });
            }
            file.extend_from_slice(&chunk);
        }
        Ok(Some(file.into()))
    }

    async fn store_table(&self, tenant: &TenantId, id: &BuildId, file: Bytes) -> Result<(), FetchError> {
        let started_at_ms = self.clock.unix_nanos() / 1_000_000;
        let (max, claimed, file_bytes) = (self.config.unpacked_bytes_max(), id.clone(), file.len() as u64);
        let work = move || convert(&file, claimed.as_str(), max);
        let converted = flamelake_runtime::spawn_blocking(work).await;
        let converted = converted.map_err(|error| FetchError::Thread(error.to_string()))??;
        let finished_at_ms = self.clock.unix_nanos() / 1_000_000;
        let metadata = FileMetadata { name: "debuginfod".to_owned(), ..FileMetadata::default() };
        let (table, bytes) = converted.stored(metadata, file_bytes, (started_at_ms, finished_at_ms));
        Ok(self.store.finish(tenant, id, &table, bytes).await?)
    }
}
