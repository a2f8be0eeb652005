#!/usr/bin/env bash
# Starts a fresh server, sends the load of docs/benchmarks.md at 1x and 4x, prints the tables. Usage: scripts/bench-server.sh [FACTOR…]
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}
cargo build --release --locked --quiet -p flamelake -p flamelake-loadgen
for factor in "${@:-1 4}"; do for k in $factor; do
  data=$(mktemp -d); port=$((20000 + RANDOM % 20000))
  "$target/release/flamelake" --target=all --server.http-listen-address=127.0.0.1 --server.http-listen-port=$port \
    --server.grpc-listen-address=127.0.0.1 --server.grpc-listen-port=$((port + 1)) --storage.filesystem.dir="$data/state" \
    --validation.reject-older-than=0 --validation.reject-newer-than=0 --querier.max-query-lookback=0 --querier.max-query-length=0 \
    --retention-period=0 --distributor.ingestion-rate-limit-mb=1000 --distributor.ingestion-burst-size-mb=2000 >"$data/server.log" 2>&1 &
  pid=$!
  trap 'kill $pid 2>/dev/null || true; rm -rf "$data"' EXIT
  for _ in $(seq 100); do curl -sf -o /dev/null "http://127.0.0.1:$port/ready" && break; sleep .1; done
  "$target/release/flamelake-loadgen" --url "http://127.0.0.1:$port" --pid $pid --data "$data/state" --scale "$k"
  kill $pid; wait $pid 2>/dev/null || true; rm -rf "$data"; trap - EXIT
done; done
