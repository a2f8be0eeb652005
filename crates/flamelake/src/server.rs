//! The life of the server: start in order, serve, stop in reverse order.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use flamelake_api::{FILE_DESCRIPTOR_SET, METHODS};
use flamelake_compactor::status_routes;
use flamelake_config::{Show, TenantLimits, Values, show};
use flamelake_rpc::auth::{Guard, Tokens};
use flamelake_rpc::{App, Health, Server, ServerConfig, ServerMetrics};
use flamelake_runtime::clock::{SharedClock, SystemClock};
use flamelake_runtime::{Readiness, stop_signal};
use flamelake_telemetry::{BuildInfo, Exemplars};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::access::access;
use crate::admin::{self, Admin, ConfigTexts, operator_routes, routes, starting_routes};
use crate::certificates;
use crate::cluster::{Cluster, Recoverer};
use crate::config::ServerSettings;
use crate::disks;
use crate::life::{self, Life};
use crate::open_files;
use crate::reload::Reloader;
use crate::self_profiling::{self, CpuProfiler, Origin, Pusher};
use crate::starting::Later;
use crate::target::Roles;
use crate::tls::Tls;
use crate::wiring::{self, System};

/// What a process that is not ready waits for, as `/ready` names it.
const RING: &str = "ring (etcd)";
const REPLAY: &str = "replay of older logs";
const START: &str = "start";
/// Requests in flight may go on this long after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);

