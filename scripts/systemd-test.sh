#!/usr/bin/env bash
# Starts the units of deploy/systemd under a real systemd, in a container without network, with all that they forbid: one process, then every role of a
# cluster. They must keep what was pushed over a kill, come back by themselves, and end well. FLAMELAKE_BIN: the server.
# Needs root and what `scripts/install-tools.sh image` and `test` install. Two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/containers.sh
containers systemd-test curl
tools="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}"
binary="${FLAMELAKE_BIN:-${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}/release/flamelake}"
[ -x "$binary" ] || fail "$binary is missing: make build"
scripts/image-bases.sh systemd
inside() { podman exec --interactive "$name" "$@"; }
install_into() { # SOURCE TARGET
  inside sh -c "mkdir -p '$(dirname "$2")' && cat > '$2' && chmod '${3:-644}' '$2'" < "$1"
}
well() { inside systemctl is-active --quiet "$1" && query types; }
well_again() { [ "$(process "$1")" != "$2" ] && [ "$(process "$1")" != 0 ] && well "$1"; }
process() { inside systemctl show --property MainPID --value "$1"; }
ends_well() {
  inside systemctl stop "$1"
  [ "$(inside systemctl show --property Result --value "$1")" = success ] || fail "$1 did not end well"
}
give_up() {
  inside journalctl --no-pager --lines 30 >&2
  fail "$*"
}
# Kills the unit and looks whether the answer is the same when systemd has started it again.
survives() { # UNIT SERVICE
  local before
  top_of "$2" > "$scratch/before"
  [ "$(wc -l < "$scratch/before")" -gt 1 ] || give_up "the answer is empty"
  before="$(process "$1")"
  inside systemctl kill --signal KILL "$1"
  until_well well_again "$1" "$before" || give_up "$1 does not come back"
  top_of "$2" | diff "$scratch/before" - || give_up "after a kill of $1 the answer is another one"
}

podman run --detach --name "$name" --systemd always --privileged --network none localhost/flamelake-systemd >/dev/null
until_well inside systemctl is-system-running || give_up "systemd does not start"
install_into "$binary" /usr/bin/flamelake 755
for unit in deploy/systemd/*.service; do install_into "$unit" "/etc/systemd/system/$(basename "$unit")"; done
inside systemctl daemon-reload

echo "systemd-test: flamelake.service"
install_into /dev/null /etc/flamelake/flamelake.yaml
inside systemctl start flamelake
until_well well flamelake || give_up "it does not get ready"
[ "$(inside stat --format %u "/proc/$(process flamelake)")" != 0 ] || fail "it runs as root"
push one-process
survives flamelake one-process
ends_well flamelake

echo "systemd-test: flamelake@ROLE.service, with etcd and an S3 server"
for tool in etcd versitygw; do
  [ -x "$tools/$tool" ] || { echo "systemd-test: $tool is missing (scripts/install-tools.sh test): the roles are not started"; exit 0; }
  install_into "$tools/$tool" "/usr/local/bin/$tool" 755
done
inside mkdir -p /srv/etcd /srv/s3/profiles
inside systemd-run --quiet etcd --data-dir /srv/etcd --log-level=error
inside systemd-run --quiet versitygw --access flamelake --secret flamelake-secret --quiet --port 127.0.0.1:7070 posix /srv/s3
cat > "$scratch/roles.yaml" <<'YAML'
server: {http-listen-address: 127.0.0.1, http-listen-port: "${HTTP_PORT}", grpc-listen-address: 127.0.0.1, grpc-listen-port: "${GRPC_PORT}"}
ring: {instance-id: "${ROLE}", instance-addr: 127.0.0.1, etcd: {endpoints: ["127.0.0.1:2379"]}}
storage:
  backend: s3
  s3: {endpoint: "127.0.0.1:7070", bucket-name: profiles, access-key-id: flamelake, secret-access-key: "${S3_SECRET}", insecure: true, force-path-style: true}
YAML
install_into "$scratch/roles.yaml" /etc/flamelake/flamelake.yaml
echo S3_SECRET=flamelake-secret > "$scratch/secrets"
install_into "$scratch/secrets" /etc/flamelake/secrets.env 600
roles=(distributor querier ingester store-gateway compactor) port=4040 query_port=4041
for role in "${roles[@]}"; do
  printf 'ROLE=%s\nHTTP_PORT=%d\nGRPC_PORT=%d\n' "$role" "$port" $((port + 1000)) > "$scratch/role"
  install_into "$scratch/role" "/etc/flamelake/$role.env"
  inside systemctl start "flamelake@$role" || give_up "flamelake@$role does not start"
  port=$((port + 1))
done
until_well push roles || give_up "the cluster takes no push"
for role in ingester querier distributor; do survives "flamelake@$role" roles; done
for role in "${roles[@]}"; do ends_well "flamelake@$role"; done
echo "systemd-test: passed"
