#!/usr/bin/env python3
"""What a tenant notices of another one's flood: p50 and p99 of its pushes and of its queries, alone and beside
(1) pushes of another tenant under the default rate limit, (2) the same without a limit, (3) heavy queries of another tenant.
Target: p99 within twice of what it is alone. The floods run niced, because they share the cores with the server.
Usage: scripts/bench-fairness.py [SECONDS of each measurement, default 15] [push|query]"""
import http.client
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/flamelake/target"))
BIN = TARGET / "release"
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
ONLY = sys.argv[2] if len(sys.argv) > 2 else ""
RENDER = "/pyroscope/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds%7B%7D&from=now-3h&until=now&max-nodes=1024"
FOLDED = b"main;serve;read 3\nmain;serve;write 2\nmain;idle 7\n"


def server(data, port, extra=()):
    log = open(data / f"server-{port}.log", "wb")
    flags = [
        "--target=all", "--server.http-listen-address=127.0.0.1", f"--server.http-listen-port={port}",
        "--server.grpc-listen-address=127.0.0.1", "--server.grpc-listen-port=0", f"--storage.filesystem.dir={data}/{port}",
        "--auth.multitenancy-enabled=true", "--validation.reject-older-than=0", "--validation.reject-newer-than=0",
        "--querier.max-query-lookback=0", "--querier.max-query-length=0", "--retention-period=0", *extra]
    process = subprocess.Popen([BIN / "flamelake", *flags], stdout=log, stderr=log)
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return process
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit((data / f"server-{port}.log").read_text())


def ask(port, method, path, body=None):
    """Seconds until the answer, one connection, as long as SECONDS; anything but 200 ends the measurement."""
    connection, took, end = http.client.HTTPConnection("127.0.0.1", port, timeout=60), [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        started = time.monotonic()
        connection.request(method, path, body, {"X-Scope-OrgID": "quiet"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status}")
        took.append(time.monotonic() - started)
        time.sleep(0.01)
    return sorted(took)


def measure(port, what):
    if what == "push":
        return ask(port, "POST", "/ingest?name=quiet.cpu&spyName=gospy&format=folded", FOLDED)
    return ask(port, "GET", RENDER)


def loadgen(port, tenant, *more):
    return subprocess.Popen(
        [BIN / "flamelake-loadgen", "--url", f"http://127.0.0.1:{port}", "--tenant", tenant, *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=lambda: os.nice(10), text=True, start_new_session=True)


def flood(port, command):
    """The command again and again in a process group of its own."""
    loop = 'while :; do "$@" >/dev/null 2>&1; done'
    return subprocess.Popen(["nice", "bash", "-c", loop, "flood", *map(str, command)], start_new_session=True)


def tell(name, alone, beside):
    at = lambda times, share: times[min(len(times) - 1, int(len(times) * share))] * 1000
    figures = [at(alone, 0.5), at(alone, 0.99), at(beside, 0.5), at(beside, 0.99)]
    print(f"| {name} | " + " | ".join(f"{ms:.1f} ms" for ms in figures) + f" | {figures[3] / figures[1]:.1f} |", flush=True)


def main():
    print("| the quiet tenant's | alone p50 | p99 | beside p50 | p99 | p99 ratio |\n|---|---|---|---|---|---|")
    data, port = pathlib.Path(tempfile.mkdtemp()), random.randint(20000, 29000)
    unlimited = ["--distributor.ingestion-rate-limit-mb=1000", "--distributor.ingestion-burst-size-mb=2000"]
    generator = BIN / "flamelake-loadgen"
    running = []
    try:
        bucket = ["--log.url=bucket"]
        pushes = () if ONLY == "query" else (
            ("default limits, log in the bucket", bucket),
            ("no rate limit, log in the bucket", [*bucket, *unlimited]),
            ("default limits, log on the disk", []),
            ("no rate limit, log on the disk", unlimited),
        )
        for name, extra in pushes:
            port += 1
            running.append(server(data, port, extra))
            alone = measure(port, "push")
            command = [generator, "--url", f"http://127.0.0.1:{port}", "--tenant", "loud", "--push-only", "--connections", "64"]
            loud = flood(port, command)
            time.sleep(2)
            tell(f"push, beside 64 connections that push, {name}", alone, measure(port, "push"))
            os.killpg(loud.pid, signal.SIGTERM)
            loud.wait()
            running.pop().terminate()
        if ONLY == "push":
            return
        port += 1
        running.append(server(data, port, unlimited))
        for tenant in ("quiet", "loud"):
            told = loadgen(port, tenant, "--push-only").communicate()[0]
        now = re.search(r"now (\d+)", told)[1]
        alone = measure(port, "query")
        command = [generator, "--url", f"http://127.0.0.1:{port}", "--tenant", "loud", "--now", now, "--runs", "1000"]
        louds = [flood(port, command) for _ in range(16)]
        time.sleep(2)
        tell("query, beside 16 clients that query", alone, measure(port, "query"))
        for loud in louds:
            os.killpg(loud.pid, signal.SIGTERM)
            loud.wait()
    finally:
        for process in running:
            process.kill()
        subprocess.run(["rm", "-rf", data], check=False)


if __name__ == "__main__":
    main()
