# shellcheck shell=bash
# For scripts that build and run containers: `source scripts/containers.sh; containers NAME TOOL…` leaves the script with a line where a tool is missing,
# and sets $scratch. The container NAME and its volume are removed now and at the end.
containers() {
  name="$1"
  for tool in buildah podman runc debootstrap "${@:2}"; do
    command -v "$tool" >/dev/null || { echo "$name: $tool is missing (scripts/install-tools.sh), nothing is tested"; exit 0; }
  done
  [ "$(id -u)" = 0 ] || { echo "$name: needs root, nothing is tested"; exit 0; }
  scratch="$(mktemp -d)"
  # No more than this machine allows; runc, as crun refuses machines that have cgroups of both versions.
  export CONTAINERS_CONF="$scratch/containers.conf"
  printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=4096:4096"]\n[engine]\nruntime = "runc"\n' "$(ulimit -Hn)" "$(ulimit -Hn)" > "$CONTAINERS_CONF"
  trap 'remove; rm -rf "$scratch"' EXIT
  remove
}
remove() {
  podman rm --force --volumes --ignore "$name" >/dev/null
  podman volume rm --force "$name" >/dev/null 2>&1 || true
}
fail() {
  echo "$name: $*"
  exit 1
}
# Until the command succeeds, 300 times at most.
until_well() {
  for _ in $(seq 300); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.2
  done
  return 1
}
# The client of the container's own server, which may have two ports.
push_port=4040 query_port=4040
push() { # SERVICE
  podman exec --interactive "$name" flamelake push --url "http://127.0.0.1:$push_port" --now - --label "service_name=$1" < helm/flamelake/files/test.pprof
}
query() { podman exec --interactive "$name" flamelake query --url "http://127.0.0.1:$query_port" "$@"; }
top_of() { # SERVICE
  query --type process_cpu:cpu:nanoseconds:cpu:nanoseconds --query "{service_name=\"$1\"}" --output csv top
}
