//! Profile-guided optimisation: a Go program profiles itself, its profile is pushed, and what comes back makes the compiler inline its hot call.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, push_request, skip};

fn go(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new("go").args(arguments).current_dir(folder).output().context("go")
}

fn done(output: Output) -> anyhow::Result<String> {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{text}");
    Ok(text)
}

/// What the compiler says of its inlining of package `hot`, with a profile or without. As `go build -pgo` does it, for this package alone.
fn inlined(program: &Path, profile: Option<&str>) -> anyhow::Result<String> {
    let mut arguments = vec!["tool", "compile", "-p", "example/hot", "-m", "-o", "/dev/null"];
    if let Some(profile) = profile {
        done(go(program, &["tool", "preprofile", "-i", profile, "-o", "hot.pre"])?)?;
        arguments.extend(["-pgoprofile", "hot.pre"]);
    }
    arguments.push("hot/hot.go");
    done(go(program, &arguments)?)
}

#[tokio::test]
async fn go_inlines_what_our_profile_says_is_hot() -> anyhow::Result<()> {
    let who = "go_inlines_what_our_profile_says_is_hot";
    let folder = tempfile::tempdir()?;
    if !go(folder.path(), &["version"]).is_ok_and(|output| output.status.success()) {
        skip(who, "no go");
        return Ok(());
    }
    let program = flamelake_testkit::package_dir().join("clients/go-hot");
    let built = folder.path().join("hot").display().to_string();
    done(go(&program, &["build", "-o", &built, "."])?)?;
    let own = folder.path().join("cpu.pb.gz");
    done(Command::new(&built).arg(&own).output()?)?;
    // The compiler writes beside its input.
    fs::create_dir(folder.path().join("hot_source"))?;
    let source = folder.path().join("hot_source");
    fs::create_dir(source.join("hot"))?;
    fs::copy(program.join("hot/hot.go"), source.join("hot/hot.go"))?;

    let server = Server::start(ServerOptions::new()).await?;
    let labels = [("__name__", "process_cpu"), ("service_name", "hot")];
    push(&server.client(), &push_request(&labels, vec![(fs::read(&own)?, "")])).await??;
    for flushed in [false, true] {
        if flushed {
            server.flush().await?;
        }
        let profile = server.client().get_bytes("/api/v1/pgo/go?service=hot").await?;
        fs::write(source.join("default.pgo"), &profile)?;
        let told = inlined(&source, Some("default.pgo"))?;
        ensure!(told.contains("inlining call to mix"), "flushed: {flushed}: {told}");
    }
    ensure!(!inlined(&source, None)?.contains("inlining call to mix"), "it is inlined anyway: the test asks nothing");
    ensure!(server.client().get_status("/api/v1/pgo/go?service=nobody").await? == 404);
    Ok(())
}
