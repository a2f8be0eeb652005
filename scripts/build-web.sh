#!/usr/bin/env bash
# Builds the web page (web/dist) where sources are newer than what was built. `build-web.sh` must succeed; `build-web.sh try` says so and goes
# on where Node or the registry is missing: the server then says at / how to build it.
set -uo pipefail

cd "$(dirname "$0")/../web" || exit 1
say() { printf 'web: %s\n' "$*"; }
give_up() {
  say "$*"
  [ "$mode" = try ] && exit 0 || exit 1
}
mode="${1:-}"

sources=(index.html vite.config.ts tsconfig.json package.json package-lock.json src public scripts)
if [ -f dist/index.html ] && [ -z "$(find "${sources[@]}" -newer dist/index.html -type f -print -quit)" ]; then exit 0; fi
command -v npm >/dev/null || give_up "no Node: the page is not built (apt-get install nodejs npm, version 20.19 or newer)"
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing what the page is built with (npm ci)"
  npm ci --silent --no-progress || give_up "npm ci failed: the page is not built"
fi
say "building the page"
npm run --silent build || give_up "the page does not build"
