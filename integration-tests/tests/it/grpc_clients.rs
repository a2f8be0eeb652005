//! Promise: gRPC works for clients that know nothing of us but the proto files: generated ones, and `grpcurl` by reflection.

use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_api::push::v1::pusher_service_client::PusherServiceClient;
use flamelake_api::querier::v1::querier_service_client::QuerierServiceClient;
use flamelake_api::querier::v1::{
    AnalyzeQueryRequest, DiffRequest, ProfileTypesRequest, SelectHeatmapRequest, SelectMergeProfileRequest,
    SelectMergeSpanProfileRequest, SelectMergeStacktracesRequest, SelectSeriesRequest, SeriesRequest,
};
use flamelake_api::types::v1::{GetProfileStatsRequest, LabelNamesRequest, LabelValuesRequest};
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_cpu, push_request, tree_of};
use flamelake_testkit::{ProfileBuilder, tools};
use tonic::{Code, Request};

/// A request as the tenant of these tests.
fn of_tenant<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-scope-orgid", "grpc".parse().expect("plain text"));
    request
}

#[tokio::test]
async fn a_generated_client_pushes_and_asks_everything() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let mut pusher = PusherServiceClient::connect(server.url()).await?;
    let labels = [("__name__", "process_cpu"), ("service_name", "generated"), ("pod", "p")];
    let spans = ProfileBuilder::cpu().time_ns(now_ns() - 1).sample("main;b", &[5], |s| {
        s.span(7);
    });
    let profiles = vec![(cpu_profile("main;a 1\nmain 2", now_ns()), ""), (spans.gzip(), "")];
    let pushed = pusher.push(of_tenant(push_request(&labels, profiles.clone()))).await;
    pushed.context("push")?;
    let refused = pusher.push(push_request(&labels, profiles)).await.err().context("a push without a tenant")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused}");

    let mut querier = QuerierServiceClient::connect(server.url()).await?;
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let (profile_type_id, label_selector) = (CPU.to_owned(), r#"{service_name="generated"}"#.to_owned());
    let types = querier.profile_types(of_tenant(ProfileTypesRequest { start, end })).await?.into_inner();
    ensure!(types.profile_types.len() == 1 && types.profile_types[0].id == CPU, "{types:?}");
    let names = LabelNamesRequest { start, end, ..Default::default() };
    let names = querier.label_names(of_tenant(names)).await?.into_inner().names;
    ensure!(names.iter().any(|name| name == "pod"), "{names:?}");
    let values = LabelValuesRequest { name: "service_name".to_owned(), start, end, ..Default::default() };
    let values = querier.label_values(of_tenant(values)).await?.into_inner().names;
    ensure!(values == ["generated"], "{values:?}");
    let series = SeriesRequest { label_names: vec!["pod".to_owned()], start, end, ..Default::default() };
    let series = querier.series(of_tenant(series)).await?.into_inner().labels_set;
    ensure!(series.len() == 1 && series[0].labels[0].value == "p", "{series:?}");

    let stacks = SelectMergeStacktracesRequest {
        profile_type_id: profile_type_id.clone(),
        label_selector: label_selector.clone(),
        start,
        end,
        ..Default::default()
    };
    let answer = querier.select_merge_stacktraces(of_tenant(stacks.clone())).await?.into_inner();
    let tree = tree_of(&answer.flamegraph.context("a flame graph")?)?;
    ensure!(tree["main"] == (8, 2) && tree["main;a"] == (1, 1) && tree["main;b"] == (5, 5), "{tree:?}");
    let spans = SelectMergeSpanProfileRequest {
        profile_type_id: profile_type_id.clone(),
        label_selector: label_selector.clone(),
        span_selector: vec!["0700000000000000".to_owned()],
        start,
        end,
        ..Default::default()
    };
    let answer = querier.select_merge_span_profile(of_tenant(spans)).await?.into_inner();
    let tree = tree_of(&answer.flamegraph.context("a flame graph")?)?;
    ensure!(tree["main"] == (5, 0) && tree.len() == 2, "{tree:?}");
    let profile = SelectMergeProfileRequest {
        profile_type_id: profile_type_id.clone(),
        label_selector: label_selector.clone(),
        start,
        end,
        ..Default::default()
    };
    let profile = querier.select_merge_profile(of_tenant(profile)).await?.into_inner();
    ensure!(profile.sample.iter().flat_map(|sample| &sample.value).sum::<i64>() == 8, "{profile:?}");
    let points = SelectSeriesRequest { profile_type_id, label_selector, start, end, step: 15.0, ..Default::default() };
    let points = querier.select_series(of_tenant(points)).await?.into_inner().series;
    ensure!(points.iter().flat_map(|series| &series.points).map(|point| point.value).sum::<f64>() == 8.0, "{points:?}");
    let diff = DiffRequest { left: Some(stacks.clone()), right: Some(stacks) };
    let diff = querier.diff(of_tenant(diff)).await?.into_inner().flamegraph.context("a diff")?;
    ensure!((diff.left_ticks, diff.right_ticks) == (8, 8), "{diff:?}");

    let heatmap = SelectHeatmapRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start,
        end,
        step: 15.0,
        query_type: 1,
        ..Default::default()
    };
    let heatmap = querier.select_heatmap(of_tenant(heatmap)).await?.into_inner().series;
    let counts = heatmap.iter().flat_map(|series| &series.slots).flat_map(|slot| &slot.counts);
    ensure!(counts.sum::<i32>() == 2, "{heatmap:?}");
    let stats = querier.get_profile_stats(of_tenant(GetProfileStatsRequest {})).await?.into_inner();
    ensure!(stats.data_ingested && stats.newest_profile_time - stats.oldest_profile_time <= 1, "{stats:?}");
    querier.analyze_query(of_tenant(AnalyzeQueryRequest { start, end, ..Default::default() })).await?;
    Ok(())
}

