#!/usr/bin/env python3
"""Writes integration-tests/testdata/stores/VERSION.tar.gz: the whole folder of a server that was killed, with what every later version must
read: a merged block, an unmerged one, rows that only the log has, catalogs of two tenants, a setting. Beside it VERSION.json: what queries
answered before. Run by hand with the binary of a release (FLAMELAKE_BIN), once for each; a file that is there is never written anew.
Usage: scripts/store-fixture.py VERSION"""
import json
import signal
import subprocess
import sys
import tempfile
import time

import exercised

FOLDER = exercised.ROOT / "integration-tests/testdata/stores"
TENANTS, SERVICES = ("team-a", "team-b"), ("cart", "shop")
# 2026-11-01 00:00 UTC.
BEGAN = 1_793_491_200
ROUNDS = 4
FLAGS = ["--auth.multitenancy-enabled=true", "--validation.reject-older-than=0", "--querier.max-query-lookback=0", "--querier.max-query-length=0",
         "--retention-period=0", "--ingester.flush-interval=24h", "--compactor.compaction-interval=1s", "--compactor.blocks-per-merge-max=2"]


def samples(tenant, service, round_):
    """What is pushed, in hundredths of a second."""
    return {"main;serve;read": 10 ** round_ + TENANTS.index(tenant), "main;serve;write": 2 + SERVICES.index(service), "main;idle": round_ + 1}


class Server:
    def __init__(self, folder):
        port = exercised.free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([exercised.binary(), f"--storage.filesystem.dir={folder}/data", "--server.http-listen-address=127.0.0.1",
                                         f"--server.http-listen-port={port}", "--server.grpc-listen-port=0", "--log.level=error", *FLAGS],
                                        stdout=subprocess.DEVNULL)
        while not self.is_ready():
            time.sleep(0.1)

    def is_ready(self):
        try:
            return exercised.ask(self.url + "/ready")[0] == 200
        except OSError:
            return False

    def post(self, path, tenant, body):
        status, text = exercised.ask(self.url + path, "POST", body, {"x-scope-orgid": tenant, "content-type": "application/json"})
        assert status in (200, 204), f"{path}: {status} {text}"
        return text

    def push(self, round_):
        for tenant in TENANTS:
            for service in SERVICES:
                at, stacks = BEGAN + round_ * 60, "".join(f"{stack} {count}\n" for stack, count in samples(tenant, service, round_).items())
                self.post(f"/ingest?name={service}.cpu{{pod=p{round_}}}&from={at}&until={at + 10}&sampleRate=100", tenant, stacks.encode())

    def flush(self):
        assert exercised.ask(self.url + "/ingester/flush", "POST")[0] == 204

    def merges(self):
        lines = exercised.scrape(self.url).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("flamelake_compactor_merges_total{"))

    def answer(self, tenant, service):
        body = {"profileTypeID": exercised.TYPE, "labelSelector": f'{{service_name="{service}"}}', "start": (BEGAN - 3600) * 1000,
                "end": (BEGAN + 3600) * 1000, "maxNodes": 1000}
        graph = json.loads(self.post("/querier.v1.QuerierService/SelectMergeStacktraces", tenant, json.dumps(body).encode()))["flamegraph"]
        own = {stack: sum(samples(tenant, service, round_)[stack] for round_ in range(ROUNDS)) * 10_000_000 for stack in samples(tenant, service, 0)}
        assert sum(own.values()) == int(graph["total"]), (own, graph)
        return {"tenant": tenant, "service": service, "own": own}


def main():
    version = sys.argv[1]
    target = FOLDER / f"{version}.tar.gz"
    if target.exists():
        sys.exit(f"{target} is there: an old store is kept as it is")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            for round_ in (0, 1):
                server.push(round_)
                server.flush()
            while server.merges() < len(TENANTS):
                time.sleep(0.2)
            server.push(2)
            server.flush()
            server.push(3)
            server.post("/settings.v1.SettingsService/Set", "team-a", json.dumps({"setting": {"name": "theme", "value": "dark"}}).encode())
            answers = [server.answer(tenant, service) for tenant in TENANTS for service in SERVICES]
        finally:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        said = subprocess.run([exercised.binary(), "--version"], capture_output=True, text=True).stdout.strip()
        (FOLDER / f"{version}.json").write_text(json.dumps({"written_by": said, "settings": {"theme": "dark"}, "range_ms": [(BEGAN - 3600) * 1000, (BEGAN + 3600) * 1000], "answers": answers}, indent=1) + "\n")
        subprocess.run(["tar", "--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", f"--file={target}", "-C", folder, "data"],
                       check=True)
    print(f"{target.relative_to(exercised.ROOT)}: {target.stat().st_size} bytes, written by {said}")


if __name__ == "__main__":
    main()
