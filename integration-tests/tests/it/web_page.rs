//! Promise: who opens the server's address in a browser finds a page that works, and that asks nobody else.

use std::process::Command;

use anyhow::ensure;
use flamelake_integration_tests::{Server, ServerOptions, server};

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
async fn the_page_is_served_under_a_strict_policy() -> anyhow::Result<()> {
    // A page without a tenant asks for one; the page itself is for everybody.
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let http = reqwest::Client::new();
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
    let page = http.get(server.url()).header("accept", accept).send().await?;
    ensure!(page.status() == 200, "{page:?}");
    let header =
        |name: &str| page.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if header("content-type").starts_with("text/plain") {
        eprintln!("skipped: the page is not built into this binary (make web)");
        ensure!(page.text().await?.contains("make web"));
        return Ok(());
    }
    let policy = header("content-security-policy");
    ensure!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    ensure!(header("x-content-type-options") == "nosniff" && header("cache-control") == "no-cache");
    let tag = header("etag");
    let again = http.get(server.url()).header("if-none-match", &tag).send().await?;
    ensure!(again.status() == 304 && again.headers().get("etag").is_some_and(|etag| *etag == *tag), "{again:?}");
    let html = page.text().await?;
    let script = html.split('"').find(|part| part.ends_with(".js")).unwrap_or_default();
    let script = http.get(format!("{}{script}", server.url())).header("accept-encoding", "gzip").send().await?;
    ensure!(script.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip"), "{script:?}");
    ensure!(
        script
            .headers()
            .get("cache-control")
            .is_some_and(|cache| cache.to_str().is_ok_and(|text| text.contains("immutable")))
    );
    // Paths of the API never become the page.
    for path in ["/querier.v1.QuerierService/Nothing", "/pyroscope/nothing", "/nothing"] {
        let answer = http.get(format!("{}{path}", server.url())).send().await?;
        ensure!(answer.status() == 404, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
async fn the_page_works_in_a_browser() -> anyhow::Result<()> {
    let web = flamelake_testkit::package_dir().join("../web");
    if !web.join("node_modules/playwright-core").is_dir() || Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: no Node, or nothing installed for the page (make web)");
        return Ok(());
    }
    let server = Server::start(ServerOptions::new().fast_pushes()).await?;
    if !reqwest::get(server.url()).await?.text().await?.contains("<div id=\"root\">") {
        eprintln!("skipped: the page is not built into this binary (make web)");
        return Ok(());
    }
    let run = [web.join("e2e/run.mjs").into_os_string(), server.url().into(), "--seed".into()];
    // It starts one more, which wants tenants and tokens.
    let mut command = Command::new("node");
    command.args(run).env("FLAMELAKE_BIN", server::binary()?);
    // Told apart from the runtime's threads: it takes minutes.
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
