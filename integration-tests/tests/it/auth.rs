//! Request tokens (`docs/security.md`): every protocol and every route asks for them, a token reaches its tenants and its rights and nothing
//! else, and no token is ever written down.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flamelake_api::METHODS;
use flamelake_api::push::v1::PushResponse;
use flamelake_api::querier::v1::{ProfileTypesRequest, ProfileTypesResponse};
use flamelake_integration_tests::answers::{Range, flame, flame_sum};
use flamelake_integration_tests::client::Answer;
use flamelake_integration_tests::{
    Client, Protocol, Server, ServerOptions, cpu_profile, now_ns, push_cpu, push_request, server,
};
use serde_json::json;

const OPEN: [&str; 3] = ["/ready", "/healthz", "/metrics"];
const ADMIN: [&str; 4] = ["/config", "/ring", "/api/v1/status/config", "/no/such/page"];

/// Draws one with `flamelake token` and adds its line to the file.
fn draw(file: &Path, tenants: &str, rights: &str) -> anyhow::Result<String> {
    let output =
        Command::new(server::binary()?).args(["token", "--for", tenants, "--right", rights, "--name", "x"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (token, line) = text.trim_end().split_once('\n').context("a token and a line")?;
    ensure!(token.len() == 68 && !line.contains(token), "{text}");
    let before = std::fs::read_to_string(file).unwrap_or_default();
    std::fs::write(file, format!("{before}{line}\n"))?;
    Ok(token.to_owned())
}

fn bearer(server: &Server, token: &str) -> Client {
    server.client().with_authorization(&format!("Bearer {token}"))
}

fn basic(server: &Server, token: &str) -> Client {
    server.client().with_authorization(&format!("Basic {}", STANDARD.encode(format!("agent:{token}"))))
}

/// `ok` or the code: of a push and of a query over this protocol.
async fn both(client: &Client, protocol: Protocol) -> anyhow::Result<[String; 2]> {
    let labels = [("__name__", "process_cpu"), ("service_name", "auth")];
    let request = push_request(&labels, vec![(cpu_profile("main;a 1", now_ns()), "")]);
    let pushed: Answer<PushResponse> = client.call(protocol, "push.v1.PusherService/Push", &request).await;
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let request = ProfileTypesRequest { start, end };
    let asked: Answer<ProfileTypesResponse> =
        client.call(protocol, "querier.v1.QuerierService/ProfileTypes", &request).await;
    let pushed = pushed?.map_or_else(|error| error.code, |_| "ok".to_owned());
    Ok([pushed, asked?.map_or_else(|error| error.code, |_| "ok".to_owned())])
}

#[tokio::test]
async fn every_protocol_and_route_wants_a_token_with_the_right() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tokens");
    let push = draw(&file, "team-a", "push")?;
    let query = draw(&file, "team-a", "query")?;
    let admin = draw(&file, "*", "admin")?;
    let server =
        Server::start(ServerOptions::new().multitenant().flag(&format!("auth.tokens-file={}", file.display()))).await?;
    let nobody = server.client();
    let wrong = bearer(&server, &push.replace("flk_", "flk-"));
    let (out, no) = ("unauthenticated", "permission_denied");
    for protocol in Protocol::ALL {
        let rows = [
            (&nobody, [out, out]),
            (&wrong, [out, out]),
            (&bearer(&server, &push), ["ok", no]),
            (&basic(&server, &push), ["ok", no]),
            (&bearer(&server, &query), [no, "ok"]),
            (&bearer(&server, &admin), [no, no]),
        ];
        for (row, (client, expected)) in rows.iter().enumerate() {
            let got = both(client, protocol).await?;
            ensure!(got == *expected, "{protocol:?}, row {row}: {got:?}, not {expected:?}");
        }
    }
    // What agents and collectors send by plain HTTP.
    let seconds = now_ns() / 1_000_000_000;
    let ingest = format!("/ingest?name=auth.cpu&from={seconds}&until={}", seconds + 10);
    for (path, content_type, body, through) in [
        (ingest.as_str(), "", &b"a;b 1\n"[..], 200),
        (&format!("/pyroscope{ingest}"), "", b"a;b 1\n", 200),
        // Empty, which only who came in is told.
        ("/v1development/profiles", "application/x-protobuf", b"", 400),
        ("/otlp/v1development/profiles", "application/json", b"{}", 400),
    ] {
        let headers = [("content-type", content_type)];
        let headers = &headers[usize::from(content_type.is_empty())..];
        for (client, expected) in
            [(&nobody, 401), (&wrong, 401), (&basic(&server, &push), through), (&bearer(&server, &query), 403)]
        {
            let (status, _, answer) = client.post(path, headers, body.to_vec()).await?;
            ensure!(status == expected, "{path}: {status}, not {expected}: {}", String::from_utf8_lossy(&answer));
        }
    }
    for (paths, expected) in [
        (&OPEN[..], [200, 200, 200, 200]),
        (&["/pyroscope/label-names"], [401, 403, 200, 403]),
        (&["/api/v1/status/buildinfo"], [401, 200, 200, 200]),
        (&ADMIN[..3], [401, 403, 403, 200]),
        (&ADMIN[3..], [401, 403, 403, 404]),
    ] {
        for path in paths {
            let mut got = [nobody.get_status(path).await?, 0, 0, 0];
            for (at, token) in [&push, &query, &admin].into_iter().enumerate() {
                got[at + 1] = bearer(&server, token).get_status(path).await?;
            }
            ensure!(got == expected, "{path}: {got:?}, not {expected:?}");
        }
    }
    ensure!(nobody.post_status("/ingester/flush").await? == 401);
    ensure!(bearer(&server, &push).post_status("/ingester/flush").await? == 403);
    ensure!(bearer(&server, &admin).post_status("/ingester/flush").await? == 204);
    for method in METHODS {
        let (status, _) = nobody.json(method.path.trim_start_matches('/'), &json!({})).await?;
        ensure!(status == 401, "{}: {status}", method.path);
    }
    ensure!(server.metric("flamelake_auth_refused_total").await? > 50.0);

    let told =
        server.log() + &bearer(&server, &admin).get_text("/config").await? + &nobody.get_text("/metrics").await?;
    for token in [&push, &query, &admin] {
        ensure!(!told.contains(token.as_str()) && !told.contains(&token[4..]), "a token is written down");
    }
    ensure!(told.contains("tokens-file"), "/config names the file");
    Ok(())
}

#[tokio::test]
async fn a_token_is_its_tenant() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tokens");
    let a = draw(&file, "team-a", "push,query")?;
    let b = draw(&file, "team-b", "push,query")?;
    let both = draw(&file, "team-a,team-b", "query")?;
    let server =
        Server::start(ServerOptions::new().multitenant().flag(&format!("auth.tokens-file={}", file.display()))).await?;
    let (a, b, both) = (bearer(&server, &a), bearer(&server, &b), bearer(&server, &both));
    push_cpu(&a, "s", "main;alpha 1", now_ns()).await?;
    push_cpu(&b, "s", "main;bravo 2", now_ns()).await?;
    push_cpu(&b.clone().with_tenant("team-b"), "s", "main;bravo 4", now_ns()).await?;
    let sum = async |client: Client| anyhow::Ok(flame_sum(&flame(&client, "{}", Range::around_now()).await?));
    ensure!(sum(a.clone()).await? == 1 && sum(b.clone()).await? == 6);
    ensure!(sum(a.clone().with_tenant("team-a")).await? == 1);
    ensure!(sum(both.clone().with_tenant("team-b|team-a")).await? == 7);
    for (client, status) in [
        (a.clone().with_tenant("team-b"), 403),
        (a.clone().with_tenant("team-a|team-b"), 403),
        (both.clone().with_tenant("team-c"), 403),
        (both.clone(), 401),
    ] {
        let (got, answer) = client.json("querier.v1.QuerierService/ProfileTypes", &json!({})).await?;
        ensure!(got == status && !answer.to_string().contains("bravo"), "{got}, not {status}: {answer}");
    }
    ensure!(push_cpu(&a.with_tenant("team-b"), "s", "main;mallory 1", now_ns()).await.is_err());
    ensure!(sum(b).await? == 6);
    Ok(())
}

