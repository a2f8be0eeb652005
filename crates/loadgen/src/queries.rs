//! The questions of the table, asked one at a time over Connect binary; the median counts.

use std::time::{Duration, Instant};

use anyhow::ensure;
use flamelake_api::google::v1::Profile;
use flamelake_api::querier::v1::{
    ProfileTypesRequest, ProfileTypesResponse, SelectMergeProfileRequest, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse, SelectSeriesRequest, SelectSeriesResponse, SeriesRequest, SeriesResponse,
};
use flamelake_api::types::v1::{LabelValuesRequest, LabelValuesResponse};
use prost::Message;

use crate::fleet::{POD, range_ms};
use crate::process::ServerProcess;
use crate::push::{client, millis, percentile};
use crate::report::Report;

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const HEAP: &str = "memory:inuse_space:bytes:space:bytes";

struct Asker<'a> {
    http: reqwest::Client,
    url: &'a str,
    tenant: &'a str,
    runs: usize,
    server: Option<&'a ServerProcess>,
    start: i64,
    end: i64,
}

/// All questions; their answers' sizes go to the report too, so that two servers can be compared.
pub(crate) async fn ask_all(
    url: &str,
    tenant: &str,
    scale: usize,
    runs: usize,
    now_ns: i64,
    server: Option<&ServerProcess>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (start, end) = range_ms(scale, now_ns);
    let asker = Asker { http: client()?, url, tenant, runs, server, start, end };
    let flames = [
        ("flame graph, all services, CPU type", CPU, "{}".to_owned(), None),
        ("flame graph, one service, 2,048 nodes", CPU, r#"{service_name="checkout"}"#.to_owned(), Some(2048)),
        ("flame graph, one pod", CPU, format!(r#"{{pod="{POD}"}}"#), None),
        ("flame graph, heap, 2,048 nodes", HEAP, "{}".to_owned(), Some(2048)),
    ];
    for (what, profile_type, selector, max_nodes) in flames {
        asker.flame(what, profile_type, selector, max_nodes, report).await?;
    }
    for (what, group_by) in
        [("SelectSeries by pod, step 15 s", vec!["pod".to_owned()]), ("SelectSeries total", Vec::new())]
    {
        let request = SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start,
            end,
            group_by,
            step: 15.0,
            ..Default::default()
        };
        let answer: SelectSeriesResponse = asker.ask(what, "SelectSeries", &request, report).await?;
        let points: usize = answer.series.iter().map(|series| series.points.len()).sum();
        report.answer(what, format!("{} series, {points} points", answer.series.len()));
    }
    asker.profile(report).await?;
    asker.metadata(report).await
}

impl Asker<'_> {
    async fn flame(
        &self,
        what: &str,
        profile_type: &str,
        selector: String,
        max_nodes: Option<i64>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let request = SelectMergeStacktracesRequest {
            profile_type_id: profile_type.to_owned(),
            label_selector: selector,
            start: self.start,
            end: self.end,
            max_nodes,
            ..Default::default()
        };
        let answer: SelectMergeStacktracesResponse = self.ask(what, "SelectMergeStacktraces", &request, report).await?;
        let graph = answer.flamegraph.unwrap_or_default();
        let bars: usize = graph.levels.iter().map(|level| level.values.len() / 4).sum();
        report.answer(what, format!("total {}, {bars} bars", graph.total));
        Ok(())
    }

    async fn profile(&self, report: &mut Report) -> anyhow::Result<()> {
        let what = "SelectMergeProfile, one service";
        let request = SelectMergeProfileRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: r#"{service_name="checkout"}"#.to_owned(),
            start: self.start,
            end: self.end,
            ..Default::default()
        };
        let profile: Profile = self.ask(what, "SelectMergeProfile", &request, report).await?;
        let total: i64 = profile.sample.iter().filter_map(|sample| sample.value.first()).sum();
        report.answer(what, format!("total {total}, {} samples", profile.sample.len()));
        Ok(())
    }

    async fn metadata(&self, report: &mut Report) -> anyhow::Result<()> {
        let (start, end) = (self.start, self.end);
        let request = ProfileTypesRequest { start, end };
        let types: ProfileTypesResponse = self.ask("ProfileTypes", "ProfileTypes", &request, report).await?;
        report.answer("ProfileTypes", format!("{} types", types.profile_types.len()));
        let request = LabelValuesRequest { name: "pod".to_owned(), start, end, ..Default::default() };
        let values: LabelValuesResponse = self.ask("LabelValues", "LabelValues", &request, report).await?;
        report.answer("LabelValues", format!("{} values", values.names.len()));
        let label_names = vec!["service_name".to_owned(), "__profile_type__".to_owned()];
        let request = SeriesRequest { label_names, start, end, ..Default::default() };
        let series: SeriesResponse = self.ask("Series", "Series", &request, report).await?;
        report.answer("Series", format!("{} sets", series.labels_set.len()));
        Ok(())
    }

    /// Once to warm up, then `runs` times; the answer is the last one.
    async fn ask<Req: Message, Resp: Message + Default>(
        &self,
        what: &str,
        method: &str,
        request: &Req,
        report: &mut Report,
    ) -> anyhow::Result<Resp> {
        let body = request.encode_to_vec();
        let mut answer = self.once(method, body.clone()).await?;
        let cpu_before = self.server.map(ServerProcess::cpu_seconds).transpose()?;
        let mut times = Vec::with_capacity(self.runs);
        for _ in 0..self.runs.max(1) {
            let begun = Instant::now();
            answer = self.once(method, body.clone()).await?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        report.figure(what, millis(percentile(&times, 0.5)), "ms");
        if let (Some(server), Some(before)) = (self.server, cpu_before) {
            let cpu = Duration::from_secs_f64((server.cpu_seconds()? - before).max(0.0) / times.len() as f64);
            report.cpu(what, millis(cpu));
        }
        Ok(Resp::decode(answer)?)
    }

    async fn once(&self, method: &str, body: Vec<u8>) -> anyhow::Result<prost::bytes::Bytes> {
        let url = format!("{}/querier.v1.QuerierService/{method}", self.url);
        let request =
            self.http.post(url).header("content-type", "application/proto").header("x-scope-orgid", self.tenant);
        let response = request.body(body).send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        ensure!(status.is_success(), "{method}: {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(bytes)
    }
}
