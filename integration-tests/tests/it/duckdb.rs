//! Promise P7: blocks are open. DuckDB reads the folder of a running server and gets what the API answers; what the README says
//! works as it is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{CPU, Range, Tree, flame_of, flame_sum, series_sum_of};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request};
use flamelake_testkit::{ProfileBuilder, tools};

const HEAP: &str = "memory:inuse_space:bytes:space:bytes";
const MINUTE_NS: i64 = 60_000_000_000;

fn file(path: &str) -> PathBuf {
    flamelake_testkit::package_dir().join("..").join(path)
}

/// What `duckdb/sums.py` printed, blocks added up.
#[derive(Debug, Default)]
struct Seen {
    /// (service, type) → function → sum.
    sums: BTreeMap<(String, String), BTreeMap<String, i64>>,
    /// (service, type) → profiles and their total.
    profiles: BTreeMap<(String, String), (i64, i64)>,
    blocks: usize,
}

fn duckdb(python: &Path, blocks: &Path) -> anyhow::Result<Seen> {
    let script = file("integration-tests/tests/it/duckdb/sums.py");
    let output = Command::new(python).arg(script).arg(file("docs/formats/block.sql")).arg(blocks).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut seen = Seen { blocks: std::fs::read_dir(blocks)?.count(), ..Seen::default() };
    for line in String::from_utf8(output.stdout)?.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let key = |at: usize| (fields[at].to_owned(), fields[at + 1].to_owned());
        match fields[..] {
            ["sum", _, _, function, value] => {
                *seen.sums.entry(key(1)).or_default().entry(function.to_owned()).or_default() +=
                    value.parse::<i64>()?;
            }
            ["profiles", _, _, count, total] => {
                let sums = seen.profiles.entry(key(1)).or_default();
                *sums = (sums.0 + count.parse::<i64>()?, sums.1 + total.parse::<i64>()?);
            }
            _ => anyhow::bail!("what is {line:?}?"),
        }
    }
    Ok(seen)
}

/// Self values by function name.
fn by_function(tree: &Tree) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (path, (_, own)) in tree.iter().filter(|(_, (_, own))| *own != 0) {
        *sums.entry(path.rsplit(';').next().unwrap_or_default().to_owned()).or_default() += own;
    }
    sums
}

/// CPU and heap profiles of three services, some with spans; returns how many of each service.
async fn push_round(server: &Server, round: i64) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut pushed = BTreeMap::new();
    for (number, service) in ["shop", "payment, ü", "idle"].into_iter().enumerate() {
        let profiles = (1..=4 + number as i64).map(|at| {
            let time_ns = now_ns() - (round * 10 + at) * MINUTE_NS;
            let n = (round + 1) * 1000 + at * 10 + number as i64;
            let cpu = format!("main;serve;work{at} {n}0000000\nmain;serve {at}0000000\nmain;gc;work{at} 10000000");
            let heap = ProfileBuilder::heap().time_ns(time_ns).sample("main;alloc", &[1, 64, 1, n], |s| {
                s.label("arena", if at % 2 == 0 { "a" } else { "b" }).span(at as u64);
            });
            (cpu_profile(&cpu, time_ns), heap.stack("main;gone", &[5, 320, 0, 0]).gzip())
        });
        let (cpu, heap): (Vec<_>, Vec<_>) = profiles.unzip();
        *pushed.entry(service.to_owned()).or_default() += cpu.len() as i64;
        for (name, profiles) in [("process_cpu", cpu), ("memory", heap)] {
            let pod = format!("pod-{round}");
            let labels = [("__name__", name), ("service_name", service), ("pod", pod.as_str())];
            let profiles = profiles.into_iter().map(|profile| (profile, "")).collect();
            push(&server.client(), &push_request(&labels, profiles)).await??;
        }
    }
    Ok(pushed)
}

#[tokio::test]
async fn duckdb_sees_what_the_api_answers() -> anyhow::Result<()> {
    let Some(python) = tools::python_with("duckdb_sees_what_the_api_answers", "duckdb") else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let mut pushed: BTreeMap<String, i64> = BTreeMap::new();
    for round in 0..3 {
        for (service, profiles) in push_round(&server, round).await? {
            *pushed.entry(service).or_default() += profiles;
        }
        server.flush().await?;
    }
    let seen = duckdb(&python, &server.data().join("tenants/anonymous/blocks"))?;
    ensure!(seen.blocks == 3, "{} blocks of three flushes", seen.blocks);
    let (client, range) = (server.client(), Range::around_now());
    for (service, profiles) in &pushed {
        for profile_type in [CPU, HEAP] {
            let key = (service.clone(), profile_type.to_owned());
            let selector = format!("{{service_name={service:?}}}");
            let tree = flame_of(&client, profile_type, &selector, range).await?;
            let sums = seen.sums.get(&key).with_context(|| format!("DuckDB does not see {key:?}"))?;
            let sums: BTreeMap<_, _> =
                sums.iter().filter(|(_, sum)| **sum != 0).map(|(f, s)| (f.clone(), *s)).collect();
            ensure!(by_function(&tree) == sums, "{key:?}: the API {tree:?}, DuckDB {sums:?}");
            let (count, total) = seen.profiles[&key];
            ensure!(flame_sum(&tree) == total, "{key:?}: the API {}, DuckDB {total}", flame_sum(&tree));
            let series = series_sum_of(&client, profile_type, &selector, range).await?;
            ensure!(series == total as f64, "{key:?}: the series {series}, DuckDB {total}");
            ensure!(count == *profiles, "{key:?}: {count} profiles of {profiles} pushed");
        }
    }
    let all = flame_of(&client, CPU, "{}", range).await?;
    let total: i64 = seen.profiles.iter().filter(|((_, kind), _)| kind == CPU).map(|(_, (_, total))| total).sum();
    ensure!(flame_sum(&all) == total, "all: the API {}, DuckDB {total}", flame_sum(&all));
    Ok(())
}

#[tokio::test]
async fn the_lines_of_the_readme_work() -> anyhow::Result<()> {
    let Some(python) = tools::python_with("the_lines_of_the_readme_work", "duckdb") else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    push_round(&server, 0).await?;
    server.flush().await?;
    let printed = |path: &str| -> anyhow::Result<Vec<String>> {
        let text = std::fs::read_to_string(file(path))?;
        let lines = text.lines().map(|line| line.trim_start_matches("-- ").trim());
        Ok(lines.filter(|line| line.contains("import duckdb")).map(str::to_owned).collect())
    };
    let folder = server.data().parent().context("the server's folder")?.to_owned();
    let block = std::fs::read_dir(server.data().join("tenants/anonymous/blocks"))?.next().context("a block")??.path();
    // As if the clone lay where block.sql says that one stands.
    std::fs::copy(file("docs/formats/block.sql"), block.join("block.sql"))?;
    let bin = python.parent().unwrap_or(Path::new("")).display();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    for (lines, cwd) in [(printed("README.md")?, &folder), (printed("docs/formats/block.sql")?, &block)] {
        ensure!(!lines.is_empty(), "no line with duckdb for {}", cwd.display());
        for line in lines {
            let output = Command::new("bash").args(["-ec", &line]).env("PATH", &path).current_dir(cwd).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            ensure!(text.contains("process_cpu:cpu:nanoseconds:cpu:nanoseconds"), "{line}: {text}");
        }
    }
    Ok(())
}
