#!/usr/bin/env python3
"""Does what kubelet would do with the rendered chart, as processes: a whole cluster of values-trial.yaml comes up (etcd, S3 server, every
role), `helm test` passes, and a rolling upgrade under load loses nothing and refuses no push for good.

Each pod has an address of its own in 127.1.0.0/16, its containers' commands, arguments and variables, its ConfigMaps and Secrets as files,
its probes and its time to stop. What is not Kubernetes': mounted paths and names of services are put in as text.
Needs helm, etcd and versitygw; FLAMELAKE_BIN is the image. Called by scripts/helm-test.sh with CHART_PODS=1."""
import base64
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"))
import chart  # noqa: E402
import drills  # noqa: E402
import exercised  # noqa: E402
import yaml  # noqa: E402

CHART = exercised.ROOT / "helm/flamelake"
SETTINGS = ["--set=flamelake.components.distributor.replicaCount=2,flamelake.components.querier.replicaCount=2,"
            "flamelake.components.store-gateway.replicaCount=2,flamelake.components.compactor.replicaCount=2,"
            "flamelake.components.ingester.replicaCount=3,trial.etcd.replicaCount=3"]
BINARIES = {"etcd": drills.TOOLS / "etcd", "versitygw": drills.TOOLS / "versitygw"}


class Pod:
    def __init__(self, world, name, spec, labels, address):
        self.world, self.name, self.spec, self.labels, self.address = world, name, spec, labels, address
        self.process, self.root = None, world.folder / name

    def mounts(self, container):
        """Mounted path -> folder here, with the files of ConfigMaps and Secrets in it."""
        volumes = {each["name"]: each for each in self.spec.get("volumes", [])}
        found = {}
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"], {})
            folder = self.root / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            kind, source = ("ConfigMap", volume["configMap"]["name"]) if "configMap" in volume else (
                "Secret", volume["secret"]["secretName"]) if "secret" in volume else (None, None)
            if kind:
                files = self.world.files(kind, source)
                items = volume.get("secret", {}).get("items") or [{"key": key, "path": key} for key in files]
                for item in items:
                    (folder / item["path"]).write_bytes(files[item["key"]])
            found[mount["mountPath"]] = folder
        return found

    def translate(self, text, mounts):
        for path, folder in sorted(mounts.items(), key=lambda each: -len(each[0])):
            # Only where a path begins: folders here lie in /tmp themselves.
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?=/|\s|$)", str(folder), text) if path != "/tmp" else re.sub(
                r"(?<![\w/.-])/tmp(?=/read|$)", str(folder), text)
        return self.world.resolve(text)

    def environment(self, container):
        found = {}
        for each in container.get("env", []):
            source = each.get("valueFrom", {})
            if "fieldRef" in source:
                found[each["name"]] = {"metadata.name": self.name, "status.podIP": self.address}[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                found[each["name"]] = self.world.files("Secret", source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
            else:
                found[each["name"]] = each["value"]
        return found

    def command(self, container, environment, mounts):
        words = container.get("command", ["flamelake"]) + container.get("args", [])
        words = [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word) for word in words]
        words = [self.translate(word, mounts) for word in words]
        words = [word.replace("//0.0.0.0:", f"//{self.address}:").replace("--port :", f"--port {self.address}:") for word in words]
        if words[0] == "sh":
            return ["sh", "-c", words[2].replace("exec versitygw", f"exec {BINARIES['versitygw']}")]
        if words[0] == "flamelake":
            listen = [f"--server.{port}-listen-address={self.address}" for port in ("http", "grpc", "admin")] if "--target=" in " ".join(words) else []
            return [exercised.binary(), *words[1:], *listen]
        return [str(BINARIES[words[0]]), *words[1:]]

    def prepare(self, container):
        mounts, environment = self.mounts(container), self.environment(container)
        for folder in mounts.values():
            for file in folder.glob("*.yaml"):
                file.write_text(self.translate(file.read_text(), mounts))
        environment = {name: self.translate(value, mounts) for name, value in environment.items()}
        return self.command(container, environment, mounts), environment

    def start(self):
        container = self.spec["containers"][0]
        command, environment = self.prepare(container)
        log = open(self.world.folder / f"{self.name}.log", "a")
        self.process = subprocess.Popen(command, env=environment | {"PATH": os.environ["PATH"]}, stdout=log, stderr=log, start_new_session=True)

    def wait_ready(self, seconds=60):
        container = self.spec["containers"][0]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        probe, end = container["readinessProbe"], time.time() + seconds
        while time.time() < end:
            if self.process.poll() is not None:
                break
            try:
                if "tcpSocket" in probe:
                    socket.create_connection((self.address, ports[probe["tcpSocket"]["port"]]), 1).close()
                    return
                get = probe["httpGet"]
                url = f"{get.get('scheme', 'HTTP').lower()}://{self.address}:{ports[get['port']]}{get['path']}"
                # As kubelet, which believes any certificate.
                with urllib.request.urlopen(url, timeout=5, context=ssl._create_unverified_context()):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"pods: {self.name} is not ready:\n{(self.world.folder / f'{self.name}.log').read_text()[-2000:]}")

    def run_to_the_end(self):
        """As a Job's pod: init containers, then the container; the codes."""
        codes = []
        for container in self.spec.get("initContainers", []) + self.spec["containers"]:
            command, environment = self.prepare(container)
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            codes.append(done.returncode)
            if done.returncode:
                print(f"pods: {container['name']}: {done.stderr}")
                break
        return codes

    def stop(self):
        self.process.terminate()
        code = self.process.wait(self.spec.get("terminationGracePeriodSeconds", 30))
        self.process = None
        return code


