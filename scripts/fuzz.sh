#!/usr/bin/env bash
# Runs every fuzz target (tests named fuzz_*) with fresh seeds until FUZZ_SECONDS (default 60) have passed.
set -euo pipefail
cd "$(dirname "$0")/.."
end=$(( $(date +%s) + ${FUZZ_SECONDS:-60} )); round=0
while :; do
  round=$((round + 1)); export FLAMELAKE_SEED=$(( (RANDOM << 15) + RANDOM )) FLAMELAKE_FUZZ_INPUTS=${FUZZ_INPUTS:-50000}
  # Damaged blocks make the Parquet library panic, which the reader catches: no backtrace for each.
  export RUST_BACKTRACE=0
  echo "fuzz: round $round, FLAMELAKE_SEED=$FLAMELAKE_SEED"
  cargo test --release --locked --workspace --exclude flamelake-integration-tests --quiet fuzz_ -- --nocapture | grep -vE '^running 0|^$|ok\. 0 passed' || exit 1
  [ "$(date +%s)" -lt "$end" ] || break
done
echo "fuzz: $round rounds without a failure"