#[tokio::test]
async fn the_file_is_read_again_and_a_broken_one_changes_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tokens");
    let first = draw(&file, "anonymous", "push,query")?;
    let old = std::fs::read_to_string(&file)?;
    let server = Server::start(ServerOptions::new().flag(&format!("auth.tokens-file={}", file.display()))).await?;
    let answers = async |token: &str| bearer(&server, token).get_status("/pyroscope/label-names").await;
    let bad = async || {
        anyhow::Ok(
            server.client().get_text("/metrics").await?.contains("flamelake_reloaded_file_good{file=\"tokens\"} 0"),
        )
    };
    ensure!(answers(&first).await? == 200 && !bad().await?);

    std::fs::write(&file, format!("{old}flk_pasted_by_mistake * admin\n"))?;
    while !bad().await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(answers(&first).await? == 200);
    ensure!(server.log().contains("auth.tokens-file line 2") && !server.log().contains("flk_pasted"));

    std::fs::write(&file, "")?;
    let second = draw(&file, "anonymous", "query")?;
    while answers(&second).await? != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(answers(&first).await? == 401 && !bad().await?);
    Ok(())
}

#[tokio::test]
async fn the_commands_send_their_token() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tokens");
    let token = draw(&file, "anonymous", "push,query")?;
    let server = Server::start(ServerOptions::new().flag(&format!("auth.tokens-file={}", file.display()))).await?;
    let profile = folder.path().join("cpu.pb.gz");
    std::fs::write(&profile, cpu_profile("main;work 5", now_ns()))?;
    let run = |token: Option<&str>, words: &[&str]| -> anyhow::Result<(bool, String)> {
        let mut command = Command::new(server::binary()?);
        command.args(words).args(["--url", &server.url()]).env_remove("FLAMELAKE_TOKEN");
        if let Some(token) = token {
            command.env("FLAMELAKE_TOKEN", token);
        }
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), text))
    };
    let path = profile.display().to_string();
    let push = ["push", path.as_str(), "--label", "service_name=cli"];
    let (ok, text) = run(None, &push)?;
    ensure!(!ok && text.contains("a token is needed"), "{text}");
    let (ok, text) = run(Some(&token), &push)?;
    ensure!(ok, "{text}");
    let (ok, text) = run(None, &["query", "labels", "service_name", "--token", &token])?;
    ensure!(ok && text.contains("cli"), "{text}");
    let (_, help) = run(Some(&token), &["push", "--help"])?;
    ensure!(help.contains("FLAMELAKE_TOKEN") && !help.contains(&token), "{help}");
    Ok(())
}
