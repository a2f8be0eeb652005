#!/usr/bin/env python3
"""Fires every alert for real, and follows its runbook: a cluster with a Prometheus that has the rules of deploy/alerts, a user who pushes and
one who asks. One cause after the other is brought about; its alerts must fire; the code blocks of their runbooks are run against the sick
cluster and must show what is wrong; the cause is removed as the runbook says, its other blocks are run, and the cluster must be well again:
the alerts gone, nothing critical, a push read back whole at every front.

Times of the rules are a twentieth (15 minutes are 45 seconds), where a rule waits for an hour or longer a 240th.
Usage: scripts/alerts-drill.py [CAUSE…]. FLAMELAKE_BIN: the server. Takes about 75 minutes."""
import contextlib
import datetime
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

import drills
import exercised

RUNBOOKS = exercised.ROOT / "docs/operations/runbooks"
FACTOR, FACTOR_OF_HOURS = 20, 240
# Queries of half a minute do not end often enough for a twentieth.
FACTORS = {"FlamelakeQuerySlow": 5}
SECONDS = {"s": 1, "m": 60, "h": 3600}
# The machine may be busy with other things.
PATIENCE, PATIENCE_TO_RECOVER = 420, 300


def faster(text):
    """The rules with shorter times, and the one threshold that is a time."""
    def rule(part):
        name = (re.findall(r"- alert: (\w+)", part) or [""])[0]
        factor = FACTORS.get(name, FACTOR_OF_HOURS if re.search(r"^ *for: \d+h", part, re.M) else FACTOR)
        part = re.sub(r"(\[|for: |offset )(\d+)([smh])\b", lambda found: f"{found[1]}{max(int(found[2]) * SECONDS[found[3]] // factor, 4)}s", part)
        return re.sub(r"(_seconds\)? > )(\d{3,})", lambda found: f"{found[1]}{int(found[2]) // factor}", part)
    return "".join(rule(part) for part in re.split(r"(?=^ *- alert: )", text, flags=re.M))


class Watch:
    """The Prometheus."""

    def __init__(self, cluster):
        self.port, folder = exercised.free_port(), cluster.folder
        (folder / "alerts").mkdir()
        for path in (exercised.ROOT / "deploy/alerts").glob("*.yaml"):
            (folder / "alerts" / path.name).write_text(faster(path.read_text()))
        targets = [f"127.0.0.1:{cluster.ports[name]}" for name in cluster.roles]
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["alerts/*.yaml"],
            "scrape_configs": [{"job_name": "flamelake", "static_configs": [{"targets": targets}]}]}))
        cluster.start("prometheus", "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                      f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error")

    def firing(self):
        """Severity by name; a Prometheus that does not answer says nothing."""
        for _ in range(60):
            try:
                alerts = json.loads(exercised.ask(f"http://127.0.0.1:{self.port}/api/v1/alerts")[1])["data"]["alerts"]
                break
            except (OSError, ValueError):
                time.sleep(0.5)
        else:
            sys.exit("Prometheus does not answer")
        return {each["labels"]["alertname"]: each["labels"]["severity"] for each in alerts if each["state"] == "firing"}


def sections_of(page):
    """(title, text) of each section of a runbook."""
    for section in re.split(r"^## ", (RUNBOOKS / f"{page}.md").read_text(), flags=re.M)[1:]:
        yield section.split("\n", 1)[0], section


def blocks_of(text):
    return re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)


class Runbook:
    """The code blocks of an alert's page that a machine can run, by the section they stand in. Where it says to follow another page, that
    page's blocks belong to what is to be done."""

    def __init__(self, alert, environment):
        self.alert, self.environment, self.blocks = alert, environment, []
        for title, text in sections_of(alert):
            self.blocks += [(title, block) for block in blocks_of(text)]
            for page in re.findall(r"^Follow \[[^\]]*\]\(([\w-]+)\.md\)", text, re.M):
                self.blocks += [(title, block) for _, followed in sections_of(page) for block in blocks_of(followed)]

    def run(self, sections, may_fail=False):
        """(how many ran, what they said, faults)."""
        told, faults, count = "", [], 0
        for title, block in self.blocks:
            if title not in sections:
                continue
            script = "set -eo pipefail\ncurl() { command curl --fail-with-body --max-time 60 \"$@\"; }\n" + block
            try:
                done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=self.environment, timeout=150)
                code, text = done.returncode, done.stdout + done.stderr
            except subprocess.TimeoutExpired as late:
                code, text = "no end", str(late.stdout)
            told, count = told + text, count + 1
            if code and not may_fail:
                faults.append(f"{self.alert}: {block.strip()!r} ends with {code}: {text[-300:]}")
        return count, told, faults


