#!/usr/bin/env bash
# Unit tests of the page. Its test in a browser is one of the integration tests, which start a server for it.
set -euo pipefail

cd "$(dirname "$0")/../web"
if ! command -v npm >/dev/null || [ ! -d node_modules ]; then
  echo 'skipped: unit tests of the page (needs Node and what make web installs)'
  exit 0
fi
npm test --silent
