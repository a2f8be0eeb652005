//! Regressions: a function that costs more is found by `flamelake diff`, and nothing is found where nothing changed.

use std::process::{Command, Output};

use anyhow::ensure;
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::server::binary;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request};
use flamelake_testkit::seeded_rng;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;
const PROFILES: i64 = 60;

/// A profile of ten functions, of which `f0` costs `factor` times as much; each varies by some percent.
fn folded(random: &mut impl rand::Rng, factor: f64) -> String {
    let cost = |number: u32, noise: f64| {
        let factor = if number == 0 { factor } else { 1.0 };
        (1e9 * factor * noise / f64::from(number + 2)) as i64
    };
    let line = |number: u32| format!("main;f{number} {}", cost(number, random.random_range(0.95..1.05)));
    (0..10).map(line).collect::<Vec<_>>().join("\n")
}

fn selector(version: &str) -> String {
    format!("{{service_name=\"shop\",version=\"{version}\"}}")
}

fn diff(server: &Server, before: &str, after: &str, more: &[&str]) -> anyhow::Result<Output> {
    let (query, base, url) = (selector(after), selector(before), server.url());
    let arguments = ["diff", "--url", &url, "--query", &query, "--base-query", &base, "--confidence", "99.9%"];
    Ok(Command::new(binary()?).args(arguments).args(more).output()?)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_function_that_costs_more_is_found_and_nothing_else() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let client = server.client();
    let mut random = seeded_rng("a_function_that_costs_more_is_found");
    let start = now_ns() - 300 * SECOND;
    for (version, factor) in [("1", 1.0), ("1b", 1.0), ("2", 1.1)] {
        let labels = [("__name__", "process_cpu"), ("service_name", "shop"), ("version", version)];
        let profiles = (0..PROFILES).map(|at| (cpu_profile(&folded(&mut random, factor), start + at * SECOND), ""));
        push(&client, &push_request(&labels, profiles.collect())).await??;
    }
    for at in ["the head", "blocks"] {
        let changed = diff(&server, "1", "2", &["--output", "json"])?;
        let found: Value = serde_json::from_slice(&changed.stdout)?;
        ensure!(changed.status.success(), "{at}: {}", text(&changed));
        let worst = &found["changed"][0];
        ensure!(worst["function"] == "f0" && found["tested"] == 10, "{at}: {found}");
        // A tenth more of 0.5 / 2.02: 24.8 % become 26.6 %.
        let grew = worst["change"].as_f64().unwrap_or_default();
        ensure!((0.015..0.022).contains(&grew), "{at}: {found}");
        ensure!(
            found["baseline"]["profiles"] == PROFILES && found["candidate"]["profiles"] == PROFILES,
            "{at}: {found}"
        );
        let same = diff(&server, "1", "1b", &["--fail-over", "0%"])?;
        ensure!(same.status.success() && text(&same).starts_with("None of 10 functions"), "{at}: {}", text(&same));
        let gate = diff(&server, "1", "2", &["--fail-over", "1%", "--output", "markdown"])?;
        ensure!(gate.status.code() == Some(4) && text(&gate).contains("| `f0` |"), "{at}: {}", text(&gate));
        ensure!(text(&gate).contains("the share of f0 grew by"), "{at}: {}", text(&gate));
        let wide = diff(&server, "1", "2", &["--fail-over", "3%", "--output", "svg"])?;
        ensure!(wide.status.success() && text(&wide).starts_with("<svg "), "{at}: {}", text(&wide));
        server.flush().await?;
    }
    let nobody = diff(&server, "1", "nobody", &["--type", CPU, "--fail-over", "1%"])?;
    ensure!(nobody.status.code() == Some(1) && text(&nobody).contains("has 0 profiles"), "{}", text(&nobody));
    let nobody = diff(&server, "1", "nobody", &["--type", CPU, "--fail-if-empty"])?;
    ensure!(nobody.status.code() == Some(3), "{}", text(&nobody));
    let side = |version: &str| json!({"query": selector(version), "from": "now-1h"});
    let body = json!({"profile_type": CPU, "baseline": side("1"), "candidate": side("2"), "by": "total"});
    let kinds = [("json", "application/json"), ("markdown", "text/markdown"), ("svg", "image/svg+xml")];
    for (format, kind) in kinds {
        let path = format!("/api/v1/compare?format={format}");
        let (status, content_type, _) = client.post(&path, &[], body.to_string().into_bytes()).await?;
        ensure!(status == 200 && content_type.starts_with(kind), "{format}: {status} {content_type}");
    }
    let (status, answer) = client.json("api/v1/compare", &json!({"profile_type": CPU})).await?;
    ensure!(status == 400 && answer["code"] == "invalid_argument", "{status} {answer}");
    Ok(())
}
