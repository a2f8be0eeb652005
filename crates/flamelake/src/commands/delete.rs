//! `flamelake admin delete`: asks a server to delete for good, and what has become of it.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use flamelake_runtime::clock::SystemClock;
use serde::Deserialize;
use serde_json::json;

use super::{Target, query::out, show_time, time};

/// What operators ask of a server.
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Deletes by selector, with a receipt once no stored byte is left.
    #[command(subcommand)]
    Delete(Delete),
}

#[derive(Debug, Subcommand)]
pub(super) enum Delete {
    /// Deletes what was acknowledged so far and matches.
    Create(Create),
    /// The newest deletes of the tenant.
    List(List),
    /// One delete, with its receipt once it is done.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Which series, `{}` for all: {service_name="my-app"}.
    #[arg(long)]
    selector: String,
    /// Only this profile type.
    #[arg(long = "type")]
    profile_type: Option<String>,
    /// From when on; without it from the beginning.
    #[arg(long)]
    from: Option<String>,
    /// Until when; without it to the end.
    #[arg(long)]
    to: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// As `create` and `list` tell it.
    id: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Listed {
    deletes: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    state: String,
    selector: String,
    requested_at_ms: i64,
}

impl Admin {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Delete(Delete::Create(create)) => create.run().await,
            Self::Delete(Delete::List(list)) => out(&table(&list.target.client()?.get_text("api/v1/delete").await?)?),
            Self::Delete(Delete::Show(show)) => {
                let text = show.target.client()?.get_text(&format!("api/v1/delete/{}", show.id)).await?;
                out(&pretty(&text)?)
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let now_ms = SystemClock::shared().unix_nanos() / 1_000_000;
        let ms =
            |text: Option<&String>| text.map(|text| time::parse(text, now_ms)).transpose().map_err(anyhow::Error::msg);
        let body = json!({
            "selector": self.selector,
            "profile_type": self.profile_type,
            "start": ms(self.from.as_ref())?,
            "end": ms(self.to.as_ref())?,
        });
        out(&pretty(&self.target.client()?.post_json("api/v1/delete", body.to_string()).await?)?)
    }
}

fn pretty(text: &str) -> anyhow::Result<String> {
    let value: serde_json::Value = serde_json::from_str(text).context("the server's answer is not understood")?;
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn table(text: &str) -> anyhow::Result<String> {
    let Listed { deletes } = serde_json::from_str(text).context("the server's answer is not understood")?;
    let mut table = format!("{:<26}  {:<9}  {:<19}  SELECTOR\n", "DELETE", "STATE", "REQUESTED");
    for Row { id, state, selector, requested_at_ms } in deletes {
        writeln!(table, "{id}  {state:<9}  {:<19}  {selector}", show_time(requested_at_ms))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_are_shown_as_a_table() {
        let text =
            r#"{"deletes":[{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","state":"done","selector":"{}","requested_at_ms":0}]}"#;
        let shown = table(text).unwrap();
        assert!(shown.ends_with("01ARZ3NDEKTSV4RRFFQ69G5FAV  done       1970-01-01 00:00:00  {}\n"), "{shown}");
        assert!(table("no").is_err());
    }
}
