#!/usr/bin/env bash
# Builds the image of deploy/docker/Dockerfile for this machine and runs it as a cluster would: nobody's user, read-only root, no capabilities. It must
# keep what was pushed over a kill, and end well. IMAGE: one that is built already. BUILD_ARGS: more for `buildah build`.
# Needs root and what `scripts/install-tools.sh image` installs. A quarter of an hour, most of it compiling.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/containers.sh
containers image-test
image="${IMAGE:-localhost/flamelake-image-test}"
if [ -z "${IMAGE:-}" ]; then
  scripts/image-bases.sh distroless rust node
  # shellcheck disable=SC2086
  buildah build --quiet --layers --network host ${BUILD_ARGS:-} --file deploy/docker/Dockerfile --tag "$image" . >/dev/null
fi

echo "image-test: who it runs as, and the modes of its files"
[ "$(podman image inspect --format '{{.Config.User}}' "$image")" = 65532:65532 ] || fail "the image does not name its user by number"
podman create --name "$name" "$image" >/dev/null
podman export "$name" | tar --list --verbose --numeric-owner --file=- > "$scratch/files"
remove
! grep -E '^-(..[sS]|.....[sS])' "$scratch/files" || fail "these files give rights to whoever runs them"
! grep -E ' (usr/)?bin/(sh|bash|dash|busybox)$' "$scratch/files" || fail "the image has a shell"
grep -qE '^-rwxr-xr-x 0/0 .* usr/bin/flamelake$' "$scratch/files" || fail "/usr/bin/flamelake is not root's program"
grep -qE '^-rw-r--r-- 0/0 .* usr/share/doc/flamelake/flamelake\.cdx\.json$' "$scratch/files" || fail "the SBOM is missing"
grep -qE '^drwxr-xr-x 65532/65532 .* data/$' "$scratch/files" || fail "/data is not the server's"

# No network but its own loopback: whatever it needs is in the image. Its own command line is the client.
start() {
  podman run --detach --name "$name" --read-only --cap-drop ALL --security-opt no-new-privileges --network none --volume "$name:/data" "$image" >/dev/null
  until_well query types || { podman logs "$name" >&2; fail "it does not get ready"; }
}

echo "image-test: with its own command: a push, an answer, the page, a kill, the same answer"
start
push image-test
top_of image-test > "$scratch/before"
[ "$(wc -l < "$scratch/before")" -gt 1 ] || fail "the answer is empty"
process="$(podman inspect --format '{{.State.Pid}}' "$name")"
nsenter "--net=/proc/$process/ns/net" curl --silent --fail http://127.0.0.1:4040/ > "$scratch/page"
grep -q '<script' "$scratch/page" || fail "the page is not in it"
podman kill --signal KILL "$name" >/dev/null
podman wait "$name" >/dev/null
podman rm "$name" >/dev/null
start
top_of image-test | diff "$scratch/before" - || fail "after a kill the answer is another one"

echo "image-test: it ends when it is told to"
podman stop --time 60 "$name" >/dev/null
[ "$(podman inspect --format '{{.State.ExitCode}}' "$name")" = 0 ] || fail "it did not end well"
echo "image-test: passed, $(podman image inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1 / 1e6}')"
