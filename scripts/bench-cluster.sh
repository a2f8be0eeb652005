#!/usr/bin/env bash
# What the way over gRPC and S3 costs: the load of docs/benchmarks.md through one distributor and one ingester of a cluster, then through one
# process. Prints both and their ratio. Usage: scripts/bench-cluster.sh [SCALE], default 1.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}
tools=${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}
cargo build --release --locked --quiet --workspace --bins
for tool in etcd versitygw; do
  [ -x "$tools/$tool" ] || { echo "$tool is missing: run scripts/install-tools.sh test"; exit 1; }
done

scale=${1:-1} data=$(mktemp -d) base=$((20000 + RANDOM % 10000)) pids=()
# Nothing here is worth a farewell, which would wait for a store that is gone.
end() { kill -9 "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$data"; }
trap end EXIT
mkdir -p "$data/objects/profiles"

start() { # NAME COMMAND…
  local name=$1; shift
  "$@" >"$data/$name.log" 2>&1 &
  pids+=($!)
}
server() { # NAME PORT FLAGS…: tells its pid in $started once it is ready
  local name=$1 port=$2; shift 2
  start "$name" "$target/release/flamelake" --server.http-listen-address=127.0.0.1 --server.http-listen-port="$port" \
    --server.grpc-listen-address=127.0.0.1 --server.grpc-listen-port=$((port + 1)) --ring.instance-id="$name" --ring.instance-addr=127.0.0.1 \
    --validation.reject-older-than=0 --validation.reject-newer-than=0 --retention-period=0 \
    --distributor.ingestion-rate-limit-mb=1000 --distributor.ingestion-burst-size-mb=2000 "$@"
  started=$!
  for _ in $(seq 300); do curl -sf -o /dev/null "http://127.0.0.1:$port/ready" && return; sleep .1; done
  cat "$data/$name.log"; exit 1
}
load() { "$target/release/flamelake-loadgen" --scale "$scale" --push-only "$@"; }
rate() { awk -F'|' '/profiles per CPU second/ { print $4 + 0 }' "$1"; }

start etcd "$tools/etcd" --name=n --log-level=warn --data-dir="$data/etcd" --listen-peer-urls="http://127.0.0.1:$((base + 9))" \
  --initial-advertise-peer-urls="http://127.0.0.1:$((base + 9))" --initial-cluster="n=http://127.0.0.1:$((base + 9))" \
  --listen-client-urls="http://127.0.0.1:$((base + 8))" --advertise-client-urls="http://127.0.0.1:$((base + 8))"
start s3 "$tools/versitygw" --access flamelake --secret flamelake-secret --quiet --port "127.0.0.1:$((base + 7))" \
  posix "$data/objects"
cluster=(--ring.etcd.endpoints="127.0.0.1:$((base + 8))" --storage.backend=s3 --storage.s3.endpoint="127.0.0.1:$((base + 7))"
  --storage.s3.bucket-name=profiles --storage.s3.access-key-id=flamelake --storage.s3.secret-access-key=flamelake-secret
  --storage.s3.insecure=true --storage.s3.force-path-style=true)
server ingester "$((base + 10))" --target=ingester "${cluster[@]}"; ingester=$started
server distributor "$((base + 20))" --target=distributor "${cluster[@]}"; distributor=$started

echo "one distributor, one ingester, gRPC, the log in S3:"
load --url "http://127.0.0.1:$((base + 20))" --pid "$ingester" --pid "$distributor" | tee "$data/cluster"
echo "requests to S3:"
curl -s "http://127.0.0.1:$((base + 10))/metrics" | grep '^flamelake_object_storage_request_seconds_count' || true
kill "$ingester" "$distributor"; wait "$ingester" "$distributor" 2>/dev/null || true
server one "$((base + 30))" --target=all --storage.filesystem.dir="$data/one"
echo "one process, the log on the disk:"
load --url "http://127.0.0.1:$((base + 30))" --pid "$started" | tee "$data/single"
echo
awk -v c="$(rate "$data/cluster")" -v s="$(rate "$data/single")" 'BEGIN { printf "cluster / one process, profiles per CPU second: %.2f (target 0.60)\n", c / s }'
