//! The server profiles itself: an operator fetches pprof from it, and it pushes its own profiles to itself, in which its own functions stand.

use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::{Client, Server, ServerOptions, now_ns, push_cpu, push_request, pushes};
use serde_json::json;

/// Work that needs CPU: pushes with many frames, until dropped.
async fn works(client: Client) -> anyhow::Result<()> {
    let stacks: String = (0..500).map(|n| format!("main;a{n};b{n};c{n};d{n} 1\n")).collect();
    for n in 0.. {
        push_cpu(&client, "busy", &stacks, now_ns() + n).await?;
    }
    Ok(())
}

#[tokio::test]
async fn it_finds_its_own_functions_in_a_flame_graph_of_itself() -> anyhow::Result<()> {
    let mut server =
        Server::prepare(ServerOptions::new().fast_pushes().env("_RJEM_MALLOC_CONF", "prof:true,lg_prof_sample:14"))?;
    server.set_flags(&[
        format!("self-profiling.push-url={}", server.url()),
        "self-profiling.push-interval=1s".to_owned(),
    ]);
    server.launch().await?;
    let client = server.client();
    let busy = tokio::spawn(works(client.clone()));
    let range = || Range { start_ms: now_ns() / 1_000_000 - 600_000, end_ms: now_ns() / 1_000_000 + 600_000 };
    let found = async {
        loop {
            let tree = flame(&client, r#"{service_name="flamelake", role="all"}"#, range()).await?;
            // The decoder of pushes works in a thread of its own: its module is in the names.
            if tree.keys().any(|path| path.contains("flamelake_pprof::") || path.contains("flamelake_distributor::")) {
                return anyhow::Ok(());
            }
            ensure!(!busy.is_finished(), "pushes fail");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await??;

    // A person's profile goes first.
    let profile = client.get_bytes("/debug/pprof/profile?seconds=1").await?;
    ensure!(profile.starts_with(&[0x1f, 0x8b]), "gzip");
    let heap = client.get_bytes("/debug/pprof/heap").await?;
    ensure!(heap.starts_with(&[0x1f, 0x8b]), "gzip");
    busy.abort();
    // Both can be pushed as they are, and the heap went there by itself.
    for (name, profile) in [("process_cpu", profile), ("memory", heap)] {
        let labels = [("__name__", name), ("service_name", "by-hand")];
        pushes::push(&client, &push_request(&labels, vec![(profile, "")])).await??;
    }
    let Range { start_ms: start, end_ms: end } = range();
    let (_, types) =
        client.json("querier.v1.QuerierService/ProfileTypes", &json!({"start": start, "end": end})).await?;
    for name in ["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:inuse_space:bytes:space:bytes"] {
        ensure!(types.to_string().contains(name), "{types}");
    }
    ensure!(server.metric("flamelake_self_profiles_total").await? > 0.0);
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn profiles_are_taken_in_turn_and_within_bounds() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let client = server.client();
    for path in ["?seconds=0", "?seconds=301", "?seconds=x"] {
        ensure!(client.get_status(&format!("/debug/pprof/profile{path}")).await? == 400, "{path}");
    }
    let (status, text) = (client.get_status("/debug/pprof/heap").await?, client.get_text("/debug/pprof/heap").await?);
    ensure!(status != 200 && text.contains("_RJEM_MALLOC_CONF=prof:true"), "{status} {text}");
    // Two persons at once, the second of whom waits; a third is told so.
    let ask = || {
        let client = client.clone();
        async move { client.get_status("/debug/pprof/profile?seconds=2").await }
    };
    let mut answers = futures::future::try_join_all([ask(), ask(), ask()]).await?;
    answers.sort_unstable();
    ensure!(answers == [200, 200, 429], "{answers:?}");
    Ok(())
}
