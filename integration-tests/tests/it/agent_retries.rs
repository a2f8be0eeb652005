//! Promise: an agent that retries as Grafana Alloy does (contract `grafana.md` section 3) tries again what may pass a moment later, and drops
//! what never will. Which of the two happens is decided by the code of the answer alone.

use anyhow::ensure;
use flamelake_api::push::v1::PushRequest;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request};

/// The codes that Alloy's `pyroscope.write` retries; it drops all others at once.
const RETRIED: [&str; 7] =
    ["deadline_exceeded", "unknown", "resource_exhausted", "internal", "unavailable", "data_loss", "aborted"];

const LABELS: [(&str, &str); 2] = [("__name__", "process_cpu"), ("service_name", "s")];

fn profile() -> Vec<u8> {
    cpu_profile("main;a 1\nmain;b 2", now_ns())
}

fn good() -> PushRequest {
    push_request(&LABELS, vec![(profile(), "")])
}

/// The code of the refusal.
async fn code(server: &Server, request: &PushRequest) -> anyhow::Result<String> {
    let answer = push(&server.client(), request).await?;
    Ok(answer.err().map_or_else(|| "ok".to_owned(), |error| error.code))
}

#[tokio::test]
async fn bad_data_is_dropped() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let truncated = profile()[..20].to_vec();
    for (what, request) in [
        ("nothing", PushRequest::default()),
        ("no pprof", push_request(&LABELS, vec![(b"main;a 1".to_vec(), "")])),
        ("a cut gzip", push_request(&LABELS, vec![(truncated, "")])),
        ("older than an hour", push_request(&LABELS, vec![(cpu_profile("main 1", now_ns() - 7_200_000_000_000), "")])),
        ("no name", push_request(&[("service_name", "s")], vec![(profile(), "")])),
        ("a label twice", push_request(&[LABELS[0], LABELS[1], ("a", "1"), ("a", "2")], vec![(profile(), "")])),
    ] {
        let code = code(&server, &request).await?;
        ensure!(code == "invalid_argument" && !RETRIED.contains(&code.as_str()), "{what}: {code}");
    }
    ensure!(code(&server, &good()).await? == "ok");
    Ok(())
}

#[tokio::test]
async fn limits_of_a_profile_are_dropped_and_those_of_a_moment_retried() -> anyhow::Result<()> {
    for (flags, wanted) in [
        // The profile itself is at fault.
        (&["validation.max-profile-size-bytes=10"][..], "invalid_argument"),
        (&["validation.max-profile-stacktrace-samples=1"], "invalid_argument"),
        (&["validation.max-length-label-value=3"], "invalid_argument"),
        // Without a tenant nothing will ever be stored.
        (&["auth.multitenancy-enabled=true"], "unauthenticated"),
        // The next minute may be better.
        (
            &["distributor.ingestion-rate-limit-mb=0.00001", "distributor.ingestion-burst-size-mb=0.00001"],
            "resource_exhausted",
        ),
    ] {
        let server = Server::start(ServerOptions::new().flags(flags.iter().copied())).await?;
        let code = code(&server, &good()).await?;
        ensure!(code == wanted, "{flags:?}: {code}");
        let retried = wanted == "resource_exhausted";
        ensure!(RETRIED.contains(&code.as_str()) == retried, "{flags:?}: {code}");
    }
    Ok(())
}

#[tokio::test]
async fn a_read_only_server_is_asked_again() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let route = "/ingester/prepare-instance-ring-downscale";
    ensure!(server.client().post_status(route).await? == 200);
    let code = code(&server, &good()).await?;
    ensure!(code == "unavailable" && RETRIED.contains(&code.as_str()), "{code}");
    Ok(())
}
