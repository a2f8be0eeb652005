//! Promise: OTLP profiles arrive over gRPC, binary HTTP and JSON, and are found as any other profile.

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::client::Answer;
use flamelake_integration_tests::{Protocol, Server, ServerOptions};
use prost::Message;
use serde_json::{Value, json};

const EXPORT: &str = "opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

/// A request whose parts are encoded already.
#[derive(Clone, PartialEq, Message, serde::Serialize)]
struct Export {
    #[prost(bytes = "vec", repeated, tag = "1")]
    resource_profiles: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "2")]
    dictionary: Vec<u8>,
}

#[derive(Clone, PartialEq, Message, serde::Deserialize)]
struct Nothing {}

/// A field that holds bytes or a message.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2, u8::try_from(content.len()).expect("a short field")], content].concat()
}

fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

/// `main;work`, seen twice with a period of 10 ns: 20 ns of CPU time.
fn export(service: &str) -> Export {
    let strings = ["", "samples", "count", "cpu", "nanoseconds", "main", "work"];
    let strings = strings.iter().flat_map(|text| field(5, text.as_bytes()));
    let function = |name| field(3, &number(1, name));
    let location = |function| field(2, &field(3, &number(1, function)));
    let functions = [field(3, &[]), function(5), function(6)].concat();
    let locations = [field(2, &[]), location(1), location(2)].concat();
    let stacks = [field(7, &[]), field(7, &field(1, &[2, 1]))].concat();
    let dictionary = [functions, locations, stacks].concat().into_iter().chain(strings).collect();
    let sample = [number(1, 1), field(4, &[2])].concat();
    let types = |tag, name| field(tag, &[number(1, name), number(2, name + 1)].concat());
    let profile = [types(1, 1), field(2, &sample), types(5, 3), number(6, 10)].concat();
    let value = field(2, &field(1, service.as_bytes()));
    let attribute = [field(1, b"service.name"), value].concat();
    let resource = [field(1, &field(1, &attribute)), field(2, &field(2, &profile))].concat();
    Export { resource_profiles: vec![resource], dictionary }
}

fn export_json(service: &str) -> Value {
    json!({
        "resourceProfiles": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
            "scopeProfiles": [{ "profiles": [{
                "sampleType": { "typeStrindex": 1, "unitStrindex": 2 },
                "periodType": { "typeStrindex": 3, "unitStrindex": 4 },
                "period": "10",
                "samples": [{ "stackIndex": 1, "values": ["2"] }],
            }] }],
        }],
        "dictionary": {
            "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "main", "work"],
            "functionTable": [{}, { "nameStrindex": 5 }, { "nameStrindex": 6 }],
            "locationTable": [{}, { "lines": [{ "functionIndex": 1 }] }, { "lines": [{ "functionIndex": 2 }] }],
            "stackTable": [{}, { "locationIndices": [2, 1] }],
        },
    })
}

#[tokio::test]
async fn every_way_of_sending_is_found() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("otlp");
    let sent: Answer<Nothing> = client.call(Protocol::Grpc, EXPORT, &export("grpc")).await;
    sent.context("gRPC")??;
    for (service, path, content_type) in [
        ("binary", "/v1development/profiles", "application/x-protobuf"),
        ("prefixed", "/otlp/v1development/profiles", "application/protobuf"),
    ] {
        let (status, answered, body) =
            client.post(path, &[("content-type", content_type)], export(service).encode_to_vec()).await?;
        ensure!((status, answered.as_str()) == (200, content_type), "{path}: {status} {answered} {body:?}");
    }
    let body = export_json("json").to_string().into_bytes();
    let (status, _, body) =
        client.post("/v1development/profiles", &[("content-type", "application/json")], body).await?;
    ensure!(status == 200, "JSON: {status} {}", String::from_utf8_lossy(&body));
    for service in ["grpc", "binary", "prefixed", "json"] {
        let tree = flame(&client, &format!("{{service_name=\"{service}\"}}"), Range::around_now()).await?;
        ensure!(tree.get("main;work") == Some(&(20, 20)), "{service}: {tree:?}");
    }
    let headers = [("content-type", "application/x-protobuf")];
    let (status, _, body) = client.post("/v1development/profiles", &headers, Vec::new()).await?;
    ensure!(status == 400, "an empty request: {status} {}", String::from_utf8_lossy(&body));
    ensure!(body == b"invalid OTLP profiles: the request has no resource profiles", "plain text: {body:?}");
    let (status, _, _) = client.post("/v1development/profiles", &[("content-type", "text/plain")], Vec::new()).await?;
    ensure!(status == 415, "another content type: {status}");
    let (status, _, _) = server.client().post("/v1development/profiles", &headers, export("x").encode_to_vec()).await?;
    ensure!(status == 401, "no tenant: {status}");
    Ok(())
}

#[tokio::test]
async fn what_can_never_be_stored_is_counted_and_the_rest_is_stored() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("otlp");
    let mut request = export_json("good");
    let mut bad = request["resourceProfiles"][0].clone();
    bad["scopeProfiles"][0]["profiles"][0]["timeUnixNano"] = json!("1");
    request["resourceProfiles"].as_array_mut().context("a list")?.push(bad.clone());
    let json = [("content-type", "application/json")];
    let (status, _, body) = client.post("/v1development/profiles", &json, request.to_string().into_bytes()).await?;
    let answer: Value = serde_json::from_slice(&body)?;
    ensure!((status, &answer["partialSuccess"]["rejectedProfiles"]) == (200, &json!("1")), "{status} {answer}");
    let why = answer["partialSuccess"]["errorMessage"].as_str().unwrap_or_default();
    ensure!(why.contains("push series with index 1"), "{answer}");
    let tree = flame(&client, "{service_name=\"good\"}", Range::around_now()).await?;
    ensure!(tree.get("main;work") == Some(&(20, 20)), "{tree:?}");
    request["resourceProfiles"] = json!([bad]);
    let (status, kind, body) = client.post("/v1development/profiles", &json, request.to_string().into_bytes()).await?;
    ensure!(status == 400 && kind.starts_with("text/plain"), "{status} {kind} {}", String::from_utf8_lossy(&body));
    Ok(())
}
