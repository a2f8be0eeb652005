#!/usr/bin/env bash
# Starts a fresh server, sends the load of docs/benchmarks.md, asks the questions warm, and once more cold after a restart.
# Usage: scripts/bench-server.sh [SCALE...], default 1 and 4.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}
cargo build --release --locked --quiet --workspace --bins

pid='' data=$(mktemp -d)
trap 'kill $pid 2>/dev/null || true; rm -rf "$data"' EXIT

start() {
  "$target/release/flamelake" --target=all --server.http-listen-address=127.0.0.1 --server.http-listen-port="$port" \
    --server.grpc-listen-address=127.0.0.1 --server.grpc-listen-port=0 --storage.filesystem.dir="$data/state" \
    --validation.reject-older-than=0 --validation.reject-newer-than=0 --querier.max-query-lookback=0 --querier.max-query-length=0 \
    --retention-period=0 --distributor.ingestion-rate-limit-mb=1000 --distributor.ingestion-burst-size-mb=2000 >>"$data/server.log" 2>&1 &
  pid=$!
  for _ in $(seq 100); do curl -sf -o /dev/null "http://127.0.0.1:$port/ready" && return; sleep .1; done
  cat "$data/server.log"; exit 1
}

stop() { kill "$pid"; wait "$pid" 2>/dev/null || true; }

load() { "$target/release/flamelake-loadgen" --url "http://127.0.0.1:$port" --pid "$pid" --data "$data/state" "$@"; }

[ $# -gt 0 ] || set -- 1 4
for scale; do
  port=$((20000 + RANDOM % 10000))
  start
  load --scale "$scale" --flush 2>"$data/told"
  cat "$data/told"
  now=$(sed -n 's/.*now \([0-9]*\)$/\1/p' "$data/told")
  stop; start
  echo; echo "cold, after a restart:"
  load --scale "$scale" --now "$now" --runs 1
  stop; rm -rf "$data/state"
done