#[tokio::test]
async fn grpcurl_lists_describes_and_calls() -> anyhow::Result<()> {
    let Some(grpcurl) = tools::program("grpcurl_lists_describes_and_calls", "grpcurl", &["-version"]) else {
        return Ok(());
    };
    let server = Server::start(ServerOptions::new()).await?;
    push_cpu(&server.client(), "curled", "main;a 7", now_ns()).await?;
    let address = server.url().replace("http://", "");
    let grpcurl = |before: &[&str], after: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(&grpcurl).arg("-plaintext").args(before).arg(&address).args(after).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{after:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    };
    let services = grpcurl(&[], &["list"])?;
    for service in ["push.v1.PusherService", "querier.v1.QuerierService", "grpc.health.v1.Health"] {
        ensure!(services.lines().any(|line| line == service), "{services}");
    }
    let methods = grpcurl(&[], &["list", "querier.v1.QuerierService"])?;
    ensure!(methods.lines().count() == 12, "{methods}");
    let method = grpcurl(&[], &["describe", "querier.v1.QuerierService.SelectSeries"])?;
    ensure!(method.contains(".querier.v1.SelectSeriesRequest"), "{method}");
    let message = grpcurl(&[], &["describe", "google.v1.Profile"])?;
    ensure!(message.contains("repeated string string_table = 6"), "{message}");
    let Range { start_ms, end_ms } = Range::around_now();
    let request = format!(r#"{{"name":"service_name","start":{start_ms},"end":{end_ms}}}"#);
    let values = grpcurl(&["-d", &request], &["querier.v1.QuerierService/LabelValues"])?;
    ensure!(values.contains("\"curled\""), "{values}");
    let request = format!(r#"{{"profile_typeID":"{CPU}","label_selector":"{{}}","start":{start_ms},"end":{end_ms}}}"#);
    let stacks = grpcurl(&["-d", &request], &["querier.v1.QuerierService/SelectMergeStacktraces"])?;
    ensure!(stacks.contains("\"total\": \"7\""), "{stacks}");
    let health = grpcurl(&[], &["grpc.health.v1.Health/Check"])?;
    ensure!(health.contains("SERVING"), "{health}");
    Ok(())
}
