//! A server that keeps everything in S3, its log too: what was acknowledged survives any kill, and no local file is needed.

use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame, flame_sum, series_sum};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};
use flamelake_testkit::Etcd;
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use flamelake_testkit::s3_without_create::S3WithoutCreate;

fn options(endpoint: &str) -> ServerOptions {
    let flags = [
        "storage.backend=s3".to_owned(),
        format!("storage.s3.endpoint={endpoint}"),
        format!("storage.s3.bucket-name={BUCKET}"),
        format!("storage.s3.access-key-id={ACCESS_KEY}"),
        format!("storage.s3.secret-access-key={SECRET_KEY}"),
        "storage.s3.insecure=true".to_owned(),
        "storage.s3.force-path-style=true".to_owned(),
        // Quick for a test: a bucket's own default is 250ms.
        "log.flush-interval=20ms".to_owned(),
    ];
    ServerOptions::new().flags(flags.iter().map(String::as_str))
}

async fn check(server: &Server, pushed: i64) -> anyhow::Result<()> {
    let range = Range::around_now();
    let tree = flame(&server.client(), r#"{service_name="s3"}"#, range).await?;
    let series = series_sum(&server.client(), r#"{service_name="s3"}"#, range).await?;
    ensure!(flame_sum(&tree) == pushed && series == pushed as f64, "{pushed} pushed, series {series}: {tree:#?}");
    Ok(())
}

#[tokio::test]
async fn everything_lies_in_the_bucket() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(s3) = S3Server::start("everything_lies_in_the_bucket", folder.path())? else { return Ok(()) };
    let mut server = Server::start(options(&s3.endpoint())).await?;
    let mut pushed = 0;
    for round in 0..6 {
        for number in 0..4 {
            push_cpu(&server.client(), "s3", &format!("main;f{round};g{number} 1"), now_ns()).await?;
            pushed += 1;
        }
        check(&server, pushed).await?;
        match round % 3 {
            0 => drop(server.crash().await?),
            1 => server.flush().await?,
            _ => server.restart().await?,
        }
        check(&server, pushed).await?;
    }
    ensure!(!server.data().exists(), "nothing is written to the machine");
    let troubles = server.troubles();
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused_or_decided_by_etcd() -> anyhow::Result<()> {
    let (who, folder) = ("a_store_that_overwrites", tempfile::tempdir()?);
    let Some(s3) = S3Server::start(who, folder.path())? else { return Ok(()) };
    let Some(etcd) = Etcd::start(who) else { return Ok(()) };
    let proxy = S3WithoutCreate::before(&s3.endpoint())?;
    let refused = Server::start(options(proxy.endpoint())).await.err().map(|error| error.to_string());
    ensure!(refused.as_ref().is_some_and(|text| text.contains("set log.arbiter: etcd")), "{refused:?}");

    let member = |name: &str| {
        let flags = [
            "log.arbiter=etcd".to_owned(),
            format!("ring.etcd.endpoints={}", etcd.endpoint()),
            format!("ring.instance-id={name}"),
            "ring.instance-addr=127.0.0.1".to_owned(),
            "ring.lease-ttl=2s".to_owned(),
            "ring.forget-after=1s".to_owned(),
        ];
        options(proxy.endpoint()).flags(flags.iter().map(String::as_str))
    };
    let (mut one, mut two) = (Server::start(member("one")).await?, Server::start(member("two")).await?);
    let mut pushed = 0;
    for number in 0..12 {
        let server = if number % 2 == 0 { &one } else { &two };
        push_cpu(&server.client(), "s3", &format!("main;f{number} 1"), now_ns()).await?;
        push_cpu(&server.client(), &format!("other{number}"), "main 1", now_ns()).await?;
        pushed += 1;
        if number % 4 == 3 {
            one.flush().await?;
            check(&two, pushed).await?;
        }
    }
    // The log of the dead one is sealed and recovered by the other, both by puts that etcd decides.
    one.kill()?;
    while let Err(error) = check(&two, pushed).await {
        ensure!(two.troubles().is_empty(), "{error:#}\n{:#?}", two.troubles());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    one.launch().await?;
    two.crash().await?;
    check(&two, pushed).await?;
    push_cpu(&one.client(), "s3", "main;late 1", now_ns()).await?;
    check(&two, pushed + 1).await?;
    Ok(())
}
