#!/usr/bin/env python3
"""Asks every query of every dashboard of a real Prometheus that scrapes a working server: each must be good and have data. Traces are on (to
nobody), so that what it scrapes is OpenMetrics; it must have taken exemplars from it. Needs prometheus. Takes about 15 seconds."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse

import exercised

FOLDER = exercised.ROOT / "deploy/dashboards"
FLAGS = ["--compactor.compaction-interval=1s", "--compactor.cleanup-interval=1s", "--compactor.blocks-per-merge-max=2",
         "--testing.storage-faults=get tenants/ fail every:7", f"--tracing.otlp-endpoint=http://127.0.0.1:{exercised.free_port()}"]


def queries():
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"].replace("$namespace", ".*").replace("$__rate_interval", "30s")
                yield path.stem, panel["title"], query


def ask(url, query):
    _, text = exercised.ask(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    answer = json.loads(text)
    if answer["status"] != "success":
        return f"is refused: {answer['error']}"
    values = [each["value"][1] for each in answer["data"]["result"]]
    if not values:
        return "has no data"
    return None if any(value != "NaN" for value in values) else "is not a number"


def exemplars(url):
    """Why none is there."""
    query = urllib.parse.urlencode({"query": "flamelake_request_duration_seconds_bucket", "start": time.time() - 600, "end": time.time() + 60})
    found = json.loads(exercised.ask(f"{url}/api/v1/query_exemplars?{query}")[1]).get("data") or []
    traces = {each["labels"].get("trace_id") for series in found for each in series["exemplars"]}
    return None if any(len(trace or "") == 32 for trace in traces) else f"Prometheus has no exemplar: {found}"


def main():
    with (tempfile.TemporaryDirectory() as certificates, exercised.server(*FLAGS, *exercised.tls_flags(certificates)) as url,
          tempfile.TemporaryDirectory() as scratch):
        port = exercised.free_port()
        prometheus = f"http://127.0.0.1:{port}"
        config = pathlib.Path(scratch, "prometheus.yml")
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
            {"job_name": "flamelake", "static_configs": [{"targets": [url.removeprefix("http://")]}]}]}))
        process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={scratch}/data",
                                    f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", "--enable-feature=exemplar-storage"])
        try:
            end, faults = time.time() + 40, ["not asked yet"]
            # The counters must move between two scrapes, so the work goes on until all panels have something to show.
            while faults and time.time() < end:
                exercised.exercise(url, rounds=2)
                time.sleep(1)
                try:
                    faults = [f"{board}: {title} {fault}: {query}" for board, title, query in queries()
                              for fault in [ask(prometheus, query)] if fault]
                    faults += filter(None, [exemplars(prometheus)])
                except OSError:
                    continue  # Prometheus is not up yet
        finally:
            process.terminate()
            process.wait(30)
    for each in faults:
        print(f"dashboards: {each}")
    print(f"dashboards: {len(list(queries()))} queries, {len(faults)} failed")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
