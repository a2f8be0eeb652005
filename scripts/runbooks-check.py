#!/usr/bin/env python3
"""Runs every `sh` block of every runbook against a fresh server with a little data: a command that does not exist or fails, fails.
Blocks marked `sh,norun` need kubectl and the like and are not run. Names of metrics in the pages must exist too. FLAMELAKE_BIN: the server."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import exercised

FOLDER = exercised.ROOT / "docs/operations/runbooks"
# What a counter with labels shows only once it counts, or only a cluster has.
FOREIGN = {"flamelake_querier_replans_total"}


def blocks(text):
    return re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)


def metric_faults(text, known):
    for group in re.findall(r"\^\(([^)]*(?:\([^)]*\)[^)]*)*)\)'", text):
        for name in re.split(r"\|(?![^(]*\))", group):
            if not any(re.match(name.split(".*")[0], each) for each in known):
                yield f"no metric begins with {name}"
    for name in re.findall(r"`(flamelake_[a-z_]+)`", text):
        if name not in known and name not in FOREIGN:
            yield f"no metric is called {name}"


def run(path, known):
    text = path.read_text()
    faults = list(metric_faults(text, known))
    if not blocks(text):
        return faults
    with tempfile.TemporaryDirectory() as bin_folder, exercised.server("--compactor.cleanup-interval=1s") as url:
        os.symlink(exercised.binary(), pathlib.Path(bin_folder, "flamelake"))
        exercised.exercise(url, rounds=1)
        data = re.search(r"dir: (.*)", exercised.ask(url + "/config")[1])[1].strip()
        env = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "URL": url, "ADMIN": url, "TENANT": "anonymous", "PROFILE": str(exercised.PROFILE),
                            "STORE": f"--storage.filesystem.dir={data}", "STORE_OFFLINE": f"--storage.filesystem.dir={data}"}
        for block in blocks(text):
            # curl's own success is not enough: an unknown route must fail.
            script = "set -eo pipefail\ncurl() { command curl --fail-with-body \"$@\"; }\n" + block
            done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=60)
            if done.returncode:
                faults.append(f"{block.strip()!r} ends with {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    return faults


def main():
    known = exercised.series_names(exercised.exercised_scrape())
    paths = sorted(path for path in FOLDER.glob("*.md") if not sys.argv[1:] or path.stem in sys.argv[1:])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda path: run(path, known), paths))
    failed = 0
    for path, faults in zip(paths, results):
        failed += bool(faults)
        for fault in faults:
            print(f"runbooks: {path.name}: {fault}")
    count = sum(len(blocks(path.read_text())) for path in paths)
    print(f"runbooks: {len(paths)} pages, {count} blocks run, {failed} pages failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