class Cause:
    """Something that goes wrong. `alerts` and what the runbook's commands must say of each while it does."""

    all = []

    def __init__(self, alerts, where="front-0", may_fail=(), patience=PATIENCE):
        self.alerts, self.where, self.may_fail, self.patience = alerts, where, may_fail, patience
        Cause.all.append(self)

    def __call__(self, bring_about):
        self.bring_about, self.name = bring_about, bring_about.__name__
        return self


def again(cluster, name, *flags, **how):
    """Restarts a process, with other flags."""
    cluster.stop(name)
    cluster.role(name, *flags, **how)
    cluster.ready(name)


def all_again(cluster, names, *flags):
    for name in names:
        again(cluster, name, *flags)


FRONTS, INGESTERS = ["front-0", "front-1"], ["ingester-0", "ingester-1", "ingester-2"]
GATEWAYS, COMPACTORS = ["store-gateway-0", "store-gateway-1"], ["compactor-0", "compactor-1"]


def paused(cluster, name, seconds, times):
    for _ in range(times):
        cluster.processes[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        cluster.processes[name].send_signal(signal.SIGCONT)
        time.sleep(12)


def files(cluster, pattern):
    return sorted((cluster.folder / "objects/profiles").glob(pattern), key=lambda path: path.stat().st_mtime)


def live_block(cluster, profiles_min=50):
    """The folder of the newest block that the catalog names, and that has rows of the users: others hold only a few of tests."""
    listed = subprocess.run([exercised.binary(), "admin", "blocks", "list", "anonymous", *cluster.store()], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    live = {row[0] for row in rows if len(row) > 8 and int(row[7]) >= profiles_min}
    return [path.parent for path in files(cluster, "tenants/anonymous/blocks/*/samples.parquet") if path.parent.name in live][-1]


def metric(cluster, name, which):
    return sum(float(value) for value in re.findall(rf"^{which}(?:\{{.*\}})? (\S+)$", exercised.scrape(cluster.url(name)), re.M))


def busiest_ingester(cluster):
    """Only who is pushed to finds out that its log was sealed."""
    return max(INGESTERS, key=lambda name: metric(cluster, name, "flamelake_ingester_profiles_total"))


def push(cluster, service, front="front-0"):
    return subprocess.run([exercised.binary(), "push", "--now", f"--label=service_name={service}", f"--url={cluster.url(front)}",
                           str(exercised.PROFILE)], capture_output=True, text=True).returncode == 0


class Crowd:
    """Does the same in many threads until it is told to stop."""

    def __init__(self, count, act, pause=0.0):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(act, pause)) for _ in range(count)]
        for thread in self.threads:
            thread.start()
            time.sleep(0.2 if count < 20 else 0)

    def work(self, act, pause):
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                act()
            time.sleep(pause)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


# What each cause gives back removes it, as a person would by the runbook; what that gives back, if it can be called, is done when all is well.
@Cause({"FlamelakeDown": "it does not answer"}, where="front-1")
def querier_dies(cluster, _):
    cluster.stop("front-1", signal.SIGKILL)
    return lambda: (cluster.role("front-1"), cluster.ready("front-1"))


@Cause({"FlamelakeRestarting": "process_start_time_seconds"}, where="store-gateway-1")
def process_restarts(cluster, _):
    for _ in range(3):
        again(cluster, "store-gateway-1")
        time.sleep(2)
    return lambda: None


@Cause({"FlamelakeDiscarding": "not_in_ingestion_window"})
def profiles_are_too_old(cluster, users):
    old = Crowd(1, lambda: exercised.ask(cluster.url("front-0") + "/ingest?name=old&from=1&until=2", "POST", b"a;b 1"), 0.05)
    return old.stop


