//! `flamelake ring`: the members of the cluster as a table, and *forget*.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;

use super::{Target, query::out, render};

#[derive(Debug, Args)]
pub(super) struct Ring {
    /// A dead member that shall be recovered by a peer, or removed if it has no log.
    #[arg(long, value_name = "ID")]
    forget: Option<String>,
    /// With --forget, where the log of the member lies on its own disk and that is lost for good: removes it nevertheless. What it had
    /// acknowledged and no block holds is lost then.
    #[arg(long, requires = "forget")]
    accept_loss: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// What we show of `GET /ring?format=json`.
#[derive(Debug, Deserialize)]
struct Report {
    epoch: u64,
    now_ms: i64,
    members: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    roles: Vec<String>,
    address: String,
    zone: String,
    state: String,
    healthy: bool,
    forget: bool,
    read_only_since_ms: Option<i64>,
    registered_at_ms: i64,
    tokens: usize,
    shares: std::collections::BTreeMap<String, f64>,
}

impl Ring {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.target.client()?;
        if let Some(id) = &self.forget {
            let accept_loss = self.accept_loss;
            return out(&client.post_form("ring/forget", &format!("id={id}&accept_loss={accept_loss}")).await?);
        }
        let text = client.get_text("ring?format=json").await?;
        if self.json {
            return out(&(text + "\n"));
        }
        let report: Report = serde_json::from_str(&text).context("the server's answer is not understood")?;
        out(&table(&report))
    }
}

fn table(report: &Report) -> String {
    let head = ["MEMBER", "STATE", "ALIVE", "ZONE", "ADDRESS", "TOKENS", "SHARE", "AGE", "ROLES"].map(str::to_owned);
    let rows: Vec<[String; 9]> =
        std::iter::once(head).chain(report.members.iter().map(|row| cells(row, report.now_ms))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    }
    let _ = writeln!(text, "epoch {}", report.epoch);
    text
}

fn cells(row: &Row, now_ms: i64) -> [String; 9] {
    let mut state = row.state.clone();
    if row.read_only_since_ms.is_some() {
        state.push_str(",read-only");
    }
    if row.forget {
        state.push_str(",forget");
    }
    let share = row.shares.values().copied().fold(0.0, f64::max);
    let age = (now_ms - row.registered_at_ms).max(0) as f64 * 1e6;
    [
        row.id.clone(),
        state,
        if row.healthy { "yes" } else { "no" }.to_owned(),
        row.zone.clone(),
        row.address.clone(),
        row.tokens.to_string(),
        if row.shares.is_empty() { String::new() } else { format!("{:.1}%", share * 100.0) },
        render::value(age, "nanoseconds"),
        row.roles.join(","),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_columns() {
        let report = r#"{"epoch":3,"now_ms":3600000,"members":[{"id":"a","roles":["ingester"],"address":"a:1","zone":"","state":"ACTIVE",
            "healthy":true,"forget":false,"read_only_since_ms":null,"registered_at_ms":0,"tokens":128,"shares":{"ingester":0.5},"extra":1},
            {"id":"longer","roles":["querier"],"address":"b:1","zone":"z","state":"LEAVING","healthy":false,"forget":true,"read_only_since_ms":5,
            "registered_at_ms":0,"tokens":0,"shares":{}}]}"#;
        let expected = "\
MEMBER  STATE                     ALIVE  ZONE  ADDRESS  TOKENS  SHARE  AGE    ROLES
a       ACTIVE                    yes          a:1      128     50.0%  1.00h  ingester
longer  LEAVING,read-only,forget  no     z     b:1      0              1.00h  querier
epoch 3
";
        assert_eq!(table(&serde_json::from_str(report).unwrap()), expected);
    }
}
