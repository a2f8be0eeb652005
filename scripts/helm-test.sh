#!/usr/bin/env bash
# Tests the chart, the alerts, the dashboards and the documentation's links. Installs what it needs, and skips with a line what it cannot have.
# With CHART_PODS=1 also starts the whole chart as processes, and rolls it under load (40 s more).
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
"$python" helm/tests/apiserver.py || failed=1
python3 scripts/dashboards.py --check || failed=1
python3 scripts/links-check.py || failed=1
if [ ! -x "$FLAMELAKE_BIN" ]; then
  echo "helm-test: $FLAMELAKE_BIN is missing, alerts, dashboards and runbooks are not tried on a server"
else
  python3 scripts/runbooks-check.py || failed=1
  python3 scripts/docs-check.py || failed=1
  python3 scripts/metrics-page.py --check || failed=1
  if [ -n "${CHART_PODS:-}" ]; then
    bin="${FLAMELAKE_TOOLS:-$HOME/.cache/flamelake/bin}"
    if command -v helm >/dev/null && [ -x "$bin/etcd" ] && [ -x "$bin/versitygw" ]; then
      "$python" helm/tests/pods.py || failed=1
    else
      echo "helm-test: etcd or versitygw is missing (scripts/install-tools.sh test): the chart is not started"
    fi
  fi
  if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    "$python" scripts/alerts-check.py || failed=1
    python3 scripts/dashboards-check.py || failed=1
  else
    echo "helm-test: promtool is missing, alerts and dashboards are not tested"
  fi
fi
exit $failed
