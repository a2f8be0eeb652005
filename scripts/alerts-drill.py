#!/usr/bin/env python3
"""Fires alerts for real: a cluster with a Prometheus that has the rules of deploy/alerts, a user who pushes and one who asks; one cause after
the other is brought about, its alerts must fire, and when all causes are gone nothing critical may. All times of the rules are a twentieth
(15 minutes are 45 seconds), so that it takes a quarter of an hour. Usage: scripts/alerts-drill.py [CAUSE…]. FLAMELAKE_BIN: the server."""
import json
import re
import signal
import sys
import tempfile
import time

import drills
import exercised

FACTOR = 20
SECONDS = {"s": 1, "m": 60, "h": 3600}
PATIENCE = 240
# Two hours without a cleanup are six minutes here, and the `for` three.
PATIENCE_FOR_COMPACTORS = 600


def faster(text):
    def shorter(found):
        return f"{found[1]}{max(int(found[2]) * SECONDS[found[3]] // FACTOR, 4)}s"
    return re.sub(r"(\[|for: |offset )(\d+)([smh])\b", shorter, text)


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
        try:
            alerts = json.loads(exercised.ask(f"http://127.0.0.1:{self.port}/api/v1/alerts")[1])["data"]["alerts"]
        except OSError:
            return {}
        return {each["labels"]["alertname"]: each["labels"]["severity"] for each in alerts if each["state"] == "firing"}


def again(cluster, name, *flags):
    """Restarts a process, with other flags."""
    cluster.stop(name)
    cluster.role(name, *flags)
    cluster.ready(name)


