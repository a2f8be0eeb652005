//! Promise: one question gets one answer over every protocol, and one mistake one code.

use anyhow::{Context as _, ensure};
use flamelake_api::push::v1::{PushRequest, PushResponse};
use flamelake_api::querier::v1::{
    ProfileTypesRequest, ProfileTypesResponse, SelectMergeStacktracesRequest, SelectMergeStacktracesResponse,
    SelectSeriesRequest, SelectSeriesResponse, SeriesRequest, SeriesResponse,
};
use flamelake_api::types::v1::{LabelValuesRequest, LabelValuesResponse};
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::client::Answer;
use flamelake_integration_tests::{
    Client, Protocol, Server, ServerOptions, cpu_profile, now_ns, push_request, tree_of,
};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asks over every protocol and wants equal answers.
async fn everywhere<Req, Resp>(client: &Client, method: &str, request: &Req) -> anyhow::Result<Resp>
where
    Req: Message + Serialize + Clone + 'static,
    Resp: Message + DeserializeOwned + Default + PartialEq + std::fmt::Debug + 'static,
{
    let method = format!("querier.v1.QuerierService/{method}");
    let mut first: Option<Resp> = None;
    for protocol in Protocol::ALL {
        let answer: Answer<Resp> = client.call(protocol, &method, request).await;
        let answer = answer.with_context(|| format!("{method} over {protocol:?}"))??;
        if let Some(first) = &first {
            ensure!(*first == answer, "{method} over {protocol:?}: {answer:?}, over Connect JSON: {first:?}");
        }
        first.get_or_insert(answer);
    }
    first.context("no protocol was asked")
}

#[tokio::test]
async fn pushes_and_queries_mean_the_same_over_every_protocol() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("protocols");
    let now = now_ns();
    for (at, protocol) in Protocol::ALL.into_iter().enumerate() {
        let pod = format!("p{at}");
        let labels = [("__name__", "process_cpu"), ("service_name", "wire"), ("pod", pod.as_str())];
        let request = push_request(&labels, vec![(cpu_profile("main;a 1", now - at as i64), "")]);
        let answer: Answer<PushResponse> = client.call(protocol, "push.v1.PusherService/Push", &request).await;
        answer.with_context(|| format!("push over {protocol:?}"))??;
    }
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let types: ProfileTypesResponse = everywhere(&client, "ProfileTypes", &ProfileTypesRequest { start, end }).await?;
    ensure!(types.profile_types.len() == 1 && types.profile_types[0].id == CPU, "{types:?}");
    let values = LabelValuesRequest { name: "pod".to_owned(), start, end, ..Default::default() };
    let values: LabelValuesResponse = everywhere(&client, "LabelValues", &values).await?;
    ensure!(values.names.len() == Protocol::ALL.len(), "{values:?}");
    let series = SeriesRequest { label_names: vec!["pod".to_owned()], start, end, ..Default::default() };
    let series: SeriesResponse = everywhere(&client, "Series", &series).await?;
    ensure!(series.labels_set.len() == Protocol::ALL.len(), "{series:?}");
    let stacks = SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start,
        end,
        ..Default::default()
    };
    let stacks: SelectMergeStacktracesResponse = everywhere(&client, "SelectMergeStacktraces", &stacks).await?;
    let tree = tree_of(stacks.flamegraph.as_ref().context("a flame graph")?)?;
    ensure!(tree["main;a"] == (Protocol::ALL.len() as i64, Protocol::ALL.len() as i64), "{tree:?}");
    let points = SelectSeriesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start,
        end,
        group_by: vec!["pod".to_owned()],
        step: 15.0,
        ..Default::default()
    };
    let points: SelectSeriesResponse = everywhere(&client, "SelectSeries", &points).await?;
    ensure!(points.series.len() == Protocol::ALL.len(), "{points:?}");
    Ok(())
}

#[tokio::test]
async fn a_mistake_has_one_code_and_text_everywhere() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let push = "push.v1.PusherService/Push";
    let mut texts = Vec::new();
    for protocol in Protocol::ALL {
        let answer: Answer<PushResponse> = server.tenant("t").call(protocol, push, &PushRequest::default()).await;
        let error = answer?.err().with_context(|| format!("{protocol:?} took an empty push"))?;
        ensure!(error.code == "invalid_argument", "{protocol:?}: {error}");
        texts.push(error.message);
        let answer: Answer<PushResponse> = server.client().call(protocol, push, &PushRequest::default()).await;
        let error = answer?.err().with_context(|| format!("{protocol:?} took a push of nobody"))?;
        ensure!(error.code == "unauthenticated", "{protocol:?}: {error}");
        let answer: Answer<PushResponse> = server.tenant("a|b").call(protocol, push, &PushRequest::default()).await;
        let error = answer?.err().with_context(|| format!("{protocol:?} took a push of two tenants"))?;
        ensure!(error.code == "unauthenticated", "{protocol:?}: {error}");
    }
    ensure!(texts.iter().all(|text| text == "no profiles received"), "{texts:?}");
    Ok(())
}

#[tokio::test]
async fn tenants_never_see_each_other_and_lists_see_all() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    for (tenant, folded) in [("a", "main;a 1"), ("b", "main;b 2")] {
        let labels = [("__name__", "process_cpu"), ("service_name", "s")];
        let request = push_request(&labels, vec![(cpu_profile(folded, now_ns()), "")]);
        let answer: Answer<PushResponse> =
            server.tenant(tenant).call(Protocol::ConnectProto, "push.v1.PusherService/Push", &request).await;
        answer??;
    }
    for (tenants, want) in [("a", "main main;a"), ("b", "main main;b"), ("b|a", "main main;a main;b"), ("c", "")] {
        let range = Range::around_now();
        let tree = flamelake_integration_tests::answers::flame(&server.tenant(tenants), "{}", range).await?;
        let got = tree.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        ensure!(got == want, "{tenants}: {got}");
    }
    Ok(())
}
