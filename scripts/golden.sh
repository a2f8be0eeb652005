#!/usr/bin/env bash
# Plays the recorded requests of ../shared/golden to a fresh server. Usage: scripts/golden.sh [SCENARIO…]
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${FLAMELAKE_SHARED:-../shared}
[ -d "$shared/golden" ] || { echo "golden: $shared/golden is absent, skipped"; exit 0; }
bin=${FLAMELAKE_BIN:-${CARGO_TARGET_DIR:-target}/release/flamelake}
data=$(mktemp -d)
read -r port rpc_port < <(python3 -c 'import socket; free = [socket.create_server(("127.0.0.1", 0)) for _ in "ab"]; print(*(each.getsockname()[1] for each in free))')
"$bin" --target=all --server.http-listen-address=127.0.0.1 --server.http-listen-port="$port" \
  --server.grpc-listen-address=127.0.0.1 --server.grpc-listen-port="$rpc_port" --storage.filesystem.dir="$data/state" \
  --auth.multitenancy-enabled=true --validation.reject-older-than=0 --validation.reject-newer-than=0 \
  --querier.max-query-lookback=0 --querier.max-query-length=0 --retention-period=0 \
  --distributor.ingestion-rate-limit-mb=1000 --distributor.ingestion-burst-size-mb=2000 >"$data/server.log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 100); do curl -sf -o /dev/null "http://127.0.0.1:$port/ready" && break; kill -0 $pid || { tail "$data/server.log"; exit 1; }; sleep .1; done
[ $# -gt 0 ] || set -- ingest-jfr ingest-pprof ingest-texts small-trees series-buckets bad-requests real-go real-large real-languages real-spans real-truncated
python3 "$shared/golden/check.py" "http://127.0.0.1:$port" "$shared/golden" "$@"
