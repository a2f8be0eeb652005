//! TLS (`docs/security.md`): a cluster whose every connection is encrypted and, inside, authenticated both ways; certificates and authorities
//! change under it, and who does not belong is refused.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame, flame_sum};
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::{Client, Server, ServerOptions, now_ns, push_cpu, server};
use flamelake_testkit::certificates::Authority;

/// The files that all processes of a test name; their contents change.
const FILES: [&str; 3] = ["ca.pem", "own.pem", "own.key"];

/// Puts an authority and a certificate of it into the files.
fn install(folder: &Path, authority: &Authority, name: &str) -> anyhow::Result<()> {
    let own = authority.issue(name);
    for (file, from) in FILES.iter().zip([authority.certificate(), own.certificate, own.key]) {
        std::fs::copy(from, folder.join(file))?;
    }
    Ok(())
}

fn options(folder: &Path) -> ServerOptions {
    let [ca, own, key] = FILES.map(|file| folder.join(file).display().to_string());
    let flags = [
        format!("server.http-tls-cert-path={own}"),
        format!("server.http-tls-key-path={key}"),
        format!("server.grpc-tls-cert-path={own}"),
        format!("server.grpc-tls-key-path={key}"),
        format!("server.grpc-tls-client-ca={ca}"),
        "server.grpc-tls-client-auth=require".to_owned(),
        format!("rpc.tls-ca-path={ca}"),
        format!("rpc.tls-cert-path={own}"),
        format!("rpc.tls-key-path={key}"),
    ];
    ServerOptions::new().flags(flags.iter().map(String::as_str)).https(&folder.join("ca.pem"))
}

async fn sum(client: &Client) -> anyhow::Result<i64> {
    Ok(flame_sum(&flame(client, "{}", Range::around_now()).await?))
}

#[tokio::test]
async fn a_cluster_speaks_tls_everywhere_and_takes_new_authorities_while_it_runs() -> anyhow::Result<()> {
    let who = "a_cluster_speaks_tls_everywhere";
    let (Some(first), Some(second)) = (Authority::new(who), Authority::new(who)) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    install(folder.path(), &first, "first")?;
    let Some(mut cluster) = Cluster::prepare_with_tls(who, options(folder.path()), &first)? else { return Ok(()) };
    cluster.add("ingester-0", "ingester").await?;
    cluster.add("rest", "distributor,querier,store-gateway,compactor").await?;
    let client = cluster.client("rest");
    push_cpu(&client, "s", "main;a 1", now_ns()).await?;
    ensure!(sum(&client).await? == 1);
    cluster.flush(&["ingester-0"]).await?;
    push_cpu(&client, "s", "main;a 2", now_ns()).await?;
    ensure!(sum(&client).await? == 3);

    // Another authority signs everything from now on. Connections that are open live on, new ones need it.
    let url = cluster.server("rest").url();
    install(folder.path(), &second, "second")?;
    let (old, new) = (first.certificate(), second.certificate());
    while Client::trusting(&url, &new)?.get_status("/ready").await.is_err() {
        ensure!(sum(&client).await? == 3, "an open connection was cut");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(Client::trusting(&url, &old)?.get_status("/ready").await.is_err(), "the old certificate is still shown");
    let client = Client::trusting(&url, &new)?;
    push_cpu(&client, "s", "main;a 4", now_ns()).await?;
    // A process that starts anew meets one that took the new files while it ran.
    cluster.server("ingester-0").restart().await?;
    push_cpu(&client, "s", "main;a 8", now_ns()).await?;
    ensure!(sum(&client).await? == 15);

    // One whose certificate the others do not trust joins the ring and gets no answer from them.
    let stranger = tempfile::tempdir()?;
    install(stranger.path(), &first, "stranger")?;
    let flags = ["rpc.tls-cert-path", "rpc.tls-key-path"].into_iter().zip(&FILES[1..]);
    let flags: Vec<_> = flags.map(|(key, file)| format!("{key}={}", stranger.path().join(file).display())).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    cluster.add_with("stranger", "distributor", &flags).await?;
    let refused = push_cpu(&cluster.client("stranger"), "s", "main;a 16", now_ns()).await;
    let refused = format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("it was taken")));
    ensure!(refused.contains("unavailable"), "{refused}");
    ensure!(sum(&client).await? == 15);
    Ok(())
}

#[tokio::test]
async fn a_broken_certificate_changes_nothing_and_shows() -> anyhow::Result<()> {
    let Some(authority) = Authority::new("a_broken_certificate") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    install(folder.path(), &authority, "first")?;
    let server = Server::start(options(folder.path())).await?;
    let bad = async || {
        let text = server.client().get_text("/metrics").await?;
        anyhow::Ok(text.contains("flamelake_reloaded_file_good{file=\"tls-http\"} 0"))
    };
    ensure!(!bad().await?);
    // The key of another certificate: what a reader sees between the writes of two files.
    std::fs::copy(authority.issue("second").key, folder.path().join("own.key"))?;
    while !bad().await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        server.log().contains("a file is broken; the last good one holds") && !server.log().contains("PRIVATE KEY")
    );

    // Plain HTTP is told so at once.
    let plain = Client::new(&server.url().replace("https://", "http://"));
    ensure!(plain.get_text("/ready").await?.contains("speaks TLS only"));
    ensure!(plain.get_status("/ready").await? == 400);

    install(folder.path(), &authority, "third")?;
    while bad().await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(server.client().get_status("/ready").await? == 200);
    Ok(())
}

#[tokio::test]
async fn the_commands_speak_tls() -> anyhow::Result<()> {
    let Some(authority) = Authority::new("the_commands_speak_tls") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    install(folder.path(), &authority, "first")?;
    let own = authority.issue("person");
    let both = folder.path().join("person.pem");
    std::fs::write(&both, [std::fs::read(own.certificate)?, std::fs::read(own.key)?].concat())?;
    let flags = [format!("server.http-tls-client-ca={}", folder.path().join("ca.pem").display())];
    let options =
        options(folder.path()).flags(flags.iter().map(String::as_str)).flag("server.http-tls-client-auth=request");
    let server = Server::start(options).await?;
    let ca = folder.path().join("ca.pem");
    let run = |arguments: &[&Path]| -> anyhow::Result<(bool, String)> {
        let output = std::process::Command::new(server::binary()?)
            .args(["query", "labels", "--url", &server.url()])
            .args(arguments)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), text))
    };
    for arguments in [&[Path::new("--tls-ca"), &ca][..], &[Path::new("--tls-ca"), &ca, Path::new("--tls-cert"), &both]]
    {
        let (ok, text) = run(arguments)?;
        ensure!(ok, "{text}");
    }
    let (ok, text) = run(&[])?;
    ensure!(!ok && text.contains("cannot reach https://"), "{text}");
    Ok(())
}
