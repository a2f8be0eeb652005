#!/usr/bin/env python3
"""Response time and bytes of every request that a page of Grafana's Profiles Drilldown sends, after the load of docs/benchmarks.md.
Requests are those of integration-tests/tests/it/grafana.rs: the app's own in JSON, and the data source's in protobuf. One at a time, warm, the
median of RUNS; the reference's figures are those of its shared measurement, where the same was asked.
Usage: scripts/bench-drilldown.py [--runs RUNS, default 15] [SCALE..., default 1 and 4]. FLAMELAKE_BIN names another server."""
import argparse
import base64
import gzip
import http.client
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

import exercised

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/flamelake/target")) / "release"
SERVER = os.environ.get("FLAMELAKE_BIN", TARGET / "flamelake")
LOADGEN = os.environ.get("FLAMELAKE_LOADGEN", TARGET / "flamelake-loadgen")
TENANT = "load"
CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
HEAP = "memory:inuse_space:bytes:space:bytes"
# A hundred pods send twenty profiles each at 1x, one in 15 seconds (crates/loadgen/src/fleet.rs).
ROUNDS, INTERVAL_MS = 20, 15_000
QUERIER = "/querier.v1.QuerierService/"
# Milliseconds of the reference at 1x and 4x: ../shared/design/performance.md section 00.
FLAME, ALL, SERIES_BY, SERIES = (69, 115), (78, 178), (71, 164), (27, 83)
PPROF, VALUES, SETS = (70, 169), (7.2, 11), (2.6, 2.5)


def message(*fields):
    """Protobuf: pairs of number and value; texts, numbers, doubles, and lists of texts."""
    def field(number, value):
        if isinstance(value, list):
            return b"".join(field(number, each) for each in value)
        if isinstance(value, str):
            return exercised.varint(number << 3 | 2) + exercised.varint(len(value.encode())) + value.encode()
        if isinstance(value, float):
            return exercised.varint(number << 3 | 1) + struct.pack("<d", value)
        return exercised.varint(number << 3) + exercised.varint(value)

    return b"".join(field(*each) for each in fields)


def requests(start, end, adhoc):
    """View, name, path, body, reference: a dict is JSON of the browser, bytes are protobuf of the data source, None is a GET."""
    checkout = '{service_name="checkout",}'
    matchers = [f'{{__profile_type__="{CPU}", service_name="checkout"}}']
    span = {"start": start, "end": end}

    def flame(selector, kind=CPU):
        return message((1, kind), (2, selector), (3, start), (4, end), (5, 16384))

    def series(selector, groups, kind=CPU, exemplars=1):
        return message((1, kind), (2, selector), (3, start), (4, end), (5, groups), (6, 15.0), (10, exemplars))

    def heatmap(kind):
        return message((1, CPU), (2, checkout), (3, start), (4, end), (5, max(15.0, (end - start) / 64_000)), (7, kind), (8, 1))

    query = urllib.parse.quote(CPU + checkout, safe="")
    render = f"/pyroscope/render?query={query}&from={start}&until={end}&max-nodes=100&format="
    half = (start + end) // 2
    diff = (f"/pyroscope/render-diff?leftQuery={query}&leftFrom={start}&leftUntil={half}"
            f"&rightQuery={query}&rightFrom={half}&rightUntil={end}&max-nodes=16384")
    details = {"profile_typeID": CPU, "label_selector": checkout, **span, "maxNodes": 16384,
               "stackTraceSelector": {"call_site": [{"name": adhoc.function}]}}
    settings, rules, files = "/settings.v1.SettingsService/", "/settings.v1.RecordingRulesService/", "/adhocprofiles.v1.AdHocProfileService/"
    return [
        ("start", "Series: services and types", QUERIER + "Series",
         {**span, "labelNames": ["service_name", "__profile_type__"], "matchers": []}, SETS),
        ("start", "GetProfileStats", QUERIER + "GetProfileStats", {}, None),
        ("start", "Settings/Get", settings + "Get", {}, None),
        ("start", "GetFeatureFlags", "/capabilities.v1.FeatureFlagsService/GetFeatureFlags", {}, None),
        ("start", "ListRecordingRules", rules + "ListRecordingRules", {}, None),
        ("all services", "SelectSeries: CPU of a service", QUERIER + "SelectSeries", series(checkout, ["service_name"]), None),
        ("profile types", "SelectSeries: heap of a service", QUERIER + "SelectSeries", series(checkout, [], HEAP), None),
        ("labels", "LabelNames", QUERIER + "LabelNames", {**span, "matchers": matchers}, None),
        ("labels", "LabelValues of pod", QUERIER + "LabelValues", {**span, "name": "pod", "matchers": matchers}, VALUES),
        ("labels", "SelectSeries by pod", QUERIER + "SelectSeries", series(checkout, ["pod"]), SERIES_BY),
        ("labels", "SelectSeries by pod, exemplars", QUERIER + "SelectSeries", series(checkout, ["pod"], exemplars=2), None),
        ("flame graph", "SelectSeries, total", QUERIER + "SelectSeries", series(checkout, []), SERIES),
        ("flame graph", "SelectHeatmap of profiles", QUERIER + "SelectHeatmap", heatmap(1), None),
        ("flame graph", "SelectHeatmap of spans", QUERIER + "SelectHeatmap", heatmap(2), None),
        ("flame graph", "SelectMergeStacktraces, 16,384 nodes", QUERIER + "SelectMergeStacktraces", flame(checkout), FLAME),
        ("flame graph", "SelectMergeStacktraces, all services", QUERIER + "SelectMergeStacktraces", flame("{}"), ALL),
        ("flame graph", "AnalyzeQuery", QUERIER + "AnalyzeQuery", {**span, "query": CPU + checkout}, None),
        ("flame graph", "SelectMergeProfile: details of a function", QUERIER + "SelectMergeProfile", details, None),
        ("flame graph", "SelectMergeProfile: export", QUERIER + "SelectMergeProfile", flame(checkout), PPROF),
        ("flame graph", "render as DOT, 100 nodes", render + "dot", None, None),
        ("flame graph", "render as JSON, 100 nodes", render + "json", None, None),
        ("diff", "render-diff, 16,384 nodes", diff, None, None),
        ("ad hoc", "List", files + "List", {}, None),
        ("ad hoc", "Get", files + "Get", {"id": adhoc.id}, None),
    ]


