//! `flamelake debuginfo`: names for the addresses of native programs, from their binaries.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use flamelake_api::debuginfo::v1alpha1 as v1;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::client::Client;
use super::output::{Format, Rows};
use super::{Target, query::out, show_time};

/// Bytes of one request; after a failure the upload goes on with the next one.
const PART_BYTES: usize = 8 << 20;
const SERVICE: &str = "debuginfo.v1alpha1.DebuginfoService";

/// What can be done with debug information.
#[derive(Debug, Subcommand)]
pub(super) enum Debuginfo {
    /// Sends binaries with debug information, or their debug files; what the server has already is skipped.
    Upload(Upload),
    /// Which build ids the tenant has.
    List(List),
    /// Deletes one.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    /// ELF files: programs and libraries that were not stripped, or what `objcopy --only-keep-debug` made of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Goes on with an upload that broke off, instead of waiting until the server has forgotten it.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// As `list` tells it.
    build_id: String,
    #[command(flatten)]
    target: Target,
}

impl Debuginfo {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Upload(upload) => upload.run().await,
            Self::List(list) => list.run().await,
            Self::Delete(delete) => {
                let request = v1::DeleteDebuginfoRequest { gnu_build_id: delete.build_id };
                let client = delete.target.client()?;
                client.call::<v1::DeleteDebuginfoResponse>(&format!("{SERVICE}/DeleteDebuginfo"), &request).await?;
                Ok(())
            }
        }
    }
}

impl Upload {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.target.client()?;
        for file in &self.files {
            let told = self.one(&client, file).await.with_context(|| file.display().to_string())?;
            out(&format!("{}: {told}\n", file.display()))?;
        }
        Ok(())
    }

    async fn one(&self, client: &Client, file: &PathBuf) -> anyhow::Result<String> {
        let bytes = Bytes::from(tokio::fs::read(file).await?);
        let Some(id) = flamelake_debuginfo::build_id_of(&bytes)? else {
            bail!("it has no GNU build id: link it with -Wl,--build-id (Go: -ldflags=-B=gobuildid)");
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = v1::file_metadata::Type::ExecutableFull.into();
        let metadata = v1::FileMetadata { gnu_build_id: id.clone(), name, r#type: kind, ..Default::default() };
        let request = v1::ShouldInitiateUploadRequest { file: Some(metadata) };
        let answer: v1::ShouldInitiateUploadResponse =
            client.call(&format!("{SERVICE}/ShouldInitiateUpload"), &request).await?;
        let path = format!("{SERVICE}/Upload/{id}");
        let mut offset = 0;
        if !answer.should_initiate_upload {
            let begun = if self.resume { client.upload_offset(&path).await? } else { None };
            let Some(begun) = begun else { return Ok(format!("{id}: {}", answer.reason)) };
            offset = usize::try_from(begun)?.min(bytes.len());
        }
        let bar = progress(bytes.len());
        while offset < bytes.len() {
            bar.set_position(offset as u64);
            let part = bytes.slice(offset..bytes.len().min(offset + PART_BYTES));
            let next = offset + part.len();
            client.post_at(&path, offset as u64, part).await?;
            offset = next;
        }
        bar.finish_and_clear();
        let request = v1::UploadFinishedRequest { gnu_build_id: id.clone() };
        client.call::<v1::UploadFinishedResponse>(&format!("{SERVICE}/UploadFinished"), &request).await?;
        Ok(format!("{id}: uploaded"))
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.target.client()?;
        let request = v1::ListDebuginfoRequest {};
        let answer: v1::ListDebuginfoResponse = client.call(&format!("{SERVICE}/ListDebuginfo"), &request).await?;
        let mut rows = Rows::new(&["build_id", "name", "state", "bytes", "finished"]);
        let mut table = format!("{:<40}  {:<9}  {:>13}  {:<19}  NAME\n", "BUILD ID", "STATE", "BYTES", "FINISHED");
        for object in answer.object {
            let state = if object.state() == v1::object_metadata::State::Uploaded { "uploaded" } else { "uploading" };
            let v1::FileMetadata { gnu_build_id: id, name, .. } = object.file.unwrap_or_default();
            let finished_ms = object.finished_at.map(|at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000);
            let finished = finished_ms.map(show_time).unwrap_or_default();
            table.push_str(&format!("{id:<40}  {state:<9}  {:>13}  {finished:<19}  {name}\n", object.size_bytes));
            rows.push(vec![json!(id), json!(name), json!(state), json!(object.size_bytes), json!(finished_ms)]);
        }
        out(&rows.text(self.output).unwrap_or(table))
    }
}

fn progress(bytes: usize) -> ProgressBar {
    if bytes <= PART_BYTES {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes as u64).with_style(style)
}