class World:
    """What the chart renders with these values, as processes; `net` keeps two worlds apart."""

    def __init__(self, folder, net, values=None):
        self.folder = pathlib.Path(folder)
        file = self.folder / "values.json"
        file.write_text(json.dumps(values or {}))
        text = subprocess.run(["helm", "template", "fl", str(CHART), f"--values={CHART}/values-trial.yaml", *SETTINGS, f"--values={file}"],
                              capture_output=True, text=True, check=True).stdout
        self.objects = [each for each in yaml.safe_load_all(text) if each]
        self.pods = []
        for each in self.objects:
            if each["kind"] in ("StatefulSet", "Deployment"):
                for n in range(each["spec"]["replicas"]):
                    template = each["spec"]["template"]
                    self.pods.append(Pod(self, f"{each['metadata']['name']}-{n}", template["spec"], template["metadata"]["labels"],
                                         f"127.{net}.{os.getpid() % 250}.{len(self.pods) + 1}"))

    def add_secrets(self, secrets):
        """Those that an operator makes, not the chart: name -> key -> bytes."""
        for name, files in secrets.items():
            data = {key: base64.b64encode(value).decode() for key, value in files.items()}
            self.objects.append({"kind": "Secret", "metadata": {"name": name}, "data": data})

    def start(self):
        """What others need first."""
        for component in ("etcd", "trial-s3"):
            for pod in self.role(component):
                pod.start()
            for pod in self.role(component):
                pod.wait_ready()
        rest = [pod for pod in self.pods if pod.process is None]
        for pod in rest:
            pod.start()
        for pod in rest:
            pod.wait_ready()

    def end(self):
        for pod in reversed(self.pods):
            if pod.process:
                pod.process.kill()
                pod.process.wait()

    def files(self, kind, name):
        each = next(each for each in self.objects if each["kind"] == kind and each["metadata"]["name"] == name)
        plain = {key: value.encode() for key, value in each.get("data", {}).items()} if kind == "ConfigMap" else {}
        packed = each.get("binaryData", {}) if kind == "ConfigMap" else each.get("data", {})
        return plain | {key: base64.b64decode(value) for key, value in packed.items()}

    def behind(self, service):
        """Addresses of the pods that a service selects."""
        each = next(each for each in self.objects if each["kind"] == "Service" and each["metadata"]["name"] == service)
        return [pod.address for pod in self.pods if each["spec"]["selector"].items() <= pod.labels.items()]

    def resolve(self, text):
        """Names as cluster DNS has them: a pod behind its headless service, then services."""
        services = sorted((each["metadata"]["name"] for each in self.objects if each["kind"] == "Service"), key=len, reverse=True)
        for pod in self.pods:
            for service in services:
                text = text.replace(f"{pod.name}.{service}:", f"{pod.address}:")
        for service in services:
            if re.search(rf"(?<![\w.-]){service}:\d", text):
                text = re.sub(rf"(?<![\w.-]){service}(?=:\d)", self.behind(service)[0], text)
        return text

    def role(self, component):
        return [pod for pod in self.pods if pod.labels["app.kubernetes.io/component"] == component]

    def helm_test(self):
        job = next(each for each in self.objects if each["kind"] == "Job")["spec"]["template"]
        return Pod(self, f"fl-test-{time.time_ns()}", job["spec"], job["metadata"]["labels"], "127.0.0.1").run_to_the_end()