def paused(cluster, name, seconds, times):
    for _ in range(times):
        cluster.processes[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        cluster.processes[name].send_signal(signal.SIGCONT)
        time.sleep(12)


def blocks(cluster):
    return sorted((cluster.folder / "objects/profiles/tenants/anonymous/blocks").glob("*/samples.parquet"))


def busiest_ingester(cluster):
    """Only who is pushed to finds out that its log was sealed."""
    def profiles(name):
        return float(re.search(r"^flamelake_ingester_profiles_total (\S+)", exercised.scrape(cluster.url(name)), re.M)[1])
    return max((f"ingester-{n}" for n in range(3)), key=profiles)


# A cause: what is done; what it gives back undoes it.
def querier_dies(cluster, _):
    """FlamelakeDown"""
    cluster.stop("front-1", signal.SIGKILL)
    return lambda: (cluster.role("front-1"), cluster.ready("front-1"))


def process_restarts(cluster, _):
    """FlamelakeRestarting"""
    for _ in range(3):
        again(cluster, "store-gateway-1")
        time.sleep(2)
    return lambda: None


def profiles_are_too_old(cluster, users):
    """FlamelakeDiscarding"""
    url = cluster.url("front-0")
    end = time.time() + 110
    while time.time() < end and "FlamelakeDiscarding" not in users.watch.firing():
        exercised.ask(url + "/ingest?name=old&from=1&until=2", "POST", b"a;b 1")
        time.sleep(0.05)
    return lambda: None


def ingester_dies(cluster, _):
    """FlamelakeIngesterRecovered"""
    cluster.stop("ingester-2", signal.SIGKILL)
    return lambda: (cluster.role("ingester-2"), cluster.ready("ingester-2"))


def ingester_is_paused(cluster, _):
    """FlamelakeLeasesLost FlamelakeLogsSealed"""
    paused(cluster, busiest_ingester(cluster), 16, 3)
    return lambda: None


def etcd_is_away(cluster, _):
    """FlamelakeRingDisconnected"""
    cluster.stop("etcd", signal.SIGKILL)
    return lambda: cluster.etcd()


def etcd_sleeps(cluster, _):
    """FlamelakeRingWiped"""
    # Longer than the leases: they all end when it wakes.
    paused(cluster, "etcd", 30, 1)
    return lambda: None


def bucket_is_away(cluster, _):
    """FlamelakeBucketDown FlamelakeBucketErrors FlamelakePushErrors FlamelakeQueryErrors FlamelakeFlushFailing"""
    cluster.stop("s3", signal.SIGKILL)
    return lambda: cluster.s3()


def dead_ingester_cannot_be_recovered(cluster, _):
    """FlamelakeMemberUnhealthy"""
    cluster.stop("s3", signal.SIGKILL)
    cluster.stop("ingester-2", signal.SIGKILL)
    return lambda: (cluster.s3(), cluster.role("ingester-2"), cluster.ready("ingester-2"))


def bucket_is_slow(cluster, _):
    """FlamelakeBucketSlow FlamelakeLogSlow FlamelakePushSlow"""
    for n in range(3):
        again(cluster, f"ingester-{n}", "--testing.storage-faults=write * delay:3s")
    return lambda: [again(cluster, f"ingester-{n}") for n in range(3)]


def queriers_have_no_room(cluster, users):
    """FlamelakeQueriesRefused"""
    for name in ("front-0", "front-1"):
        again(cluster, name, "--querier.max-concurrent=1", "--querier.max-queued=1")
    others = [drills.Users(cluster) for _ in range(6)]
    for each in others:
        each.threads[1].start()

    def undo():
        for each in others:
            each.over.set()
            each.threads[1].join()
        for name in ("front-0", "front-1"):
            again(cluster, name)
    return undo


def block_is_damaged(cluster, _):
    """FlamelakeBlockDamaged FlamelakePartialAnswers"""
    path = blocks(cluster)[0]
    good = path.read_bytes()
    path.write_bytes(b"x" * len(good))
    for n in range(2):  # caches know it still
        again(cluster, f"store-gateway-{n}")
    return lambda: path.write_bytes(good)


def commit_is_damaged(cluster, _):
    """FlamelakeCatalogDamaged"""
    path = sorted((cluster.folder / "objects/profiles/tenants/anonymous/catalog").glob("*.json"))[0]
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    again(cluster, "compactor-0")
    again(cluster, "compactor-1")
    return lambda: (path.write_bytes(good), again(cluster, "compactor-0"), again(cluster, "compactor-1"))


def heads_are_small(cluster, _):
    """FlamelakeHeadFilling FlamelakeHeadFull"""
    for n in range(3):
        again(cluster, f"ingester-{n}", "--ingester.head-bytes-max=25KB", "--testing.storage-faults=write /blocks/ fail")
    return lambda: [again(cluster, f"ingester-{n}") for n in range(3)]


def compactors_are_gone(cluster, _):
    """FlamelakeCompactorNotRunning"""
    for n in range(2):
        cluster.stop(f"compactor-{n}")
    return lambda: [(cluster.role(f"compactor-{n}"), cluster.ready(f"compactor-{n}")) for n in range(2)]


def cleanup_fails(cluster, _):
    """FlamelakeCleanupFailing"""
    for n in range(2):
        again(cluster, f"compactor-{n}", "--testing.storage-faults=get tenants/ fail", "--storage.attempts-max=1", "--compactor.cleanup-interval=2s")
    return lambda: [again(cluster, f"compactor-{n}") for n in range(2)]


CAUSES = [querier_dies, process_restarts, profiles_are_too_old, ingester_dies, ingester_is_paused, etcd_is_away, etcd_sleeps, bucket_is_slow,
          bucket_is_away, dead_ingester_cannot_be_recovered, queriers_have_no_room, block_is_damaged, commit_is_damaged, heads_are_small,
          cleanup_fails, compactors_are_gone]


def main():
    wanted = [each for each in CAUSES if not sys.argv[1:] or each.__name__ in sys.argv[1:]]
    failed = fired = 0
    with tempfile.TemporaryDirectory() as folder:
        cluster = drills.Cluster(folder, ["--compactor.cleanup-interval=5s"])
        try:
            watch = Watch(cluster)
            with drills.Users(cluster) as users:
                users.watch = watch
                time.sleep(45)  # so that blocks are there
                early = watch.firing()
                print(f"alerts: before anything: {sorted(early) or 'silence'}", flush=True)
                for cause in wanted:
                    expected, began = cause.__doc__.split(), time.time()
                    undo, seen = cause(cluster, users), set()
                    while time.time() < began + (PATIENCE_FOR_COMPACTORS if cause is compactors_are_gone else PATIENCE) and not seen >= set(expected):
                        seen |= set(watch.firing())
                        time.sleep(0.5)
                    missing = set(expected) - seen
                    failed, fired = failed + len(missing), fired + len(set(expected) & seen)
                    print(f"alerts: {cause.__name__}: {f'MISSING {sorted(missing)}' if missing else 'fired'} after {time.time() - began:.0f} s; "
                          f"seen {sorted(seen)}", flush=True)
                    undo()
                time.sleep(90)
                late = [name for name, severity in watch.firing().items() if severity == "critical"]
                print(f"alerts: after all: {sorted(watch.firing()) or 'silence'}", flush=True)
                failed += len(late)
            # Nothing is lost through all of it. A push whose outcome was unclear and that its user repeated may be there twice until a merge.
            stored = (users.total(timeout=60) or 0) // drills.VALUE_NS
            repeated = len(users.push_failures)
            print(f"alerts: {users.acknowledged} pushes acknowledged, {stored} stored, {repeated} tries repeated", flush=True)
            failed += not users.acknowledged <= stored <= users.acknowledged + repeated
        finally:
            cluster.end()
            if "prometheus" in cluster.processes:
                cluster.processes["prometheus"].kill()
    print(f"alerts: {fired} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