@Cause({"FlamelakeIngesterRecovered": "ingester-0"}, where="ingester-0")
def ingester_dies(cluster, _):
    cluster.stop("ingester-2", signal.SIGKILL)
    return lambda: (cluster.role("ingester-2"), cluster.ready("ingester-2"))


@Cause({"FlamelakeLeasesLost": "flamelake_ring_leases_lost_total [1-9]", "FlamelakeLogsSealed": "flamelake_ingester_logs_reopened_total [1-9]"}, where="busiest")
def ingester_is_paused(cluster, users):
    users.busiest = busiest_ingester(cluster)
    paused(cluster, users.busiest, 16, 3)
    return lambda: None


@Cause({"FlamelakeRingDisconnected": "flamelake_ring_connected 0"})
def etcd_is_away(cluster, _):
    cluster.stop("etcd", signal.SIGKILL)
    return cluster.etcd


@Cause({"FlamelakeRingWiped": "flamelake_ring_snapshots_refused_total"})
def etcd_sleeps(cluster, _):
    # Longer than the leases: they all end when it wakes.
    paused(cluster, "etcd", 30, 1)
    return lambda: None


@Cause({"FlamelakeBucketSlow": "request_seconds_sum", "FlamelakeLogSlow": "append_seconds_sum", "FlamelakePushSlow": "append_seconds_sum"}, where="ingester-0")
def bucket_is_slow(cluster, _):
    all_again(cluster, INGESTERS, "--testing.storage-faults=write * delay:3s")
    return lambda: all_again(cluster, INGESTERS)


@Cause({"FlamelakeQuerySlow": "query_seconds_sum"})
def blocks_are_slow_to_read(cluster, users):
    all_again(cluster, GATEWAYS, "--testing.storage-faults=get /blocks/ delay:6s", "--store-gateway.cache-bytes-max=1", "--rpc.query-timeout=300s")
    all_again(cluster, FRONTS, "--rpc.query-timeout=300s", "--querier.timeout=300s")
    probe = drills.Users(cluster)
    probe.run = users.run
    patient = Crowd(12, lambda: probe.total(timeout=300))
    return lambda: (patient.stop(), all_again(cluster, GATEWAYS), all_again(cluster, FRONTS))


@Cause({"FlamelakeBucketDown": "request_seconds_count", "FlamelakeBucketErrors": "retries_total", "FlamelakePushErrors": "5",
        "FlamelakeQueryErrors": "unavailable|deadline", "FlamelakeFlushFailing": "flush_failures_total"},
       where="ingester-0", may_fail=["FlamelakePushErrors", "FlamelakeQueryErrors", "FlamelakeFlushFailing"])
def bucket_is_away(cluster, _):
    cluster.stop("s3", signal.SIGKILL)
    return cluster.s3


@Cause({"FlamelakeMemberUnhealthy": r"ingester-2.*\bno\b"})
def dead_ingester_cannot_be_recovered(cluster, _):
    cluster.stop("s3", signal.SIGKILL)
    cluster.stop("ingester-2", signal.SIGKILL)
    return lambda: (cluster.s3(), cluster.role("ingester-2"), cluster.ready("ingester-2"))


@Cause({"FlamelakeQueriesRefused": "resource_exhausted|none here"})
def queriers_have_no_room(cluster, users):
    all_again(cluster, FRONTS, "--querier.max-concurrent=1", "--querier.max-queued=1")
    probe = drills.Users(cluster)
    probe.run = users.run
    others = Crowd(12, probe.total)
    return lambda: (others.stop(), all_again(cluster, FRONTS))