class Users(drills.Users):
    """Pushes go to the service of distributors, questions to that of queriers."""

    def __init__(self, world):
        super().__init__(type("Fronts", (), {"url": staticmethod(lambda _: "")}))
        self.push_to = [f"http://{address}:4040" for address in world.behind("fl-flamelake-distributor")]
        self.ask_at = [f"http://{address}:4040" for address in world.behind("fl-flamelake-querier")]

    def post(self, n, path, body, timeout=10):
        self.fronts = self.push_to if "push" in path else self.ask_at
        return super().post(n, path, body, timeout)


def check(condition, what):
    if not condition:
        raise SystemExit(f"pods: FAILED: {what}")


def rolled_under_load():
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder, 1)
        try:
            world.start()
            check(world.helm_test() == [0, 0, 0], "helm test")
            with Users(world) as users:
                time.sleep(3)
                for component in ("store-gateway", "querier", "compactor", "ingester", "distributor"):
                    for pod in world.role(component):
                        check(pod.stop() == 0, f"{pod.name} ends cleanly at SIGTERM")
                        pod.start()
                        pod.wait_ready()
                time.sleep(3)
            stored = (users.total(timeout=60) or 0) // drills.VALUE_NS
            check(stored == users.acknowledged > 0, f"{users.acknowledged} acknowledged, {stored} stored")
            check(world.helm_test() == [0, 0, 0], "helm test after the upgrade")
            print(f"pods: {len(world.pods)} pods, rolled under load: {users.acknowledged} pushes acknowledged and stored once, "
                  f"{len(users.push_failures)} repeated, slowest {users.slowest_push:.1f} s, queries failed: {drills.span(users.query_failures)}", flush=True)
        finally:
            world.end()


def secure():
    """TLS on every port, both ways inside, certificates of clients and tokens demanded: the same cluster comes up and `helm test` passes."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder, 2, chart.SECURE)
        secrets = chart.secure_secrets(folder, exercised.binary(), [pod.address for pod in world.pods])
        world.add_secrets(secrets)
        try:
            world.start()
            check(world.helm_test() == [0, 0, 0], "helm test with TLS and tokens")
            token = secrets["test-token"]["token"]
            world.add_secrets({"test-token": {"token": token[:-1] + (b"0" if token[-1:] != b"0" else b"1")}})
            world.objects.reverse()  # the later Secret is found first
            check(world.helm_test()[0] != 0, "helm test fails with a wrong token")
            print(f"pods: {len(world.pods)} pods with TLS on every port, certificates of clients and tokens: helm test passes, and fails with a wrong token")
        finally:
            world.end()


def main():
    rolled_under_load()
    secure()


if __name__ == "__main__":
    main()
