#!/usr/bin/env python3
"""Starts a server, makes it do a little of everything, and prints what /metrics says then: the names that really exist.
Used by metrics-page.py, alerts-check.py and dashboards-check.py. FLAMELAKE_BIN names the server."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROFILE = ROOT / "helm/flamelake/files/test.pprof"
TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.expanduser("~/.cache/flamelake/target"))
    found = os.environ.get("FLAMELAKE_BIN") or f"{target}/release/flamelake"
    if not os.access(found, os.X_OK):
        sys.exit(f"{found} is no server: build it (make build) or set FLAMELAKE_BIN")
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(url, method="GET", body=None, headers=None):
    """(status, text); refusals are answers too."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def certificate(folder, name="own", days=2):
    """Files of a new certificate that signed itself, and of its key: (certificate, key)."""
    found = pathlib.Path(folder, f"{name}.pem"), pathlib.Path(folder, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days), "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", found[0], "-keyout", found[1]],
                   check=True, capture_output=True)
    return found


def tls_flags(folder):
    """A certificate on the internal port, which nobody calls: its metrics are there."""
    own, key = certificate(folder)
    return [f"--server.grpc-listen-port={free_port()}", "--server.grpc-listen-address=127.0.0.1", f"--server.grpc-tls-cert-path={own}",
            f"--server.grpc-tls-key-path={key}"]


def rules_flags(port):
    """Recording rules, whose samples nobody takes: the server itself answers 404."""
    return ["--tenant-settings.recording-rules.enabled=true", f"--recording-rules.remote-write-url=http://127.0.0.1:{port}/nobody",
            "--recording-rules.interval=1s", "--recording-rules.delay=1s"]


def make_rule(url, metric="profiles_cpu"):
    """A recording rule of all CPU profiles, if there is none."""
    def call(method, body):
        return ask(f"{url}/settings.v1.RecordingRulesService/{method}", "POST", json.dumps(body).encode(), {"content-type": "application/json"})
    if metric not in call("ListRecordingRules", {})[1]:
        status, text = call("UpsertRecordingRule", {"metricName": metric, "matchers": [f'{{__profile_type__="{TYPE}"}}'], "groupBy": ["service_name"]})
        assert status == 200, text


def is_ready(url, process):
    """Waits until the server answers; false if it ends first, or does not within half a minute."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            if ask(url + "/ready")[0] == 200:
                return True
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def varint(number):
    """As protobuf and the binary trees of /ingest write it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


@contextlib.contextmanager
def server(*flags):
    """A process of `all` on free ports; yields its URL."""
    with tempfile.TemporaryDirectory() as scratch:
        port = free_port()
        args = [binary(), "--target=all", f"--storage.filesystem.dir={scratch}/data", "--server.http-listen-address=127.0.0.1",
                f"--server.http-listen-port={port}", "--server.grpc-listen-port=0", "--log.level=error", *rules_flags(port), *flags]
        process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        url = f"http://127.0.0.1:{port}"
        try:
            if not is_ready(url, process):
                process.kill()
                sys.exit(process.stderr.read())
            yield url
        finally:
            process.terminate()
            process.wait(30)


def exercise(url, rounds=3):
    """Pushes, flushes, asks, and is refused."""
    def run(*args):
        return subprocess.run([binary(), *args, f"--url={url}"], capture_output=True, text=True)
    make_rule(url)
    for n in range(rounds):
        for service in ("shop", "cart"):
            done = run("push", "--now", f"--label=service_name={service}", f"--label=round=r{n}", str(PROFILE))
            assert done.returncode == 0, done.stderr
        assert ask(url + "/ingester/flush", "POST")[0] == 204
    run("push", "--label=service_name=old", str(PROFILE))
    assert ask(url + "/ingest?name=old&from=1&until=2", "POST", b"a;b 1")[0] == 400
    for command in ("types", "labels", "series", "flamegraph", "top"):
        run("query", f"--type={TYPE}", command)
    ask(url + "/push.v1.PusherService/Push", "POST", b"nonsense", {"content-type": "application/proto"})
    ask(url + "/pyroscope/render?query=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7B%7D&from=now-1h&until=now")


def scrape(url):
    return ask(url + "/metrics")[1]


def exercised_scrape():
    """Merges at once, and a store that fails now and then: retries are counted."""
    flags = ["--compactor.compaction-interval=1s", "--compactor.cleanup-interval=1s", "--compactor.blocks-per-merge-max=2",
             "--testing.storage-faults=get tenants/ fail every:7"]
    with tempfile.TemporaryDirectory() as certificates, server(*flags, *tls_flags(certificates)) as url:
        exercise(url)
        for _ in range(100):
            text = scrape(url)
            if all(name + "{" in text for name in ("flamelake_compactor_merges_total", "flamelake_object_storage_retries_total", "flamelake_rules_samples_total")):
                return text
            time.sleep(0.1)
            ask(url + f"/pyroscope/label-names?from=now-{2 + int(time.time()) % 50}h&until=now")
        return text


def names(text):
    """{metric: type} of a scrape."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def series_names(text):
    """Names as PromQL sees them."""
    found = set()
    for name, kind in names(text).items():
        found |= {name + suffix for suffix in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return found


if __name__ == "__main__":
    print(exercised_scrape(), end="")