class RulesReceiver:
    """A Prometheus that takes the samples of recording rules, and the queriers that send them there."""

    def __init__(self, cluster, users):
        self.cluster, self.run = cluster, users.run
        self.port = cluster.ports.setdefault("receiver", exercised.free_port())
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        folder = self.cluster.folder
        (folder / "receiver.yml").write_text("{}")
        self.cluster.start("receiver", "prometheus", f"--config.file={folder}/receiver.yml", f"--storage.tsdb.path={folder}/received",
                           f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver", "--log.level=error")

    def queriers_send_to(self, url):
        all_again(self.cluster, FRONTS, "--tenant-settings.recording-rules.enabled=true", f"--recording-rules.remote-write-url={url}",
                  f"--recording-rules.interval={RULES_EVERY}s", "--recording-rules.delay=2s")
        exercised.make_rule(self.cluster.url("front-0"), "drilled_cpu")

    def times(self):
        """Of the samples that are there."""
        query = urllib.parse.urlencode({"query": f'drilled_cpu{{service_name="{self.run}"}}[1h]'})
        try:
            found = json.loads(exercised.ask(f"{self.url}/api/v1/query?{query}")[1])["data"]["result"]
        except OSError:
            return []
        return [float(at) for series in found for at, _ in series["values"]]

    def until_sent(self, count, seconds=120):
        end = time.time() + seconds
        while len(self.times()) < count or self.times()[-1] < time.time() - 5 * RULES_EVERY:
            assert time.time() < end, f"samples of rules do not come: {len(self.times())}"
            time.sleep(1)


RULES_EVERY = 5


@Cause({"FlamelakeRulesLate": r"flamelake_rules_lag_seconds [1-9]\d"}, where="all fronts")
def receiver_of_rules_is_away(cluster, users):
    receiver = RulesReceiver(cluster, users)
    receiver.start()
    receiver.queriers_send_to(receiver.url + "/api/v1/write")
    receiver.until_sent(2)
    cluster.stop("receiver", signal.SIGKILL)

    def undo():
        receiver.start()
        receiver.until_sent(8)
        times = receiver.times()
        gaps = {round(after - before) for before, after in itertools.pairwise(times)}
        assert gaps == {RULES_EVERY}, f"windows are missing, or there twice: {times}"
    return undo


@Cause({"FlamelakeRulesDropped": 'outcome="refused"'}, where="all fronts")
def receiver_of_rules_refuses(cluster, users):
    receiver = RulesReceiver(cluster, users)
    if "receiver" not in cluster.processes:
        receiver.start()
    receiver.queriers_send_to(receiver.url + "/no-receiver")
    return lambda: (receiver.queriers_send_to(receiver.url + "/api/v1/write"), receiver.until_sent(2))


@Cause({"FlamelakePanics": r"flamelake_panics_total [1-9]"}, where="front-1")
def handler_panics(cluster, _):
    again(cluster, "front-1", "--testing.storage-faults=get /catalog/ panic every:3", "--catalog.cached-tenants-max=0")
    return lambda: again(cluster, "front-1")


@Cause({"FlamelakeNoPushes": "distributor_received_profiles_total"})
def agents_stop(cluster, users):
    users.held.set()
    return users.held.clear


@Cause({"FlamelakeInflightHigh": "inflight_bytes"})
def log_hangs_and_many_push(cluster, _):
    # A slow log is not enough: pushes end in waves there, and between two the bytes in work are few. The first segment is written at the start.
    all_again(cluster, INGESTERS, "--testing.storage-faults=write /00000000000000000002 hang")
    # One tenant has at most half, so it takes several; the users go on by the other front.
    again(cluster, "front-0", "--distributor.inflight-bytes-max=4KB", "--auth.multitenancy-enabled=true")
    tenants = itertools.cycle(["team-a", "team-b", "team-c", "team-d"])

    def push_one():
        now = int(time.time())
        exercised.ask(cluster.url("front-0") + f"/ingest?name=many&from={now}&until={now + 1}", "POST", b"a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p 1\n" * 4,
                      {"x-scope-orgid": next(tenants)})
    many = Crowd(80, push_one, 0.1)

    def undo():
        many.stop()
        # Whose log hangs does not stop in order: nothing that it acknowledged is in it alone.
        for name in INGESTERS:
            cluster.stop(name, signal.SIGKILL)
            cluster.role(name)
            cluster.ready(name)
        again(cluster, "front-0")
    return undo


@Cause({"FlamelakeOpenFilesNearLimit": "process_open_fds"}, where="store-gateway-1")
def connections_fill_the_files(cluster, _):
    name = "store-gateway-1"
    ports = [cluster.ports[name], cluster.ports[name + "/grpc"], exercised.free_port()]
    again(cluster, name, f"--server.admin-listen-port={ports[2]}", "--server.admin-listen-address=127.0.0.1",
          before=("sh", "-c", 'ulimit -n 256; exec "$0" "$@"'))
    over, held = threading.Event(), []

    def flood():
        while not over.is_set():
            for port in ports:
                with contextlib.suppress(OSError):
                    held.append(socket.create_connection(("127.0.0.1", port), 1))
            time.sleep(0.05)
            # Those that were closed make room for others; this process may not open many itself.
            while len(held) > 400:
                held.pop(0).close()
    thread = threading.Thread(target=flood)
    thread.start()
    return lambda: (over.set(), thread.join(), [each.close() for each in held], again(cluster, name))


@Cause({"FlamelakeVersionsDiffer": "000000"}, where="store-gateway-1")
def two_versions_run(cluster, _):
    """The same binary with another revision written into it, as long as the old one: what differs is what it says of itself."""
    said = subprocess.run([exercised.binary(), "--version"], capture_output=True, text=True).stdout
    revision = re.search(r"\((\w+)\)", said)[1].encode()
    other = cluster.folder / "flamelake-other"
    text = pathlib.Path(exercised.binary()).read_bytes()
    other.write_bytes(text.replace(revision, b"0" * len(revision)))
    other.chmod(0o755)
    again(cluster, "store-gateway-1", binary=str(other))
    return lambda: again(cluster, "store-gateway-1")


@Cause({"FlamelakeRingViewsDiffer": "flamelake_ring_members"}, where="front-1")
def one_has_another_prefix(cluster, _):
    again(cluster, "front-1", "--ring.etcd.prefix=elsewhere/")
    return lambda: again(cluster, "front-1")


@Cause({"FlamelakeReloadedFileBroken": 'flamelake_reloaded_file_good{file="limits"} 0'})
def limits_file_breaks(cluster, _):
    limits = cluster.folder / "limits.yaml"
    limits.write_text("overrides: {}\n")
    again(cluster, "front-0", f"--runtime-config.file={limits}")
    limits.write_text("overrides: {anonymous: {ingestion_rat: 1}}\n")
    # Put right without a restart.
    return lambda: limits.write_text("overrides: {}\n")


def certificate(folder, before, after):
    """In force since `before` seconds ago, for `after` more."""
    ca = folder / "authority"
    shutil.rmtree(ca, ignore_errors=True)
    ca.mkdir()
    (ca / "index").write_text("")
    (ca / "serial").write_text("01\n")
    (ca / "ca.cnf").write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={ca}/index\nserial={ca}/serial\nnew_certs_dir={ca}\ndefault_md=sha256\npolicy=any\n"
                               "x509_extensions=ext\n[any]\ncommonName=supplied\n[ext]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    def run(*words):
        return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    now = datetime.datetime.now(datetime.timezone.utc)
    first, last = ((now + datetime.timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%SZ") for seconds in (-before, after))
    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", ca / "key", "-out", ca / "csr")
    run("ca", "-config", ca / "ca.cnf", "-batch", "-notext", "-selfsign", "-keyfile", ca / "key", "-in", ca / "csr", "-startdate", first, "-enddate", last,
        "-out", ca / "pem")
    # The key first: a reader between the two sees files that do not fit, and keeps what it has.
    shutil.copy(ca / "key", folder / "own.key")
    shutil.copy(ca / "pem", folder / "own.pem")


@Cause({"FlamelakeCertificateExpiring": "flamelake_certificate_", "FlamelakeCertificateExpired": "flamelake_certificate_expiry"}, where="store-gateway-1")
def certificate_ends(cluster, _):
    certificate(cluster.folder, 1200, 120)
    again(cluster, "store-gateway-1", f"--server.admin-listen-port={exercised.free_port()}", "--server.admin-listen-address=127.0.0.1",
          f"--server.admin-tls-cert-path={cluster.folder}/own.pem", f"--server.admin-tls-key-path={cluster.folder}/own.key")
    # Renewed without a restart.
    return lambda: certificate(cluster.folder, 60, 90 * 86400)


@Cause({"FlamelakeBlockDamaged": "samples.parquet", "FlamelakePartialAnswers": "partial_answers_total"}, may_fail=["FlamelakeBlockDamaged"])
def block_is_damaged(cluster, _):
    path = live_block(cluster) / "samples.parquet"
    good = path.read_bytes()
    path.write_bytes(b"x" * len(good))
    all_again(cluster, GATEWAYS)  # caches know it still
    return lambda: path.write_bytes(good)


@Cause({"FlamelakeBlocksMissing": "missing|samples.parquet|not found"}, may_fail=["FlamelakeBlocksMissing"])
def block_is_deleted(cluster, _):
    folder, kept = live_block(cluster), cluster.folder / "kept"
    kept.mkdir()
    for path in [each for each in folder.iterdir() if each.is_file()]:
        shutil.move(path, kept)
    all_again(cluster, GATEWAYS)
    return lambda: [shutil.move(path, folder) for path in kept.iterdir()]


@Cause({"FlamelakeBlocksAside": "samples.parquet"}, where="compactor-0", may_fail=["FlamelakeBlocksAside"])
def block_cannot_be_merged(cluster, _):
    for name in COMPACTORS:
        cluster.stop(name)
    # Two that nothing has merged yet.
    assert exercised.ask(cluster.url("ingester-0") + "/ingester/flush", "POST")[0] == 204
    path = live_block(cluster, profiles_min=0) / "samples.parquet"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    for name in COMPACTORS:
        cluster.role(name, "--compactor.compaction-interval=2s", "--compactor.blocks-per-merge-max=2")
        cluster.ready(name)
    return lambda: (path.write_bytes(good), all_again(cluster, COMPACTORS))


@Cause({"FlamelakeMergesFailing": "merge_failures_total"}, where="compactor-0")
def merges_fail(cluster, _):
    all_again(cluster, COMPACTORS, "--testing.storage-faults=write /blocks/ fail", "--storage.attempts-max=1", "--compactor.compaction-interval=2s",
              "--compactor.blocks-per-merge-max=2")
    return lambda: all_again(cluster, COMPACTORS)


@Cause({"FlamelakeCatalogDamaged": "catalog_damaged_objects_total"}, where="compactor-0", may_fail=["FlamelakeCatalogDamaged"])
def commit_is_damaged(cluster, _):
    # The newest: those below a checkpoint are not read any more.
    path = max(files(cluster, "tenants/anonymous/catalog/*.json"))
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    all_again(cluster, COMPACTORS)
    return lambda: (path.write_bytes(good), all_again(cluster, [*COMPACTORS, *FRONTS, *INGESTERS]))


@Cause({"FlamelakeLogDamaged": "damage"}, where="all ingesters")
def log_is_damaged(cluster, users):
    """The rows of a service of its own are lost by it: what the users pushed became blocks before."""
    users.held.set()
    time.sleep(2)
    for name in INGESTERS:
        assert exercised.ask(cluster.url(name) + "/ingester/flush", "POST")[0] == 204
    before = {name: metric(cluster, name, "flamelake_ingester_profiles_total") for name in INGESTERS}
    for _ in range(12):
        assert push(cluster, "victim")
    victim = max(INGESTERS, key=lambda name: metric(cluster, name, "flamelake_ingester_profiles_total") - before[name])
    cluster.stop(victim, signal.SIGKILL)
    # One in the middle: what stands at the end may be a torn write, which nobody was promised.
    path = files(cluster, f"log/{victim}/*/*")[-4]
    path.write_bytes(b"x" * path.stat().st_size)
    cluster.role(victim)
    cluster.ready(victim)
    users.held.clear()
    # As the runbook says: first everything whole becomes blocks, then a restart takes the mark away.
    return lambda: ([exercised.ask(cluster.url(name) + "/ingester/flush", "POST") for name in INGESTERS], all_again(cluster, INGESTERS))


@Cause({"FlamelakeHeadFilling": "head_bytes", "FlamelakeHeadFull": "head_full_total"}, where="ingester-0", may_fail=["FlamelakeHeadFilling"])
def heads_are_small(cluster, _):
    all_again(cluster, INGESTERS, "--ingester.head-bytes-max=25KB", "--testing.storage-faults=write /blocks/ fail")
    return lambda: all_again(cluster, INGESTERS)


@Cause({"FlamelakeRowsOld": "oldest_unflushed_seconds", "FlamelakeLogUncovered": "uncovered_bytes"}, where="ingester-0", may_fail=["FlamelakeRowsOld"],
       patience=600)
def blocks_cannot_be_written(cluster, _):
    all_again(cluster, INGESTERS, "--log.bytes-max=100KB", "--testing.storage-faults=write /blocks/ fail")
    return lambda: all_again(cluster, INGESTERS)


@Cause({"FlamelakeDiskFilling": "flamelake_disk_available_bytes"}, where="ingester-0")
def disk_of_a_log_fills(cluster, _):
    disk = cluster.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "flamelake-drill", disk], check=True)

    def moved_to(*flags):
        """As docs/operations/cluster.md says."""
        assert exercised.ask(cluster.url("ingester-0") + "/ingester/shutdown", "POST")[0] == 204
        again(cluster, "ingester-0", *flags)
    moved_to(f"--log.url=file://{disk}/log")
    with open(disk / "filler", "wb") as filler:
        filler.write(b"x" * (60 << 20))

    def back_to_the_bucket():
        moved_to()
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()

    def undo():
        (disk / "filler").unlink()
        return back_to_the_bucket
    return undo


@Cause({"FlamelakeCleanupFailing": "cleanup_failures_total"}, where="compactor-0")
def cleanup_fails(cluster, _):
    all_again(cluster, COMPACTORS, "--testing.storage-faults=get tenants/ fail", "--storage.attempts-max=1", "--compactor.cleanup-interval=2s")
    return lambda: all_again(cluster, COMPACTORS)


@Cause({"FlamelakeCompactorNotRunning": "MEMBER|ingester-0"}, where="ingester-0", may_fail=["FlamelakeCompactorNotRunning"], patience=600)
def compactors_are_gone(cluster, _):
    for name in COMPACTORS:
        cluster.stop(name)
    return lambda: [(cluster.role(name), cluster.ready(name)) for name in COMPACTORS]


@Cause({"FlamelakeCompactionBehind": r"flamelake_compactor_blocks\{level=\"0\"\} [1-9]\d{3}"}, where="compactor-0", patience=1500)
def blocks_come_faster_than_merges(cluster, _):
    all_again(cluster, COMPACTORS, "--compactor.compaction-interval=24h")
    over = threading.Event()

    def make(name):
        while not over.is_set():
            with contextlib.suppress(OSError):
                exercised.ask(cluster.url("front-0") + f"/ingest?name=flood-{uuid.uuid4().hex[:2]}&from={int(time.time())}&until={int(time.time()) + 1}",
                              "POST", b"a;b 1\n")
                exercised.ask(cluster.url(name) + "/ingester/flush", "POST")
                behind = metric(cluster, "compactor-0", 'flamelake_compactor_blocks{level="0"}') + metric(
                    cluster, "compactor-1", 'flamelake_compactor_blocks{level="0"}')
            # Enough: it must only go on growing.
            time.sleep(3 if behind > 1050 else 0)
    threads = [threading.Thread(target=make, args=(name,)) for name in INGESTERS * 2]
    for thread in threads:
        thread.start()
    return lambda: (over.set(), [thread.join() for thread in threads], all_again(cluster, COMPACTORS, "--compactor.compaction-interval=1s"))


class Drill:
    def __init__(self, folder):
        self.bin = pathlib.Path(folder, "bin")
        self.bin.mkdir()
        os.symlink(exercised.binary(), self.bin / "flamelake")
        self.cluster = drills.Cluster(folder, ["--compactor.cleanup-interval=5s"])
        self.watch = Watch(self.cluster)

    def environment(self, admin):
        cluster, store = self.cluster, " ".join(self.cluster.store())
        return os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}", "URL": cluster.url("front-0"), "ADMIN": cluster.url(admin),
                             "TENANT": "anonymous", "PROFILE": str(exercised.PROFILE), "STORE": store, "STORE_OFFLINE": store}

    def runbooks(self, cause, users, sections, sick):
        count, faults = 0, []
        for alert, shows in cause.alerts.items():
            where = {"busiest": [getattr(users, "busiest", "")], "all ingesters": INGESTERS, "all fronts": FRONTS}.get(cause.where, [cause.where])
            told = ""
            for name in where:
                # Where nobody says which process it is, one of them shows it.
                ran, said, failed = Runbook(alert, self.environment(name)).run(sections, may_fail=sick and (alert in cause.may_fail or len(where) > 1))
                count, told, faults = count + ran, told + said, faults + failed
            if sick and not re.search(shows, told):
                faults.append(f"{alert}: nothing like {shows!r} in what the runbook's commands say: {told[-600:]}")
        return count, faults

    def round_trip(self):
        """A push by one front is read back whole at each; why not."""
        service = f"well-{uuid.uuid4().hex[:8]}"
        if not push(self.cluster, service):
            return "a push fails"
        now = int(time.time() * 1000)
        body = {"profileTypeID": drills.TYPE, "labelSelector": f'{{service_name="{service}"}}', "start": now - 3_600_000, "end": now + 60_000}
        for front in FRONTS:
            request = drills.urllib.request.Request(self.cluster.url(front) + "/querier.v1.QuerierService/SelectMergeStacktraces",
                                                    data=json.dumps(body).encode(), headers={"content-type": "application/json"})
            try:
                with drills.urllib.request.urlopen(request, timeout=60) as response:
                    total = int(json.loads(response.read()).get("flamegraph", {}).get("total", 0))
                    partial = response.headers.get("x-flamelake-partial")
            except OSError as error:
                return f"a query at {front} fails: {error}"
            if total != drills.VALUE_NS or partial:
                return f"{front} answers {total}, partial: {partial}"
        return ""

    def illness(self, alerts):
        firing = self.watch.firing()
        critical = sorted(name for name, severity in firing.items() if severity == "critical" or name in alerts)
        return f"{', '.join(critical)} fire" if critical else self.round_trip()

    def play(self, cause, users):
        expected, began, seen, faults = set(cause.alerts), time.time(), set(), []
        undo = cause.bring_about(self.cluster, users)
        try:
            while time.time() < began + cause.patience and not seen >= expected:
                seen |= set(self.watch.firing())
                time.sleep(0.5)
            took = time.time() - began
            faults += [f"{alert} did not fire" for alert in sorted(expected - seen)]
            ran, failed = self.runbooks(cause, users, {"How to tell"}, sick=True)
            faults += failed
        finally:
            afterwards = undo()
        mended = time.time()
        more, failed = self.runbooks(cause, users, {"What to do", "It is over when"}, sick=False)
        faults += failed
        while (illness := self.illness(expected)) and time.time() < mended + PATIENCE_TO_RECOVER:
            time.sleep(1)
        well = time.time() - mended
        if illness:
            faults.append(f"not well {PATIENCE_TO_RECOVER} s after: {illness}")
        if callable(afterwards):
            afterwards()
        others = sorted(seen - expected)
        print(f"alerts: {cause.name}: {', '.join(sorted(expected & seen))} after {took:.0f} s; {ran + more} blocks of runbooks; well after "
              f"{well:.0f} s; fired too: {', '.join(others) or 'nothing'}", flush=True)
        for fault in faults:
            print(f"alerts: {cause.name}: FAILED: {fault}", flush=True)
        return len(expected & seen), len(faults)


