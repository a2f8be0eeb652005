#!/usr/bin/env bash
# Starts a whole cluster on this machine, as processes on loopback: three etcds, an S3 server (versitygw), and every role more than once.
# Ends them all at Ctrl-C. Data and logs lie in $DATA (default ./data-cluster). Usage: scripts/cluster.sh [KEY=VALUE flag ...]
set -euo pipefail
cd "$(dirname "$0")/.."
flamelake=${FLAMELAKE_BIN:-${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}/release/flamelake}
tools=${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}
data=${DATA:-./data-cluster}
etcd_port=${ETCD_PORT:-23790} s3_port=${S3_PORT:-9099} port=${PORT:-4040}
for tool in etcd versitygw; do
  [ -x "$tools/$tool" ] || { echo "$tool is missing: run scripts/install-tools.sh test"; exit 1; }
done

mkdir -p "$data/objects/profiles" "$data/logs"
below=() roles=()
# Roles first, so that they can commit and leave in order; a new session keeps Ctrl-C from reaching all at once.
end() {
  trap - EXIT INT TERM
  kill "${roles[@]}" 2>/dev/null || true; wait "${roles[@]}" 2>/dev/null || true
  kill "${below[@]}" 2>/dev/null || true; wait
}
trap end EXIT INT TERM
start() { # NAME COMMAND…
  local name=$1; shift
  setsid "$@" >"$data/logs/$name.log" 2>&1 &
}

# Three members: clients on ports $etcd_port, +1 and +2, peers 10 above.
members=() endpoints=()
for n in 0 1 2; do
  members+=("n$n=http://127.0.0.1:$((etcd_port + 10 + n))") endpoints+=("127.0.0.1:$((etcd_port + n))")
done
members=$(IFS=,; echo "${members[*]}") endpoints=$(IFS=,; echo "${endpoints[*]}")
for n in 0 1 2; do
  client=http://127.0.0.1:$((etcd_port + n)) peer=http://127.0.0.1:$((etcd_port + 10 + n))
  start "etcd-$n" "$tools/etcd" --name="n$n" --log-level=warn --data-dir="$data/etcd-$n" \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="$members"
  below+=($!)
done
start s3 "$tools/versitygw" --access flamelake --secret flamelake-secret --quiet --port "127.0.0.1:$s3_port" \
  posix "$data/objects"
below+=($!)

# The first process listens on $PORT, the next on the ports above it; their gRPC ports lie 1000 higher.
role() { # NAME TARGET
  start "$1" "$flamelake" --target="$2" \
    --server.http-listen-address=127.0.0.1 --server.http-listen-port="$port" \
    --server.grpc-listen-address=127.0.0.1 --server.grpc-listen-port=$((port + 1000)) \
    --ring.instance-id="$1" --ring.instance-addr=127.0.0.1 --ring.etcd.endpoints="$endpoints" \
    --storage.backend=s3 --storage.s3.endpoint="127.0.0.1:$s3_port" --storage.s3.bucket-name=profiles \
    --storage.s3.access-key-id=flamelake --storage.s3.secret-access-key=flamelake-secret \
    --storage.s3.insecure=true --storage.s3.force-path-style=true "${flags[@]}"
  roles+=($!)
  printf '  %-16s %-22s http://127.0.0.1:%s\n' "$1" "$2" "$port"
  port=$((port + 1))
}
flags=("${@/#/--}")
echo "flamelake on http://127.0.0.1:$port (push and query), logs in $data/logs:"
role front-0 distributor,querier
role front-1 distributor,querier
for n in 0 1 2; do role "ingester-$n" ingester; done
for n in 0 1; do role "store-gateway-$n" store-gateway; done
for n in 0 1; do role "compactor-$n" compactor; done
echo "look at http://127.0.0.1:${PORT:-4040}/ring; Ctrl-C ends everything"
# One that ends by itself ends all, and is named.
wait -n "${below[@]}" "${roles[@]}" || true
echo "a process ended; the last lines of each log:"; tail -n 2 "$data"/logs/*.log
