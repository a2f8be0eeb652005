//! The table "Real input for tests" of contract `ingest.md`, as far as its files are in the shared corpus: what each recording is sent as,
//! how it is answered, and which types of profiles it becomes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::Range;
use flamelake_integration_tests::client::Client;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, push_request};
use serde_json::{Value, json};

/// How a file is sent.
enum Way {
    /// `push.v1`, with this `__name__`.
    Push(&'static str),
    /// `/ingest` with more of the query, and the body as it is.
    Body(&'static str),
    /// `/ingest` with more of the query, in a form: the file's part, and other parts by their files.
    Form(&'static str, &'static str, &'static [(&'static str, &'static str)]),
    /// OTLP over HTTP.
    Otlp,
}
use Way::{Body, Form, Otlp, Push};

const GO_CPU: &[&str] = &["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "process_cpu:samples:count:cpu:nanoseconds"];
const GO_HEAP: &[&str] = &[
    "memory:alloc_objects:count:space:bytes",
    "memory:alloc_space:bytes:space:bytes",
    "memory:inuse_objects:count:space:bytes",
    "memory:inuse_space:bytes:space:bytes",
];
const DOTNET: &str = "&spyName=dotnetspy";

/// File, how it is sent, the answer's status, and the types that are there then.
type Row = (&'static str, Way, u16, &'static [&'static str]);

fn rows() -> Vec<Row> {
    let refused: &[&str] = &[];
    vec![
        ("pprof/go-heap-large.pb.gz", Push("memory"), 200, GO_HEAP),
        ("pprof/go-heap-small.pb.gz", Push("memory"), 200, GO_HEAP),
        ("pprof/go-cpu-labels.pb.gz", Push("process_cpu"), 200, GO_CPU),
        ("pprof/go-cpu-span-ids.pb.gz", Push("process_cpu"), 200, GO_CPU),
        ("pprof/no-address-no-line.pb.gz", Push("process_cpu"), 200, &["process_cpu:cpu:nanoseconds:cpu:nanoseconds"]),
        ("pprof/go-cpu-truncated.pb.gz", Push("process_cpu"), 200, GO_CPU),
        ("pprof/go-heap-truncated.pb.gz", Push("memory"), 200, &["memory:inuse_space:bytes:space:bytes"]),
        ("pprof/dotnet-pprof-3.pb.gz", Push("process_cpu"), 400, refused),
        ("pprof/invalid_utf8.pb.gz", Push("process_cpu"), 400, refused),
        ("pprof/java-cpu.pb.gz", Body("&format=pprof"), 200, &["process_cpu:cpu:nanoseconds:cpu:nanoseconds"]),
        ("pprof/invalid_utf8.pb.gz", Body("&format=pprof"), 422, refused),
        ("pprof/go-cpu-tiny.pb.gz", Form("profile", "", &[]), 200, GO_CPU),
        ("pprof/go-cpu-tiny.pb.gz", Form("profile", "", &[("prev_profile", "pprof/go-cpu-tiny.pb.gz")]), 422, refused),
        (
            "pprof/cpu-js.pb.gz",
            Body("&format=pprof"),
            200,
            &["wall:sample:count:wall:microseconds", "wall:wall:microseconds:wall:microseconds"],
        ),
        (
            "pprof/nodejs-wall.pb.gz",
            Body("&format=pprof"),
            200,
            &["wall:samples:count:wall:microseconds", "wall:wall:microseconds:wall:microseconds"],
        ),
        (
            "pprof/nodejs-heap.pb.gz",
            Body("&format=pprof"),
            200,
            &["memory:inuse_objects:count:inuse_space:bytes", "memory:inuse_space:bytes:inuse_space:bytes"],
        ),
        (
            "pprof/go-goroutines.pb.gz",
            Form("profile", "", &[("sample_type_config", "pprof/go-goroutines.st.json")]),
            200,
            &["goroutines:goroutine:count:goroutine:count"],
        ),
        (
            "pprof/go-block.pb.gz",
            Form("profile", "", &[("sample_type_config", "pprof/go-block.st.json")]),
            200,
            &["block:contentions:count:contentions:count", "block:delay:nanoseconds:contentions:count"],
        ),
        ("pprof/pyspy-1.pb.gz", Body("&format=pprof&spyName=pyspy"), 200, &["process_cpu:samples:count::milliseconds"]),
        (
            "pprof/dotnet-pprof-3.pb.gz",
            Form("profile", DOTNET, &[("sample_type_config", "pprof/dotnet-pprof-3.st.json")]),
            200,
            &["process_cpu:cpu:nanoseconds::nanoseconds"],
        ),
        ("jfr/kafka-cpu.jfr.gz", Body("&format=jfr"), 200, &["process_cpu:cpu:nanoseconds:cpu:nanoseconds"]),
        (
            "jfr/kafka-cpu-lock-alloc.jfr.gz",
            Body("&format=jfr"),
            200,
            &[
                "memory:alloc_in_new_tlab_bytes:bytes:space:bytes",
                "memory:alloc_in_new_tlab_objects:count:space:bytes",
                "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            ],
        ),
        (
            "jfr/dump2.jfr.gz",
            Form("jfr", "&format=jfr", &[("labels", "jfr/dump2.labels.pb.gz")]),
            200,
            &[
                "memory:alloc_in_new_tlab_bytes:bytes:space:bytes",
                "memory:alloc_in_new_tlab_objects:count:space:bytes",
                "memory:live:count:objects:count",
                "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
                "wall:wall:nanoseconds:wall:nanoseconds",
            ],
        ),
        (
            "speedscope/simple.speedscope.json",
            Body("&format=speedscope"),
            200,
            &["process_cpu:cpu:nanoseconds:cpu:nanoseconds"],
        ),
        (
            "speedscope/two-sampled.speedscope.json",
            Body("&format=speedscope"),
            200,
            &["wall:wall:nanoseconds:cpu:nanoseconds"],
        ),
        (
            "otlp/otel-ebpf-profile.pb.bin",
            Otlp,
            200,
            &["off_cpu:off_cpu:nanoseconds::", "process_cpu:cpu:nanoseconds:cpu:nanoseconds"],
        ),
    ]
}

fn form(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let part = |(name, content): &(&str, Vec<u8>)| {
        let head = format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    [parts.iter().flat_map(part).collect(), b"--b0--\r\n".to_vec()].concat()
}

async fn send(client: &Client, corpus: &Path, file: &str, way: &Way) -> anyhow::Result<(u16, String)> {
    let read = |file: &str| std::fs::read(corpus.join(file)).with_context(|| file.to_owned());
    let content = read(file)?;
    let (path, kind, body) = match way {
        Push(name) => {
            let labels = [("__name__", *name), ("service_name", "real")];
            let answer = push(client, &push_request(&labels, vec![(content, "")])).await?;
            let status =
                answer.as_ref().map_or_else(|error| if error.code == "invalid_argument" { 400 } else { 500 }, |()| 200);
            return Ok((status, answer.err().map(|error| error.message).unwrap_or_default()));
        }
        Body(query) => (format!("/ingest?name=real{query}"), "", content),
        Form(part, query, others) => {
            let mut parts = vec![(*part, content)];
            for (name, file) in *others {
                parts.push((name, read(file)?));
            }
            (format!("/ingest?name=real{query}"), "multipart/form-data; boundary=b0", form(&parts))
        }
        Otlp => ("/v1development/profiles".to_owned(), "application/x-protobuf", content),
    };
    let headers = [("content-type", kind)];
    let (status, _, answer) = client.post(&path, if kind.is_empty() { &[] } else { &headers }, body).await?;
    Ok((status, String::from_utf8_lossy(&answer).into_owned()))
}

async fn types(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let request = json!({"start": 1, "end": Range::around_now().end_ms});
    let (status, answer) = client.json("querier.v1.QuerierService/ProfileTypes", &request).await?;
    ensure!(status == 200, "{status} {answer}");
    let types = answer["profileTypes"].as_array().cloned().unwrap_or_default();
    Ok(types.iter().filter_map(|each| each["ID"].as_str().map(str::to_owned)).collect())
}

#[tokio::test]
async fn every_recording_is_taken_as_what_it_is() -> anyhow::Result<()> {
    let Some(shared) = flamelake_testkit::shared_dir("every_recording_is_taken_as_what_it_is") else { return Ok(()) };
    let server = Server::start(ServerOptions::new().golden()).await?;
    let mut wrong = Vec::new();
    for (at, (file, way, expected, expected_types)) in rows().into_iter().enumerate() {
        let client = server.tenant(&format!("row-{at}"));
        let (status, answer) = send(&client, &shared.join("corpus"), file, &way).await?;
        let found = types(&client).await?;
        let expected_types: BTreeSet<String> = expected_types.iter().map(|each| (*each).to_owned()).collect();
        if status != expected || found != expected_types {
            wrong.push(format!("{file}: {status} {answer}, {found:#?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whole requests of the SDKs that speak Push, as they sent them (those of Node are in `ingest.rs`).
#[tokio::test]
async fn captured_pushes_are_taken_byte_for_byte() -> anyhow::Result<()> {
    let Some(shared) = flamelake_testkit::shared_dir("captured_pushes_are_taken_byte_for_byte") else { return Ok(()) };
    let server = Server::start(ServerOptions::new().golden()).await?;
    for capture in ["python-pyroscope-io-1.4.0", "rust-pyroscope-2.1.5"] {
        let file = |end: &str| shared.join(format!("corpus/captures/{capture}-push.PusherService-Push.{end}"));
        let request: Value = serde_json::from_slice(&std::fs::read(file("json"))?)?;
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_array()
            .context("headers")?
            .iter()
            .filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
            // Of the connection, which is another.
            .filter(|(name, _)| !["host", "content-length"].contains(name))
            .collect();
        let path = request["path"].as_str().context("a path")?;
        let (status, _, answer) = server.client().post(path, &headers, std::fs::read(file("bin"))?).await?;
        ensure!(status == 200, "{capture}: {status} {}", String::from_utf8_lossy(&answer));
        let tenant = headers.iter().find(|(name, _)| *name == "x-scope-orgid").context("a tenant")?.1;
        let found = types(&server.tenant(tenant)).await?;
        ensure!(found.contains("process_cpu:cpu:nanoseconds:cpu:nanoseconds"), "{capture}: {found:?}");
    }
    Ok(())
}

/// Services that have a type of profiles.
async fn services(client: &Client, profile_type: &str) -> anyhow::Result<Vec<String>> {
    let matchers = [format!("{{__profile_type__=\"{profile_type}\"}}")];
    let request = json!({"name": "service_name", "matchers": matchers, "start": 1, "end": Range::around_now().end_ms});
    let (_, answer) = client.json("querier.v1.QuerierService/LabelValues", &request).await?;
    let names = answer["names"].as_array().cloned().unwrap_or_default();
    Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[tokio::test]
async fn what_else_the_table_says() -> anyhow::Result<()> {
    let Some(shared) = flamelake_testkit::shared_dir("what_else_the_table_says") else { return Ok(()) };
    let (server, corpus) = (Server::start(ServerOptions::new().golden()).await?, shared.join("corpus"));
    let client = server.tenant("ebpf");
    send(&client, &corpus, "otlp/otel-ebpf-profile.pb.bin", &Otlp).await?;
    let found = services(&client, "process_cpu:cpu:nanoseconds:cpu:nanoseconds").await?;
    // Samples with a process are its own; the others have the name that the contract has for all.
    ensure!(found.iter().any(|name| name == "unknown_service"), "{found:?}");
    ensure!(found.iter().all(|name| name.starts_with("unknown_service")), "{found:?}");
    // A recording whose first byte was zeroed is none.
    let mut broken = flamelake_testkit::profile::gunzip(&std::fs::read(corpus.join("jfr/kafka-cpu.jfr.gz"))?);
    broken[0] = 0;
    let (status, _, _) = server.tenant("jfr").post("/ingest?name=a&format=jfr", &[], broken).await?;
    ensure!(status == 422, "a broken recording: {status}");
    // .NET's functions with id 0 are named as what they are.
    let (_, why) = send(&client, &corpus, "pprof/dotnet-pprof-3.pb.gz", &Push("process_cpu")).await?;
    ensure!(why.contains("function id is 0"), "{why}");
    Ok(())
}
