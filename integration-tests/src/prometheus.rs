//! A real Prometheus that takes what is written to it: on a free loopback port, over a folder of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_testkit::tools;
use serde_json::Value;

const READY_POLLS_MAX: usize = 600;

/// Ends with this value.
#[derive(Debug)]
pub struct Prometheus {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// Labels as `name=value`, with commas between, without the metric's name; and values by Unix milliseconds.
pub type Samples = BTreeMap<String, Vec<(i64, f64)>>;

impl Prometheus {
    /// Starts one that scrapes nothing; `None`, with a line, where Prometheus cannot be had.
    pub async fn start(who: &str) -> anyhow::Result<Option<Self>> {
        let Some(program) = tools::program(who, "prometheus", &["--version"]) else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("flamelake-prometheus-").tempdir()?;
        std::fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut prometheus = Self { program, folder, port, child: None };
        prometheus.launch().await?;
        Ok(Some(prometheus))
    }

    /// Starts it again on its folder and port after [`kill`](Self::kill).
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        let log = File::create(self.folder.path().join("log"))?;
        let child = Command::new(&self.program)
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.enable-remote-write-receiver"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        self.child = Some(child);
        for _ in 0..READY_POLLS_MAX {
            if client()?.get(format!("{}/-/ready", self.url())).send().await.is_ok_and(|answer| answer.status() == 200)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("Prometheus is not ready: {}", std::fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where samples are written to.
    pub fn write_url(&self) -> String {
        format!("{}/api/v1/write", self.url())
    }

    /// All samples of a metric in the last hour, as they are stored: a range vector has each once.
    pub async fn samples(&self, metric: &str) -> anyhow::Result<Samples> {
        let query = format!("{metric}[1h]");
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url()), [("query", query)])?;
        let answer: Value = client()?.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{answer}");
        let mut samples = Samples::new();
        for series in answer["data"]["result"].as_array().context("a list")? {
            let labels = series["metric"].as_object().context("labels")?;
            let labels = labels.iter().filter(|(name, _)| *name != "__name__");
            let labels: Vec<String> =
                labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
            let values = series["values"].as_array().context("values")?.iter().map(|pair| {
                let at_ms = (pair[0].as_f64().context("a time")? * 1000.0).round() as i64;
                Ok((at_ms, pair[1].as_str().context("a value")?.parse()?))
            });
            samples.insert(labels.join(","), values.collect::<anyhow::Result<_>>()?);
        }
        Ok(samples)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?)
}