def main():
    wanted = [each for each in Cause.all if not sys.argv[1:] or each.name in sys.argv[1:]]
    rules = {name for path in (exercised.ROOT / "deploy/alerts").glob("*.yaml") for name in re.findall(r"- alert: (\w+)", path.read_text())}
    failed = fired = 0
    for name in sorted(rules - {alert for cause in Cause.all for alert in cause.alerts}):
        failed += 1
        print(f"alerts: FAILED: {name} has no cause here")
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(folder)
        cluster = drill.cluster
        try:
            with drills.Users(cluster) as users:
                time.sleep(60)  # so that blocks are there
                early = drill.watch.firing()
                print(f"alerts: before anything: {sorted(early) or 'silence'}", flush=True)
                for cause in wanted:
                    got, bad = drill.play(cause, users)
                    failed, fired = failed + bad, fired + got
            # Nothing is lost through all of it. A push whose outcome was unclear and that its user repeated may be there twice until a merge.
            stored = (users.total(timeout=120) or 0) // drills.VALUE_NS
            repeated = len(users.push_failures)
            print(f"alerts: {users.acknowledged} pushes acknowledged, {stored} stored, {repeated} tries repeated", flush=True)
            failed += not users.acknowledged <= stored <= users.acknowledged + repeated
        finally:
            cluster.end()
            for name in {"prometheus", "receiver"} & set(cluster.processes):
                cluster.processes[name].kill()
            subprocess.run(["umount", f"{folder}/disk"], capture_output=True)
    print(f"alerts: {fired} fired of {sum(len(cause.alerts) for cause in wanted)}, {failed} faults")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
