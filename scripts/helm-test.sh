#!/usr/bin/env bash
# Tests the chart, the alerts, the dashboards and the documentation's links. Installs what it needs, and skips with a line what it cannot have.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-tools.sh chart
export PATH="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}:$PATH"
python="${FLAMELAKE_HELM_VENV:-$HOME/.cache/flamelake/helm-venv}/bin/python"
[ -n "${FLAMELAKE_BIN:-}" ] || export FLAMELAKE_BIN="${CARGO_TARGET_DIR:-$HOME/.cache/flamelake/target}/release/flamelake"
failed=0
if command -v helm >/dev/null && "$python" -c 'import kubernetes_validate, yaml' 2>/dev/null; then
  "$python" helm/tests/chart.py || failed=1
else
  echo "helm-test: helm or kubernetes-validate is missing, the chart is not tested"
fi
exit $failed