/// What a start would refuse, without a start: the roles, and the files that the settings name.
pub(crate) fn check(settings: &ServerSettings) -> anyhow::Result<()> {
    Roles::parse(&settings.target, !settings.ring.etcd.endpoints.is_empty())?;
    let limits = Some(&settings.runtime_config_file).filter(|file| !file.is_empty()).map(Into::into);
    TenantLimits::open(settings.limits.clone(), limits)?;
    Tls::open(settings)?;
    if !settings.auth_tokens_file.is_empty() {
        Tokens::open(Path::new(&settings.auth_tokens_file))?;
    }
    Ok(())
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(settings: ServerSettings, values: &Values) -> anyhow::Result<()> {
    let roles = Roles::parse(&settings.target, !settings.ring.etcd.endpoints.is_empty())?;
    let about =
        [("service.instance.id", settings.ring.instance_id.as_str()), ("flamelake.target", settings.target.as_str())];
    let _telemetry = flamelake_telemetry::init(&settings.telemetry, &about)?;
    let clock = SystemClock::shared();
    let started = clock.monotonic();
    let registry = flamelake_telemetry::new_registry()?;
    let readiness = Arc::new(Readiness::default());
    readiness.set(RING, false);
    readiness.set(REPLAY, false);
    readiness.set(START, false);
    let exemplars = Exemplars::default();
    let metrics = ServerMetrics::register(&registry, Arc::clone(&clock))?.with_exemplars(exemplars.clone());
    let defaults = ServerConfig::default();
    let config = ServerConfig {
        drain_timeout: DRAIN,
        connections_max: open_files::connections_max(defaults.connections_max),
        header_read_timeout: settings.http_idle_timeout,
        body_idle_timeout: settings.http_body_idle_timeout,
        bodies_bytes_max: settings.request_bodies_bytes_max.as_usize(),
        ..defaults
    };
    let public = address(&settings.http_listen_address, settings.http_listen_port);
    let tls = Tls::open(&settings)?;
    let public = Server::bind(&public, config.clone(), metrics.clone()).await?.with_tls(tls.http.clone());
    let internal = bind(&settings.grpc_listen_address, settings.grpc_listen_port, &config, &metrics).await?;
    let admin_port = bind(&settings.admin_listen_address, settings.admin_listen_port, &config, &metrics).await?;
    let internal = internal.map(|port| port.with_tls(tls.grpc.clone()));
    let admin_port = admin_port.map(|port| port.with_tls(tls.admin.clone()));
    let texts = Arc::new(ConfigTexts {
        all: show(&settings, values, Show::All),
        diff: show(&settings, values, Show::Diff),
        defaults: show(&settings, values, Show::Defaults),
    });
    let (readiness_told, registry_told) = (Arc::clone(&readiness), registry.clone());
    let early = Admin { readiness: readiness_told, registry: registry_told, exemplars, ingester: None, config: texts };
    let stop = CancellationToken::new();
    let address = public.local_addr();
    let later = Later::new(Arc::clone(&clock));
    let mut ports = vec![tokio::spawn(public.run(later.router(starting_routes(early.clone())), stop.clone()))];
    let later_admin = Later::new(Arc::clone(&clock));
    ports.extend(
        admin_port.map(|port| tokio::spawn(port.run(later_admin.router(starting_routes(early.clone())), stop.clone()))),
    );
    let cluster =
        Arc::new(Cluster::open(&settings, &roles, &wiring::log_url(&settings), &tls, &clock, &registry).await?);
    readiness.set(RING, true);
    let mut system = wiring::build(&settings, &roles, &cluster, &clock, &registry).await.context("start")?;
    readiness.set(REPLAY, true);
    disks::register(&settings, &registry)?;
    certificates::register(&settings, &tls, &registry)?;
    let mut reloader = Reloader::new(&registry)?;
    reloader.limits(&system.limits);
    reloader.tls(&tls);
    let guard = guard(&settings, &registry, &mut reloader)?;
    let health = Health::new();
    let admin = Admin { ingester: system.ingester.clone().map(|ingester| ingester as _), ..early };
    let known = METHODS.iter().filter(|method| !method.path.contains("RecordingRules"));
    let rpc = system.rpc.clone().merge(admin::rpc(&admin.config));
    let rpc = rpc.known_methods(known.map(|method| (method.path, method.no_side_effects)));
    let tenancy = settings.tenancy();
    let profiler = Arc::new(CpuProfiler::new(Arc::clone(&clock)));
    let life =
        Life { cluster: Arc::clone(&cluster), ingester: system.ingester.clone(), readiness: Arc::clone(&readiness) };
    let compactor = system.compactor.clone().map_or_else(Router::new, status_routes);
    let operators = operator_routes(admin.clone())
        .merge(life::routes(life))
        .merge(flamelake_ring::routes(cluster.handle()))
        .merge(self_profiling::routes(Arc::clone(&profiler), Arc::clone(&clock)))
        .merge(compactor);
    let app = App::new()
        .rpc(rpc)
        .plain(system.http.clone())
        .plain(routes(admin.clone()))
        .health(&health)
        .reflection(FILE_DESCRIPTOR_SET);
    let (app, admin_app) = if settings.admin_listen_port == 0 {
        (app.plain(operators), App::new())
    } else {
        (app, App::new().plain(routes(admin)).plain(operators))
    };
    let admin_app = admin_app.guard(guard.clone()).build(&config, tenancy, &metrics).map_err(anyhow::Error::msg)?;
    let app = app.guard(guard).build(&config, tenancy, &metrics).map_err(anyhow::Error::msg)?;
    let internal_app = App::new().health(&health).reflection(FILE_DESCRIPTOR_SET);
    let internal_app = system.serve(internal_app, &cluster, &clock);
    let internal_app = internal_app.build(&config, tenancy, &metrics).map_err(anyhow::Error::msg)?;

    later.set(app);
    ports.extend(internal.map(|internal| tokio::spawn(internal.run(internal_app, stop.clone()))));
    later_admin.set(admin_app);
    let mut background = background(&system, &cluster, &clock, &stop);
    if let Some(debuginfod) = system.debuginfod.take() {
        let token = stop.clone();
        background
            .push(tokio::spawn(async move { token.run_until_cancelled(debuginfod.run()).await.unwrap_or_default() }));
    }
    background.push(tokio::spawn(reloader.run(Arc::clone(&clock), stop.clone())));
    let origin = Origin { role: settings.target.clone(), instance: cluster.own_id().to_string() };
    if let Some(pusher) = Pusher::new(&settings.self_profiling, origin, profiler, Arc::clone(&clock), &registry)? {
        background.push(tokio::spawn(pusher.run(stop.clone())));
    }
    cluster.join().await?;
    readiness.set(START, true);
    health.set("", true);
    let took = clock.monotonic().saturating_sub(started);
    greet(&settings, &format!("{}://{}", if tls.http.is_some() { "https" } else { "http" }, reachable(address)), took);

    let signal = tokio::select! {
        signal = stop_signal() => signal?,
        () = cluster.superseded() => "another process has this one's ring.instance-id",
    };
    info!(signal, "stopping");
    readiness.set(START, false);
    health.set("", false);
    cluster.retire().await;
    cluster.leave_at_stop(system.ingester.as_ref()).await;
    stop.cancel();
    for port in ports {
        port.await.context("a port ended by panic")?;
    }
    if let Some(ingester) = &system.ingester {
        ingester.stop().await;
    }
    for task in background {
        task.await.context("a background task ended by panic")?;
    }
    cluster.part().await;
    info!("stopped");
    Ok(())
}

/// `None` for port 0.
async fn bind(host: &str, port: u16, config: &ServerConfig, metrics: &ServerMetrics) -> anyhow::Result<Option<Server>> {
    if port == 0 {
        return Ok(None);
    }
    Ok(Some(Server::bind(&address(host, port), config.clone(), metrics.clone()).await?))
}

/// `None`: everybody may come in.
fn guard(settings: &ServerSettings, registry: &Registry, reloader: &mut Reloader) -> anyhow::Result<Option<Guard>> {
    if settings.auth_tokens_file.is_empty() {
        return Ok(None);
    }
    let tokens = Arc::new(Tokens::open(Path::new(&settings.auth_tokens_file))?);
    reloader.tokens(&tokens);
    Ok(Some(Guard::new(tokens, access, registry)?))
}

fn background(
    system: &System,
    cluster: &Cluster,
    clock: &SharedClock,
    stop: &CancellationToken,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::new();
    if let Some(compactor) = system.compactor.clone() {
        let token = stop.clone();
        tasks.push(tokio::spawn(async move { compactor.run(token).await }));
    }
    if let Some(cache) = system.local_cache.clone() {
        let token = stop.clone();
        tasks.push(tokio::spawn(async move { token.run_until_cancelled(cache.run()).await.unwrap_or_default() }));
    }
    if let Some(rules) = system.recording_rules.clone() {
        tasks.push(tokio::spawn(rules.run(stop.clone())));
    }
    if let Some(queries) = system.async_queries.clone() {
        tasks.push(tokio::spawn(queries.run(stop.clone())));
    }
    if let Some(ingester) = system.ingester.clone() {
        let (ring, own) = (cluster.handle(), cluster.own_id().clone());
        let recoverer = Recoverer { ring, own, ingester, members: cluster.members(), clock: Arc::clone(clock) };
        tasks.push(tokio::spawn(recoverer.run(stop.clone())));
    }
    tasks
}

fn address(host: &str, port: u16) -> String {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where a person on this machine finds the port.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() { ([127, 0, 0, 1], address.port()).into() } else { address }
}

/// Tells a person where to push and where to look.
fn greet(settings: &ServerSettings, url: &str, took: Duration) {
    info!(version = %BuildInfo::current(), url, milliseconds = took.as_millis() as u64, "ready");
    let text = format!(
        "Flamelake {} is ready on {url} ({} ms)\n  push:   any Pyroscope SDK or agent to {url}\n          flamelake push cpu.pb.gz --label \
         service_name=my-app --url {url}\n  look:   Grafana, data source Grafana Pyroscope, URL {url}\n          flamelake query flamegraph \
         --url {url}\n  data:   {}\n  state:  {url}/ready {url}/metrics {url}/config\n",
        BuildInfo::current(),
        took.as_millis(),
        match settings.storage.backend.as_str() {
            "filesystem" => settings.storage.filesystem.dir.as_str(),
            other => other,
        },
    );
    // Nobody may be reading standard output; that is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
