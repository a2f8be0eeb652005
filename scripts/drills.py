#!/usr/bin/env python3
"""Drills with a stopwatch: a cluster as processes with the defaults of production, a sender and an asker that never pause, a disaster, and
the account: what users saw, for how long, what was lost. Prints the rows of docs/operations/drills.md.
Usage: scripts/drills.py [DRILL…]; BUCKET_OUTAGE is its length in seconds (600). FLAMELAKE_BIN: the server; FLAMELAKE_PREVIOUS: an older one,
to upgrade from and to roll back to."""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid

import exercised

TOOLS = pathlib.Path(os.environ.get("FLAMELAKE_TOOLS", os.path.expanduser("~/.cache/flamelake/bin")))
TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
# Of the shipped test profile.
VALUE_NS = 420_000_000
PAUSE = 0.1


class Cluster:
    """Etcd, an S3 server and every role, on free ports of loopback."""

    def __init__(self, folder, flags=(), binary=None, flags_of=None):
        self.folder, self.processes, self.flags, self.binary = pathlib.Path(folder), {}, list(flags), binary or exercised.binary()
        self.flags_of = flags_of(self) if flags_of else lambda _: []
        self.ports = {name: exercised.free_port() for name in ("etcd", "peer", "s3")}
        (self.folder / "objects/profiles").mkdir(parents=True)
        self.etcd()
        self.s3()
        self.roles = {"front-0": "distributor,querier", "front-1": "distributor,querier", "ingester-0": "ingester", "ingester-1": "ingester",
                      "ingester-2": "ingester", "store-gateway-0": "store-gateway", "store-gateway-1": "store-gateway",
                      "compactor-0": "compactor", "compactor-1": "compactor"}
        for name in self.roles:
            self.ports[name], self.ports[name + "/grpc"] = exercised.free_port(), exercised.free_port()
            self.role(name, *self.flags_of(name))
        for name in self.roles:
            self.ready(name)

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def etcd(self):
        client, peer = (f"http://127.0.0.1:{self.ports[name]}" for name in ("etcd", "peer"))
        self.start("etcd", TOOLS / "etcd", "--name=n1", "--log-level=warn", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={client}",
                   f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=n1={peer}")

    def s3(self):
        self.start("s3", TOOLS / "versitygw", "--access", "flamelake", "--secret", "flamelake-secret", "--quiet", "--port",
                   f"127.0.0.1:{self.ports['s3']}", "posix", self.folder / "objects")

    def role(self, name, *flags, before=(), binary=None):
        """Starts a process of ours; `before` is what starts the command, `binary` another build."""
        self.start(name, *before, binary or self.binary, f"--target={self.roles[name]}", "--server.http-listen-address=127.0.0.1",
                   f"--server.http-listen-port={self.ports[name]}", "--server.grpc-listen-address=127.0.0.1",
                   f"--server.grpc-listen-port={self.ports[name + '/grpc']}", f"--ring.instance-id={name}", "--ring.instance-addr=127.0.0.1",
                   f"--ring.etcd.endpoints=127.0.0.1:{self.ports['etcd']}", *self.store(), "--ingester.flush-interval=30s", *self.flags, *flags)

    def store(self):
        """Flags of `flamelake admin`."""
        return ["--storage.backend=s3", f"--storage.s3.endpoint=127.0.0.1:{self.ports['s3']}", "--storage.s3.bucket-name=profiles",
                "--storage.s3.access-key-id=flamelake", "--storage.s3.secret-access-key=flamelake-secret", "--storage.s3.insecure=true",
                "--storage.s3.force-path-style=true"]

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def ready(self, name, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            try:
                if exercised.ask(self.url(name) + "/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{name} is not ready: {(self.folder / f'{name}.log').read_text()[-2000:]}")

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(how)
        process.wait(120)

    def end(self):
        for name in [*self.roles, "s3", "etcd"]:
            if name in self.processes:
                self.processes[name].kill()
                self.processes.pop(name).wait()


class Users:
    """One who pushes and repeats until it is taken, and one who asks; both note when they were not served."""

    def __init__(self, cluster):
        self.fronts = [cluster.url("front-0"), cluster.url("front-1")]
        self.run, self.acknowledged, self.since = f"drill-{uuid.uuid4().hex[:8]}", 0, int(time.time() * 1000)
        self.push_failures, self.query_failures, self.slowest_push, self.errors = [], [], 0.0, set()
        self.over, self.held = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.push), threading.Thread(target=self.ask)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def post(self, n, path, body, timeout=10):
        """As a balancer does it: who does not answer at all is left out, and the next one is tried at once."""
        for front in (self.fronts * 2)[n % len(self.fronts):][:len(self.fronts)]:
            request = urllib.request.Request(front + path, data=json.dumps(body).encode(), headers={"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=timeout) as response:
                    return json.loads(response.read())
            except urllib.error.HTTPError as error:
                self.errors.add(f"{error.code} {json.loads(error.read()).get('code')}")
                return None
            except OSError as error:
                self.errors.add(type(getattr(error, "reason", error)).__name__)
        return None

    def push(self):
        raw = base64.b64encode(exercised.PROFILE.read_bytes()).decode()
        labels = [{"name": "__name__", "value": "process_cpu"}, {"name": "service_name", "value": self.run}]
        n = 0
        while not self.over.is_set():
            if self.held.is_set():
                time.sleep(PAUSE)
                continue
            body = {"series": [{"labels": labels, "samples": [{"rawProfile": stamped(raw), "ID": str(uuid.uuid4())}]}]}
            began = time.time()
            while self.post(n, "/push.v1.PusherService/Push", body) is None:
                self.push_failures.append(time.time())
                n += 1
                time.sleep(PAUSE)
            self.acknowledged += 1
            self.slowest_push = max(self.slowest_push, time.time() - began)
            n += 1
            time.sleep(PAUSE)

    def total(self, n=0, timeout=10):
        now = int(time.time() * 1000)
        body = {"profileTypeID": TYPE, "labelSelector": f'{{service_name="{self.run}"}}', "start": self.since - 60_000, "end": now + 60_000}
        answer = self.post(n, "/querier.v1.QuerierService/SelectMergeStacktraces", body, timeout)
        return answer and int(answer.get("flamegraph", {}).get("total", 0))

    def ask(self):
        n = 0
        while not self.over.is_set():
            if self.total(n) is None:
                self.query_failures.append(time.time())
            n += 1
            time.sleep(PAUSE)


def stamped(raw):
    """The profile with the time of now: field 9 of pprof, later ones win."""
    value, bytes_ = time.time_ns(), bytearray(base64.b64decode(raw) + bytes([9 << 3]))
    while value > 127:
        bytes_.append(value & 127 | 128)
        value >>= 7
    return base64.b64encode(bytes_ + bytes([value])).decode()


def span(times):
    return f"{len(times)} in {times[-1] - times[0]:.1f} s" if times else "none"


def node_loss(cluster):
    """An ingester is killed for good (SIGKILL)"""
    cluster.stop("ingester-1", signal.SIGKILL)
    time.sleep(40)


def zone_loss(cluster):
    """A front, an ingester, a store-gateway and a compactor are killed for good"""
    for name in ("front-1", "ingester-2", "store-gateway-1", "compactor-1"):
        cluster.stop(name, signal.SIGKILL)
    time.sleep(40)


def etcd_restore(cluster):
    """Etcd is killed, away for a minute, and comes back empty"""
    cluster.stop("etcd", signal.SIGKILL)
    time.sleep(60)
    shutil.rmtree(cluster.folder / "etcd")
    cluster.etcd()
    time.sleep(40)


def bucket_outage(cluster):
    """The bucket is away for {outage} s"""
    cluster.stop("s3", signal.SIGKILL)
    time.sleep(int(os.environ.get("BUCKET_OUTAGE", "600")))
    cluster.s3()
    time.sleep(60)


def rolling_restart(cluster):
    """Every process is stopped (SIGTERM) and started again, in the order of an upgrade, the binary being the same"""
    order = ["store-gateway-0", "store-gateway-1", "compactor-0", "compactor-1", "ingester-0", "ingester-1", "ingester-2", "front-0", "front-1"]
    for name in order:
        cluster.stop(name)
        cluster.role(name)
        cluster.ready(name)
        time.sleep(3)
    time.sleep(20)


ORDER_OF_AN_UPGRADE = ["store-gateway-0", "store-gateway-1", "front-0", "front-1", "compactor-0", "compactor-1", "ingester-0", "ingester-1", "ingester-2"]


def roll(cluster, names, binary):
    for name in names:
        cluster.stop(name)
        cluster.role(name, binary=binary)
        cluster.ready(name)
        time.sleep(3)


def upgrade(cluster):
    """Every process is upgraded from {previous} to {version}, in the order of an upgrade"""
    roll(cluster, ORDER_OF_AN_UPGRADE, exercised.binary())
    time.sleep(20)


def rollback(cluster):
    """Every process is rolled back from {version} to {previous}, in the opposite order"""
    roll(cluster, ORDER_OF_AN_UPGRADE[::-1], os.environ["FLAMELAKE_PREVIOUS"])
    time.sleep(20)


def disk_loss(cluster):
    """An ingester with its log on a disk is killed and the disk is lost (blocks every 30 s); after 20 s it begins anew with an empty one"""
    # The one that users push to, so that there is something to lose.
    received = lambda name: sum(map(float, re.findall(r"^flamelake_ingester_profiles_total (\S+)", exercised.scrape(cluster.url(name)), re.M)))
    victim = max((name for name in cluster.roles if name.startswith("ingester")), key=received)
    cluster.stop(victim, signal.SIGKILL)
    shutil.rmtree(cluster.folder / f"disk-{victim}")
    time.sleep(20)
    cluster.role(victim, *log_on_disk(cluster)(victim))
    cluster.ready(victim)
    time.sleep(40)


def log_on_disk(cluster):
    return lambda name: [f"--log.url=file://{cluster.folder}/disk-{name}/log"] if name.startswith("ingester") else []


# What a drill starts with that is not the defaults.
disk_loss.flags_of, disk_loss.loses = log_on_disk, True
upgrade.binary = lambda: os.environ["FLAMELAKE_PREVIOUS"]
rollback.binary = exercised.binary


def version_of(binary):
    return subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip().removeprefix("flamelake ")


def drill(disaster):
    binary = getattr(disaster, "binary", exercised.binary)()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder, binary=binary, flags_of=getattr(disaster, "flags_of", None))
        try:
            with Users(cluster) as users:
                time.sleep(10)
                before, began = len(users.push_failures) + len(users.query_failures), time.time()
                disaster(cluster)
            # What was accepted must be there; a push that its user repeated may be there twice until a merge (the one exception to P2).
            stored = users.total(timeout=60) or 0
        finally:
            cluster.end()
    title = disaster.__doc__.format(outage=os.environ.get("BUCKET_OUTAGE", "600"), version=version_of(exercised.binary()),
                                    previous=version_of(os.environ.get("FLAMELAKE_PREVIOUS") or exercised.binary()))
    last = max([*users.push_failures, *users.query_failures, began]) - began
    print(f"| {title} | {users.acknowledged} | {span(users.push_failures)}; slowest {users.slowest_push:.1f} s | {span(users.query_failures)} | "
          f"{last:.1f} s | {users.acknowledged - stored // VALUE_NS} |", flush=True)
    print(f"  {disaster.__name__}: before it {before} failures; {', '.join(sorted(users.errors)) or 'no errors'}", file=sys.stderr, flush=True)
    return stored // VALUE_NS <= users.acknowledged + len(users.push_failures) and (
        users.acknowledged <= stored // VALUE_NS or getattr(disaster, "loses", False))


def main():
    drills = {each.__name__: each for each in (node_loss, zone_loss, disk_loss, etcd_restore, rolling_restart, upgrade, rollback, bucket_outage)}
    if not os.environ.get("FLAMELAKE_PREVIOUS"):
        print("drills: FLAMELAKE_PREVIOUS names no older binary: no upgrade is tried", file=sys.stderr)
        del drills["upgrade"], drills["rollback"]
    good = [drill(drills[name]) for name in sys.argv[1:] or drills]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
