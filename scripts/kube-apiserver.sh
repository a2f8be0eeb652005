#!/usr/bin/env bash
# Builds a real kube-apiserver (Kubernetes 1.37) with Go, once: a quarter of an hour on one core, about 10 GB of module and build cache.
# Kept beside the other tools, because no CI run could afford it each time; tests that need it skip, saying so, where it is absent.
set -euo pipefail

VERSION=1.37.2
BIN="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}"
if "$BIN/kube-apiserver" --version 2>/dev/null | grep -q "v$VERSION"; then
  echo "kube-apiserver $VERSION is there"
  exit 0
fi
command -v go >/dev/null || { echo "kube-apiserver: Go is missing"; exit 1; }
SCRATCH="$(mktemp -d)"
trap 'rm -rf "$SCRATCH"' EXIT
cd "$SCRATCH"
cat > go.mod <<EOF
module kube
go 1.26
require k8s.io/kubernetes v$VERSION
EOF
# Kubernetes replaces its own parts by folders beside it: here by their published versions.
go mod download "k8s.io/kubernetes@v$VERSION"
MODFILE="$(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v$VERSION.mod"
awk -v version="v0.${VERSION#1.}" '$1 ~ /^k8s.io\// && $2 == "v0.0.0" { print "replace " $1 " => " $1 " " version }' "$MODFILE" | sort -u >> go.mod
cat > tools.go <<'EOF'
package kube

import _ "k8s.io/kubernetes/cmd/kube-apiserver/app"
EOF
go mod tidy
minor="${VERSION#1.}"
go build -trimpath -o "$BIN/kube-apiserver" \
  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$VERSION -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}" \
  k8s.io/kubernetes/cmd/kube-apiserver
"$BIN/kube-apiserver" --version