class Grafana:
    """One connection, as Grafana's proxy and data source keep it."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path, body):
        """Seconds, bytes on the wire, and the answer unpacked."""
        headers = {"X-Scope-OrgID": TENANT, "Accept-Encoding": "gzip", "Accept": "application/json; allow-utf8-labelnames=true"}
        if isinstance(body, bytes):
            headers |= {"Content-Type": "application/proto", "Connect-Protocol-Version": "1", "Accept": "*/*; allow-utf8-labelnames=true"}
        elif body is not None:
            headers |= {"Content-Type": "application/json", "X-Grafana-Org-Id": "1"}
            body = json.dumps(body)
        started = time.monotonic()
        self.connection.request("GET" if body is None else "POST", path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        took = time.monotonic() - started
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {content[:500]}")
        plain = gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content
        return took, len(content), plain


class Adhoc:
    """An uploaded profile, and a function to look into."""

    def __init__(self, grafana, start, end):
        render = f"/pyroscope/render?query={urllib.parse.quote(CPU)}%7Bservice_name%3D%22checkout%22%7D&from={start}&until={end}&format=json&max-nodes=100"
        graph = json.loads(grafana.ask(render, None)[2])["flamebearer"]
        # The outermost call of the first stack.
        self.function = graph["names"][graph["levels"][1][3]]
        pprof = grafana.ask(QUERIER + "SelectMergeProfile", message((1, CPU), (2, "{}"), (3, start), (4, end)))[2]
        upload = {"name": "cpu.pb.gz", "profile": base64.b64encode(gzip.compress(pprof)).decode()}
        self.id = json.loads(grafana.ask("/adhocprofiles.v1.AdHocProfileService/Upload", upload)[2])["id"]


def start_server(data, port):
    flags = [
        "--target=all", "--server.http-listen-address=127.0.0.1", f"--server.http-listen-port={port}",
        "--server.grpc-listen-address=127.0.0.1", "--server.grpc-listen-port=0", f"--storage.filesystem.dir={data}/state",
        "--tenant-settings.recording-rules.enabled=true", "--recording-rules.remote-write-url=http://127.0.0.1:9/api/v1/write",
        "--auth.multitenancy-enabled=true", "--validation.reject-older-than=0", "--validation.reject-newer-than=0",
        "--querier.max-query-lookback=0", "--querier.max-query-length=0", "--retention-period=0",
        "--distributor.ingestion-rate-limit-mb=1000", "--distributor.ingestion-burst-size-mb=2000"]
    log = open(data / "server.log", "wb")
    process = subprocess.Popen([SERVER, *flags], stdout=log, stderr=log)
    if exercised.is_ready(f"http://127.0.0.1:{port}", process):
        return process
    sys.exit((data / "server.log").read_text())


def measure(scale, runs, port):
    command = [LOADGEN, "--url", f"http://127.0.0.1:{port}", "--tenant", TENANT, "--scale", str(scale), "--flush", "--push-only"]
    told = subprocess.run(command, capture_output=True, text=True)
    now = re.search(r"now (\d+)", told.stderr)
    if told.returncode or not now:
        sys.exit(told.stderr)
    end = int(now[1]) // 1_000_000
    start = end - (ROUNDS * scale + 1) * INTERVAL_MS
    grafana = Grafana(port)
    rows = []
    for view, name, path, body, reference in requests(start, end, Adhoc(grafana, start, end)):
        answers = [grafana.ask(path, body) for _ in range(runs + 1)][1:]
        took = sorted(answer[0] for answer in answers)[runs // 2] * 1000
        rows.append((view, name, took, answers[0][1], len(answers[0][2]), figure(reference, scale)))
    return rows


def figure(reference, scale):
    return dict(zip((1, 4), reference or ())).get(scale)


def table(measured):
    """Of rows by scale. In brackets: how many times faster than the reference."""
    heads = [f"{scale}x reference, ms | ms | bytes sent | unpacked" for scale in measured]
    print(f"| view | request | {' | '.join(heads)} |\n|---|---|{'---|' * 4 * len(heads)}")
    shown = None
    for lines in zip(*measured.values()):
        view, name = lines[0][:2]
        cells = []
        for _, _, took, sent, plain, reference in lines:
            faster = f" ({reference / took:.{0 if reference > 10 * took else 1}f})" if reference else ""
            cells += [str(reference or ""), f"{took:.1f}{faster}", f"{sent:,}", f"{plain:,}"]
        print(f"| {'' if view == shown else view} | {name} | {' | '.join(cells)} |")
        shown = view


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=15)
    arguments.add_argument("scale", type=int, nargs="*", default=[1, 4])
    arguments = arguments.parse_args()
    measured = {}
    for scale in arguments.scale:
        with tempfile.TemporaryDirectory() as folder:
            port = 20000 + os.getpid() % 10000
            server = start_server(pathlib.Path(folder), port)
            try:
                measured[scale] = measure(scale, arguments.runs, port)
            finally:
                server.terminate()
                server.wait()
    table(measured)


if __name__ == "__main__":
    main()
