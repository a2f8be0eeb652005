//! A server that keeps everything in S3, its log too: what was acknowledged survives any kill, and no local file is needed.

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame, flame_sum, series_sum};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

fn options(s3: &S3Server) -> ServerOptions {
    let flags = [
        "storage.backend=s3".to_owned(),
        format!("storage.s3.endpoint={}", s3.endpoint()),
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
    let mut server = Server::start(options(&s3)).await?;
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
