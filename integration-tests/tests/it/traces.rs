//! Own traces (`tracing.otlp-endpoint`): one trace leads from a push over the ingester into the block that its rows became, one from a query to what every
//! process contributed, and the histograms name them as exemplars. The collector is this test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Debug)]
struct Seen {
    /// `ring.instance-id` of the process.
    process: String,
    name: String,
    id: String,
    parent: String,
    attributes: BTreeMap<String, String>,
    links: Vec<String>,
}

/// By trace.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<BTreeMap<String, Vec<Seen>>>>);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| {
        let text = match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            _ => return None,
        };
        Some((pair.key.clone(), text))
    };
    attributes.iter().filter_map(text).collect()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut all = self.0.lock();
        for resource in request.into_inner().resource_spans {
            let about = texts(&resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            let process = about.get("service.instance.id").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let seen = Seen {
                    process: process.clone(),
                    name: span.name,
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: texts(&span.attributes),
                    links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                };
                all.entry(hex(&span.trace_id)).or_default().push(seen);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Serves on a free port; tells its URL.
    async fn serve(&self) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(url)
    }

    /// The spans of a trace, once all of these are there: `(process, start of its name)`.
    async fn trace(&self, id: &str, wanted: &[(&str, &str)]) -> anyhow::Result<Vec<Seen>> {
        let found = async {
            loop {
                let spans = self.0.lock().get(id).cloned().unwrap_or_default();
                let has = |(process, name): &(&str, &str)| {
                    spans.iter().any(|span| span.process == *process && span.name.starts_with(name))
                };
                if wanted.iter().all(has) {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        // Spans are sent every five seconds.
        tokio::time::timeout(Duration::from_secs(60), found).await.with_context(|| {
            let names = |span: &Seen| format!("{} {}", span.process, span.name);
            format!(
                "not all of {wanted:?}: {:?}",
                self.0.lock().get(id).map(|spans| spans.iter().map(names).collect::<Vec<_>>())
            )
        })
    }
}

/// Every span hangs on another one of the trace, the first on what the client sent.
fn hangs_together(spans: &[Seen], client: &str) -> anyhow::Result<()> {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).chain([client]).collect();
    for span in spans {
        ensure!(ids.contains(span.parent.as_str()), "{} of {} hangs on nothing: {spans:#?}", span.name, span.process);
    }
    Ok(())
}

const PUSH: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
const QUERY: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");

fn traceparent((trace, span): (&str, &str)) -> String {
    format!("00-{trace}-{span}-01")
}

#[tokio::test]
async fn one_trace_from_push_to_block_and_one_from_query_to_partial() -> anyhow::Result<()> {
    let collector = Collector::default();
    let endpoint = collector.serve().await?;
    let options = ServerOptions::new().flag(&format!("tracing.otlp-endpoint={endpoint}"));
    let processes = [("front", "distributor,querier"), ("ingester", "ingester"), ("gateway", "store-gateway")];
    let who = "one_trace_from_push_to_block";
    let Some(cluster) = Cluster::start(who, options, &processes).await? else { return Ok(()) };
    let client = cluster.client("front");

    let labels = [("__name__", "process_cpu"), ("service_name", "s")];
    let push = push_request(&labels, vec![(cpu_profile("main;a 1", now_ns()), "")]).encode_to_vec();
    let header = traceparent(PUSH);
    let headers = [("content-type", "application/proto"), ("traceparent", header.as_str())];
    let (status, _, answer) = client.post("/push.v1.PusherService/Push", &headers, push).await?;
    ensure!(status == 200, "{}", String::from_utf8_lossy(&answer));
    cluster.flush(&["ingester"]).await?;

    let now = now_ns() / 1_000_000;
    let query = json!({"profileTypeID": CPU, "labelSelector": "{}", "start": now - 3_600_000, "end": now + 60_000});
    let header = traceparent(QUERY);
    let headers = [("content-type", "application/json"), ("traceparent", header.as_str())];
    let path = "/querier.v1.QuerierService/SelectMergeStacktraces";
    let (status, _, answer) = client.post(path, &headers, query.to_string().into_bytes()).await?;
    ensure!(status == 200, "{}", String::from_utf8_lossy(&answer));

    let wanted = [
        ("front", "POST /push.v1.PusherService/Push"),
        ("front", "decode"),
        ("front", "send"),
        ("ingester", "POST /flamelake"),
        ("ingester", "append"),
        ("ingester", "in head"),
    ];
    let spans = collector.trace(PUSH.0, &wanted).await?;
    hangs_together(&spans, PUSH.1)?;
    let block = |spans: &[Seen]| spans.iter().find_map(|span| span.attributes.get("flamelake.block")).cloned();
    let made = block(&spans).context("the trace of the push names the block")?;
    // The flush is a trace of its own, with the same block, that names the push.
    let flush = collector.0.lock().values().flatten().find(|span| span.name == "flush").cloned().context("a flush")?;
    ensure!(flush.attributes.get("flamelake.block") == Some(&made) && flush.links == [PUSH.0], "{flush:?}");

    let wanted = [
        ("front", "POST /querier.v1.QuerierService/SelectMergeStacktraces"),
        ("front", "query"),
        ("front", "plan"),
        ("front", "ask ingesters"),
        ("front", "ask store-gateways"),
        ("front", "merge"),
        ("ingester", "POST /flamelake"),
        ("gateway", "POST /flamelake"),
        ("gateway", "read block"),
        ("gateway", "bucket get"),
    ];
    let spans = collector.trace(QUERY.0, &wanted).await?;
    hangs_together(&spans, QUERY.1)?;
    let read = spans.iter().find(|span| span.name == "read block").context("a block was read")?;
    ensure!(read.attributes.get("block") == Some(&made), "{read:?}");

    let openmetrics = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let text = String::from_utf8(client.get_with("/metrics", &openmetrics).await?)?;
    for (trace, route) in [(PUSH.0, "PusherService/Push"), (QUERY.0, "SelectMergeStacktraces")] {
        let exemplar = |line: &str| {
            line.starts_with("flamelake_request_duration_seconds_bucket")
                && line.contains(route)
                && line.contains(&format!("# {{trace_id=\"{trace}\""))
        };
        ensure!(text.lines().any(exemplar), "no exemplar of {route} names {trace}");
    }
    ensure!(text.ends_with("# EOF\n"));
    ensure!(!client.get_text("/metrics").await?.contains("trace_id"), "the plain text has no exemplars");
    cluster.expect_no_trouble()
}

#[tokio::test]
async fn without_an_endpoint_there_are_no_spans_and_no_exemplars() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().flag("log.level=trace")).await?;
    let header = traceparent(PUSH);
    let headers = [("content-type", "application/json"), ("traceparent", header.as_str())];
    server.client().post("/push.v1.PusherService/Push", &headers, b"{}".to_vec()).await?;
    let openmetrics = [("accept", "application/openmetrics-text")];
    let text = String::from_utf8(server.client().get_with("/metrics", &openmetrics).await?)?;
    ensure!(!text.contains("trace_id") && !text.contains("# EOF"), "{text}");
    Ok(())
}
