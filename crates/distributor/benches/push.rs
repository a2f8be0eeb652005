//! How many profiles a second does one distributor prepare, from gzip to frame, with an ingester that costs nothing?
#![allow(missing_docs, reason = "criterion's macros")]

use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_config::Limits;
use flamelake_distributor::{
    Content, Distributor, DistributorConfig, DistributorDeps, Distributors, PushBatch, PushSeries, RawProfile,
};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_testkit::profile::gunzip;
use flamelake_testkit::{FakeClock, ProfileBuilder, shared_file};

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl IngesterApi for Nowhere {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Ok(vec![Ok(()); request.frames.len()])
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("not asked here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }
}

fn distributor() -> Arc<Distributor> {
    let limits = Limits { ingestion_rate_mb: 0.0, reject_older_than: std::time::Duration::ZERO, ..Limits::default() };
    let deps = DistributorDeps {
        clock: FakeClock::default().shared(),
        limits: Arc::new(Arc::new(limits)),
        ingester: Arc::new(Nowhere),
        distributors: Distributors::alone(),
        registry: prometheus::Registry::new(),
    };
    Distributor::new(DistributorConfig::default(), deps).expect("a fresh registry")
}

fn profile(file: &str) -> Vec<u8> {
    let made_up =
        || ProfileBuilder::cpu().folded(&(0..500).map(|n| format!("main;a{n};b 1\n")).collect::<String>()).gzip();
    shared_file(file, &format!("corpus/pprof/{file}.pb.gz")).unwrap_or_else(made_up)
}

fn push(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("push");
    for file in ["go-cpu-small", "go-heap-medium", "java-cpu", "go-heap-small"] {
        let pprof = profile(file);
        group.throughput(Throughput::Bytes(gunzip(&pprof).len() as u64));
        let labels = [("__name__", "process_cpu"), ("service_name", "bench"), ("pod", "p")];
        let series = PushSeries {
            labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
            profiles: vec![RawProfile { content: Content::Pprof(pprof.into()), id: String::new() }],
        };
        let (distributor, tenant) = (distributor(), TenantId::anonymous());
        group.bench_function(file, |b| {
            b.iter(|| {
                let batch = PushBatch { series: vec![series.clone()] };
                runtime.block_on(distributor.push(&tenant, batch)).expect("a good push");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
