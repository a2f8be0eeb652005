//! `flamelake ui FILE…`: the web page on files. A server of its own runs on a free port of this machine with its data in a temporary
//! folder; both go when the command ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::push::Push;
use super::{Target, query::out};

/// A server without data starts in a second.
const START_WITHIN: Duration = Duration::from_secs(60);
/// One developer's own files: nothing to limit.
const FLAGS: [&str; 8] = [
    "--server.http-listen-address=127.0.0.1",
    "--server.grpc-listen-address=127.0.0.1",
    "--server.grpc-listen-port=0",
    "--distributor.ingestion-rate-limit-mb=0",
    "--validation.max-profile-size-bytes=0",
    "--validation.max-profile-stacktrace-samples=0",
    "--validation.max-profile-stacktrace-depth=0",
    "--log.level=warn",
];

#[derive(Debug, Args)]
pub(super) struct Ui {
    /// Files that flamelake push takes; each becomes a service with the file's name, so that two can be compared.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Port of the page; 0 = a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Only prints the address.
    #[arg(long)]
    no_browser: bool,
}

impl Ui {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("flamelake-ui-").tempdir().context("make a temporary folder")?;
        let (mut server, url) = self.start(folder.path()).await?;
        for file in &self.files {
            let target = Target { url: url.clone(), ..Target::default() };
            Push::of_now(file, &service_name(file), target).run().await?;
        }
        let page = format!("{url}/?service={}", service_name(&self.files[0]));
        out(&format!("{page}\nCtrl-C ends it.\n"))?;
        if !self.no_browser {
            open_browser(&page);
        }
        tokio::select! {
            status = server.wait() => bail!("the server ended by itself: {}", status?),
            () = asked_to_end() => Ok(()),
        }
    }

    /// The server and its address; it dies with the value.
    async fn start(&self, folder: &Path) -> anyhow::Result<(Child, String)> {
        let log = folder.join("server.log");
        let mut server = Command::new(std::env::current_exe().context("find this program")?)
            .args(FLAGS)
            .arg(format!("--server.http-listen-port={}", self.port))
            .arg(format!("--storage.filesystem.dir={}", folder.join("data").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("start a server")?;
        let mut greeting = BufReader::new(server.stdout.take().context("its output is piped")?).lines();
        let line =
            tokio::time::timeout(START_WITHIN, greeting.next_line()).await.context("the server does not start")??;
        let url = line.as_deref().and_then(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
        match url {
            Some(url) => Ok((server, url.to_owned())),
            None => bail!("the server does not start: {}", std::fs::read_to_string(&log).unwrap_or_default().trim()),
        }
    }
}

/// The file's name without what a link would have to escape.
fn service_name(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    if name.is_empty() || name == "-" { "profile".to_owned() } else { name }
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Where there is none, the address was printed.
fn open_browser(page: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(opener);
    let _ = command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_their_services() {
        for (file, service) in
            [("cpu.pb.gz", "cpu.pb"), ("/tmp/my app.jfr", "my_app"), ("-", "profile"), ("käse.pprof", "k_se")]
        {
            assert_eq!(service_name(Path::new(file)), service);
        }
    }
}
