#!/usr/bin/env python3
"""The chart against a real Kubernetes API server with etcd: every shipped values file is installed, its objects pass a server-side dry run,
an upgrade and a rollback go through, wrong objects are refused, and uninstalling leaves nothing but volumes.

No controllers and no kubelet run: objects are stored and validated, nothing starts (helm/tests/pods.py starts it).
Needs helm, kubectl, etcd and kube-apiserver (scripts/kube-apiserver.sh builds that one, once). Called by scripts/helm-test.sh."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm/flamelake"
TOOLS = pathlib.Path(os.environ.get("FLAMELAKE_TOOLS", pathlib.Path.home() / ".cache/flamelake/bin"))
SHIPPED = ["values.yaml", "values-microservices.yaml", "values-zones.yaml", "values-trial.yaml"]
# What a shipped file asks its reader to fill in.
BUCKET = {"storage": {"backend": "s3", "s3": {"bucketName": "profiles"}}, "externalEtcd": {"endpoints": ["etcd:2379"]}}
FOREIGN = [("monitoring.coreos.com", "v1", "ServiceMonitor"), ("monitoring.coreos.com", "v1", "PodMonitor"),
           ("monitoring.coreos.com", "v1", "PrometheusRule"), ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
           ("gateway.networking.k8s.io", "v1", "GRPCRoute")]
ALL_ON = {
    "ingress": {"enabled": True, "hosts": ["flame.example"]},
    "route": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["flame.example"]},
    "networkPolicy": {"enabled": True}, "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True}, "dashboards": {"enabled": True},
}
STAYS = {"PersistentVolumeClaim"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ApiServer:
    """etcd and kube-apiserver on loopback, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        client, peer, self.port = free_port(), free_port(), free_port()
        self.start("etcd", [TOOLS / "etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{client}",
                            f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
                            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}"])
        subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text('token,admin,admin,"system:masters"\n')
        self.start("kube-apiserver", [
            TOOLS / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self.port}", "--endpoint-reconciler-type=none",
            f"--cert-dir={folder}/certs", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/sa.key", f"--service-account-signing-key-file={folder}/sa.key",
            "--authorization-mode=RBAC", f"--token-auth-file={folder}/tokens.csv", "--service-cluster-ip-range=10.96.0.0/24",
            "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true"])
        (folder / "kubeconfig").write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": "token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]}))
        self.environment = {**os.environ, "KUBECONFIG": str(folder / "kubeconfig"), "HOME": str(folder)}
        deadline = time.monotonic() + 120
        while "ok" != (told := self.run("kubectl", "get", "--raw=/readyz", ok=None)).strip():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self.processes):
                raise RuntimeError(f"the API server does not get ready: {told}\n" + (folder / "kube-apiserver.log").read_text()[-2000:])
            time.sleep(0.5)

    def start(self, name, command):
        log = open(self.folder / f"{name}.log", "wb")
        self.processes.append(subprocess.Popen([str(each) for each in command], stdout=log, stderr=log))

    def run(self, *command, stdin=None, ok=True):
        done = subprocess.run([str(TOOLS / command[0]), *map(str, command[1:])], input=stdin, capture_output=True, text=True,
                              env=self.environment)
        if ok is not None and (done.returncode == 0) != ok:
            raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout[-300:]}{done.stderr[-1500:]}")
        return done.stdout if ok or ok is None else done.stderr

    def stop(self):
        """The API server first: without etcd it does not always end."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def foreign_kinds(server):
    """The kinds of others' that the chart can make, with any content."""
    for group, version, kind in FOREIGN:
        plural = kind.lower() + "s"
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                     "versions": [{"name": version, "served": True, "storage": True,
                                   "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
        if group == "gateway.networking.k8s.io":
            # The names of its API group are protected.
            definition["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
        server.run("kubectl", "apply", "-f", "-", stdin=json.dumps(definition))
        server.run("kubectl", "wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=60s")


def values_file(folder, name, values):
    path = folder / f"{name}.json"
    path.write_text(json.dumps(values))
    return path


def objects_left(server, namespace):
    """Everything in the namespace that the chart or its pods could have made."""
    kinds = server.run("kubectl", "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    listed = json.loads(server.run("kubectl", "get", ",".join(kinds), "-n", namespace, "-o", "json"))["items"]
    return [f"{each['kind']}/{each['metadata']['name']}" for each in listed if each["kind"] not in STAYS]


def lives(server, folder, shipped, settings):
    """Install, dry run, upgrade, rollback, uninstall in a namespace of its own."""
    namespace = shipped.removesuffix(".yaml") + ("-all-on" if "dashboards" in settings else "")
    server.run("kubectl", "create", "namespace", namespace)
    before = objects_left(server, namespace)
    values = [f"--values={CHART / shipped}", f"--values={values_file(folder, namespace, settings)}"]
    rendered = server.run("helm", "template", "fl", CHART, "-n", namespace, "--no-hooks", *values)
    server.run("kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", stdin=rendered)
    server.run("helm", "install", "fl", CHART, "-n", namespace, *values)
    stored = len(objects_left(server, namespace))
    upgraded = values_file(folder, namespace + "-upgraded", {
        "flamelake": {"image": {"tag": "next"}, "log": {"level": "debug"}, "tenantOverrides": {"team-a": {"ingestion_rate_mb": 20}}}})
    server.run("helm", "upgrade", "fl", CHART, "-n", namespace, *values, f"--values={upgraded}")
    images = server.run("kubectl", "get", "deployments,statefulsets", "-n", namespace, "-o", "jsonpath={..image}")
    assert ":next" in images, images
    server.run("helm", "rollback", "fl", "1", "-n", namespace)
    images = server.run("kubectl", "get", "deployments,statefulsets", "-n", namespace, "-o", "jsonpath={..image}")
    assert ":next" not in images, images
    server.run("helm", "uninstall", "fl", "-n", namespace)
    # From the last release with the values that it shipped, to this chart with the same values, and back.
    older = previous_chart(folder)
    values = [f"--values={older / shipped}", values[1]]
    server.run("helm", "install", "fl", older, "-n", namespace, *values)
    server.run("helm", "upgrade", "fl", CHART, "-n", namespace, *values)
    server.run("helm", "rollback", "fl", "1", "-n", namespace)
    server.run("helm", "uninstall", "fl", "-n", namespace)
    # Who owns what is deleted by controllers, which do not run here: only what helm itself made can be left.
    left = sorted(set(objects_left(server, namespace)) - set(before))
    assert not left, f"left behind: {left}"
    print(f"apiserver: {namespace}: installed ({stored} objects), upgraded, rolled back, uninstalled; the same from the last release", flush=True)


def previous_chart(folder):
    """The chart of the last release (helm/tests/previous), with the values files that it shipped."""
    older = folder / "flamelake"
    if not older.exists():
        packed, = (ROOT / "helm/tests/previous").glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
    return older


def refuses(server, folder):
    """The server really judges: a wrong type and an unknown field of a rendered object are refused."""
    rendered = list(yaml.safe_load_all(server.run("helm", "template", "fl", CHART)))
    workload = next(each for each in rendered if each and each["kind"] == "StatefulSet")
    for spoil in (lambda spec: spec.update(replicas="three"), lambda spec: spec.update(replicaz=3)):
        spoilt = json.loads(json.dumps(workload))
        spoil(spoilt["spec"])
        server.run("kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(spoilt), ok=False)
    print("apiserver: wrong objects are refused", flush=True)


def main():
    missing = [name for name in ("etcd", "kube-apiserver", "helm", "kubectl") if not (TOOLS / name).exists()]
    if missing:
        print(f"apiserver: {', '.join(missing)} missing (scripts/kube-apiserver.sh, scripts/install-tools.sh): not tested")
        return 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="flamelake-apiserver-"))
    server = None
    failed = 0
    try:
        server = ApiServer(folder)
        foreign_kinds(server)
        runs = [(shipped, BUCKET if shipped in ("values-microservices.yaml", "values-zones.yaml") else {}) for shipped in SHIPPED]
        runs += [(shipped, {**settings, **ALL_ON}) for shipped, settings in runs[:2]]
        for shipped, settings in runs:
            try:
                lives(server, folder, shipped, settings)
            except AssertionError as error:
                failed += 1
                print(f"apiserver: FAILED {shipped}: {error}")
        refuses(server, folder)
    finally:
        if server:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"apiserver: {len(runs) - failed} of {len(runs)} lives went well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
