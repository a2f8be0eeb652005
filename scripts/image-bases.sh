#!/usr/bin/env bash
# Puts the images that deploy/docker/Dockerfile builds on together from Debian's packages, under their names, where no registry can be asked:
# distroless is made of those packages (github.com/GoogleContainerTools/distroless, cc/README.md), those of Rust and Node of them and of this
# machine's own Rust and Node. Usage: scripts/image-bases.sh distroless rust node, or systemd: a Debian that boots. Needs root, buildah and debootstrap.
set -euo pipefail
distroless=gcr.io/distroless/cc-debian12:nonroot rust=docker.io/library/rust:1.95-bookworm node=docker.io/library/node:20-bookworm-slim systemd=localhost/flamelake-systemd
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

have() { buildah inspect --type image "$1" >/dev/null 2>&1 || timeout 60 buildah pull --quiet "$1" >/dev/null 2>&1; }
# Unpacked, never configured: no script of a package runs, and there is no shell.
make_distroless() {
  mkdir -p "$scratch/root/etc/ssl/certs" "$scratch/root/tmp" "$scratch/debs"
  (cd "$scratch/debs" && apt-get download -qq base-files netbase tzdata ca-certificates libc6 libssl3 libgcc-s1 libgomp1 libstdc++6)
  for deb in "$scratch"/debs/*.deb; do dpkg-deb -x "$deb" "$scratch/root"; done
  find "$scratch/root/usr/share/ca-certificates" -name '*.crt' -exec cat {} + > "$scratch/root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' > "$scratch/root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' > "$scratch/root/etc/group"
  chmod 1777 "$scratch/root/tmp"
  commit "$scratch/root" "$distroless" --user 65532 --env PATH="$path" --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
}
# Certificates and npm's settings are this machine's, as it may ask registries through a mirror of its own.
debian() {
  local root="$1"
  debootstrap --variant=minbase --include="ca-certificates,$2" bookworm "$root" "$mirror" >/dev/null
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  [ ! -e "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root/root/.npmrc"
}
make_rust() {
  debian "$scratch/rust" build-essential,git
  mkdir -p "$scratch/rust/usr/local/cargo" "$scratch/rust/usr/local/rustup/toolchain"
  cp -r "$(rustc --print sysroot)"/{bin,lib} "$scratch/rust/usr/local/rustup/toolchain"
  commit "$scratch/rust" "$rust" --env CARGO_HOME=/usr/local/cargo --env PATH="/usr/local/rustup/toolchain/bin:$path"
}
make_node() {
  debian "$scratch/node" libstdc++6
  mkdir -p "$scratch/node/usr/local/bin" "$scratch/node/usr/local/lib/node_modules"
  cp "$(command -v node)" "$scratch/node/usr/local/bin/node"
  cp -r "$(npm root --global)/npm" "$scratch/node/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$scratch/node/usr/local/bin/npm"
  commit "$scratch/node" "$node" --env PATH="$path" --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
}
# Without authorities: what runs there must not need any that it does not use.
make_systemd() {
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$scratch/systemd" "$mirror" >/dev/null
  commit "$scratch/systemd" "$systemd" --cmd /sbin/init
}
commit() {
  local root="$1" name="$2" container
  container="$(buildah from --quiet scratch)"
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah config "${@:3}" "$container"
  buildah commit --quiet --rm "$container" "$name" >/dev/null
}
for each in "$@"; do
  have "${!each}" || { echo "image-bases: ${!each} is not to be had, and is put together from Debian's packages"; "make_$each"; }
done
