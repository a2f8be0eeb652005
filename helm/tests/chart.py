#!/usr/bin/env python3
"""Tests of the chart, without a cluster: rendering, validity for five versions of Kubernetes, refusal of wrong values, and what every
workload must have. Called by scripts/helm-test.sh. FLAMELAKE_BIN: the server, to try the rendered configuration and `helm test`."""
import base64
import functools
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

import kubernetes_validate
import yaml
from kubernetes_validate import utils

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm/flamelake"
VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
SHIPPED = ["values.yaml", "values-microservices.yaml", "values-zones.yaml", "values-trial.yaml"]
# Kinds that Kubernetes itself does not have.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "GRPCRoute"}
ALL_ON = {
    "ingress": {"enabled": True, "hosts": ["flame.example"], "className": "nginx"},
    "route": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["flame.example"]},
    "authProxy": {"enabled": True, "existingSecret": {"name": "users"}},
    "networkPolicy": {"enabled": True, "metrics": [{"namespaceSelector": {}}]},
    "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True}, "dashboards": {"enabled": True},
    "flamelake": {"multitenancyEnabled": True, "tenantOverrides": {"team-a": {"ingestion_rate_mb": 20}},
                  "structuredConfig": {"limits": {"retention_period": "90d"}, "server": {"request_bodies_bytes_max": "2GiB"}}},
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The library reads its schemas (megabytes) anew for each object.
utils.schema_contents = functools.cache(utils.schema_contents)
passed = failed = 0


def check(name, test):
    global passed, failed
    try:
        test()
        passed += 1
    except Exception as error:  # one test's failure must not hide the others
        failed += 1
        print(f"chart: FAILED {name}: {str(error)[-1500:]}")


def helm(*args, values=None, ok=True):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(json.dumps(values or {}))
        file.flush()
        done = subprocess.run(["helm", *args, "--values", file.name], capture_output=True, text=True)
    assert (done.returncode == 0) == ok, done.stdout[-500:] + done.stderr
    return done.stdout if ok else done.stderr


def render(shipped="values.yaml", values=None, version="1.37"):
    text = helm("template", "fl", str(CHART), "--namespace=profiling", f"--kube-version={version}.0",
                f"--values={CHART / shipped}", values=values)
    return [each for each in yaml.load_all(text, LOADER) if each]


def of(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def pods(objects):
    """(name, kind, pod spec) of everything that starts pods."""
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["metadata"]["name"], each["kind"], each["spec"]["template"]


def refused(words, values, shipped="values.yaml"):
    def test():
        told = helm("template", "fl", str(CHART), f"--values={CHART / shipped}", values=values, ok=False)
        assert re.search(words, told), told
    check(f"refused: {words}", test)


def valid(shipped, version, values):
    for each in render(shipped, values, version):
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


def page_keys():
    text = (ROOT / "docs/configuration.md").read_text()
    return set(re.findall(r"^\| `([a-z0-9.-]+)`", text, re.M)) | set(re.findall(r"Or `([a-z0-9.-]+-file)`", text)) | {
        "limits." + name.replace("_", "-") for name in re.findall(r"Also `limits\.(\w+)`", text)}


def leaves(tree, prefix=""):
    for name, value in tree.items():
        key = (prefix + name).replace("_", "-")
        if isinstance(value, dict) and value:
            yield from leaves(value, key + ".")
        else:
            yield key


def config_keys_exist(shipped, values=None):
    known, objects = page_keys(), render(shipped, values)
    config = next(each for each in of(objects, "ConfigMap") if "flamelake.yaml" in each["data"])
    used = set(leaves(yaml.safe_load(config["data"]["flamelake.yaml"])))
    for _, _, pod in pods(objects):
        for arg in pod["spec"]["containers"][0].get("args", []):
            if pod["spec"]["containers"][0]["name"] == "flamelake":
                used.add(arg.removeprefix("--").split("=")[0])
    unknown = used - known - {"config.file"}
    assert not unknown, f"not in docs/configuration.md: {unknown}"


# Of the one who takes pushes, though it is no push: each process tells what it itself refused, and what that cost.
OF_DISTRIBUTORS = ["/api/v1/discarded", "/api/v1/costs", "/debuginfo.v1alpha1.DebuginfoService/ListDebuginfo", "/debuginfo.v1alpha1.DebuginfoService/DeleteDebuginfo"]


def of_distributors():
    """Paths that only a process with a distributor answers: all that the server wants the right to push for, and some."""
    found = re.findall(r'\("([^"]+)", PUSH\)', (ROOT / "crates/flamelake/src/access.rs").read_text())
    assert len(found) > 5, "access.rs is not what it was"
    return found + OF_DISTRIBUTORS


def goes_to_push(path, rules):
    """Whose prefix is the longest."""
    prefix, service = max(((prefix, service) for prefix, service in rules if path.startswith(prefix)), key=lambda each: len(each[0]))
    assert service == "fl-flamelake-distributor", f"{path} goes to {service} by {prefix}"


def routes_know_distributors():
    objects = render("values-microservices.yaml", {"ingress": ALL_ON["ingress"], "route": ALL_ON["route"]})
    ingress = [(each["path"], each["backend"]["service"]["name"]) for each in of(objects, "Ingress")[0]["spec"]["rules"][0]["http"]["paths"]]
    gateway = [(match["path"]["value"], rule["backendRefs"][0]["name"])
               for rule in of(objects, "HTTPRoute")[0]["spec"]["rules"] for match in rule["matches"]]
    for path in of_distributors():
        goes_to_push(path, ingress)
        goes_to_push(path, gateway)


def proxies_know_distributors():
    objects = render("values-microservices.yaml", {"authProxy": ALL_ON["authProxy"], "flamelake": {"multitenancyEnabled": True}})
    proxy = next(each["data"]["nginx.conf"] for each in of(objects, "ConfigMap") if "nginx.conf" in each["data"])
    for name, text in (("auth proxy", proxy), ("compose", (ROOT / "deploy/compose/nginx.conf").read_text())):
        locations = [part.split(maxsplit=2) for part in re.split(r"\blocation ", text)[1:]]
        for path in of_distributors():
            taken = next((body for kind, pattern, body in locations if kind == "^~" and path.startswith(pattern)), None) or next(
                (body for kind, pattern, body in locations if kind == "~" and re.match(pattern, path)), "no location of its own")
            assert re.search("http://(push|fl-flamelake-distributor)", taken), f"{name}: {path}: {taken}"
    hidden = next(each.split()[1] for each in proxy.split("location ") if "return 404" in each)
    assert all(re.match(hidden, path) for path in ("/config", "/metrics", "/debug/pprof/heap", "/ingester/ring", "/api/v1/status/config"))
    assert not re.match(hidden, "/api/v1/status/buildinfo"), "Grafana asks for it"


def hardened(shipped, values=None):
    for name, kind, pod in pods(render(shipped, values)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            if kind != "Job":
                assert {"readinessProbe", "livenessProbe"} <= set(container), name
            if container["name"] == "flamelake":
                assert "startupProbe" in container and container["livenessProbe"]["httpGet"]["path"] == "/healthz", name
                # Requests in flight get 5 s, then heads are committed; the sleep before counts too.
                sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                holds_rows = {"all", "ingester", "write"} & set("".join(container["args"][1:2]).replace("--target=", "").split(","))
                assert spec["terminationGracePeriodSeconds"] >= sleep + (300 if holds_rows else 30), name


def no_secret_outside_secrets():
    objects = render("values-trial.yaml")
    secret = base64.b64decode(of(objects, "Secret")[0]["data"]["secret-access-key"]).decode()
    assert len(secret) >= 32
    for each in objects:
        assert each["kind"] == "Secret" or secret not in json.dumps(each), each["metadata"]["name"]
    values = {"storage": {"backend": "s3", "s3": {"bucketName": "b", "existingSecret": {"name": "bucket-key"}}},
              "externalEtcd": {"endpoints": ["e:2379"], "existingSecret": {"name": "etcd-user"}, "tls": {"enabled": True, "existingSecret": "etcd-tls"}}}
    objects = render(values=values)
    spec = of(objects, "StatefulSet")[0]["spec"]["template"]["spec"]
    mounted = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    assert mounted == {"bucket-key", "etcd-user", "etcd-tls"} and not of(objects, "Secret"), mounted


def overrides_restart_nothing():
    before, after = (dict((name, pod) for name, _, pod in pods(render(values={"flamelake": values}))) for values in (
        {}, {"tenantOverrides": {"a": {"ingestion_rate_mb": 1}}}))
    assert before == after, "an override changed a pod"
    config = dict((name, pod) for name, _, pod in pods(render(values={"flamelake": {"log": {"level": "debug"}}})))
    assert config["fl-flamelake"] != before["fl-flamelake"], "a changed configuration must restart the pods"


def budgets_only_for_more_than_one():
    names = lambda objects: {each["metadata"]["name"] for each in of(objects, "PodDisruptionBudget")}
    assert names(render()) == set()
    assert names(render("values-microservices.yaml")) == {f"fl-flamelake-{role}" for role in ("distributor", "ingester", "store-gateway", "querier")}


def zones():
    sets = {each["metadata"]["name"]: each for each in of(render("values-zones.yaml"), "StatefulSet")}
    assert set(sets) == {f"fl-flamelake-ingester-zone-{zone}" for zone in "abc"}, set(sets)
    for zone in "abc":
        spec = sets[f"fl-flamelake-ingester-zone-{zone}"]["spec"]["template"]["spec"]
        assert f"--ring.instance-zone={zone}" in spec["containers"][0]["args"]
        assert spec["nodeSelector"] == {"topology.kubernetes.io/zone": f"eu-central-1{zone}"}


def all_without_a_disk():
    values = {"flamelake": {"persistence": {"enabled": False}}, "storage": {"backend": "s3", "s3": {"bucketName": "b"}}}
    workload = of(render(values=values), "Deployment")[0]
    assert workload["spec"]["strategy"] == {"type": "Recreate"}, workload["spec"]["strategy"]
    values["flamelake"]["replicaCount"], values["externalEtcd"] = 3, {"endpoints": ["e:2379"]}
    workload = of(render(values=values), "Deployment")[0]
    assert workload["spec"]["strategy"]["type"] == "RollingUpdate"


def groups():
    off = {name: {"enabled": False} for name in ("distributor", "ingester", "store-gateway", "querier", "compactor")}
    on = {name: {"enabled": True} for name in ("write", "read", "backend")}
    objects = render("values-microservices.yaml", {"flamelake": {"components": {**off, **on}}, "ingress": {"enabled": True, "hosts": ["h"]}})
    assert {name for name, kind, _ in pods(objects) if kind != "Job"} == {f"fl-flamelake-{name}" for name in on}
    backends = {path["backend"]["service"]["name"] for path in of(objects, "Ingress")[0]["spec"]["rules"][0]["http"]["paths"]}
    assert backends == {"fl-flamelake-write", "fl-flamelake-read"}, backends


def selectors_find_pods():
    for shipped in SHIPPED:
        objects = render(shipped, ALL_ON)
        labels = [pod["metadata"]["labels"] for _, _, pod in pods(objects)]
        wanted = [each["spec"]["selector"] for each in of(objects, "Service")]
        wanted += [each["spec"]["selector"]["matchLabels"] for each in of(objects, "PodDisruptionBudget")]
        for selector in wanted:
            assert any(selector.items() <= have.items() for have in labels), selector
        services = {each["metadata"]["name"]: {port["name"] for port in each["spec"]["ports"]} for each in of(objects, "Service")}
        for path in of(objects, "Ingress")[0]["spec"]["rules"][0]["http"]["paths"]:
            assert path["backend"]["service"]["port"]["name"] in services[path["backend"]["service"]["name"]]


def probes_speak_tls_where_the_port_does():
    for key in ("admin-tls-cert-path", "admin_tls_cert_path"):
        values = {"flamelake": {"structuredConfig": {"server": {key: "/tls/tls.crt"}}}, "podMonitor": {"enabled": True}}
        objects = render(values=values)
        container = of(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]
        schemes = {probe: container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert schemes == {"startupProbe": "HTTPS", "livenessProbe": "HTTPS", "readinessProbe": "HTTP"}, schemes
        assert of(objects, "PodMonitor")[0]["spec"]["podMetricsEndpoints"][0]["scheme"] == "https"


def secrets_make_ports_speak_tls():
    objects = render(values=SECURE | {"podMonitor": {"enabled": True, "tlsConfig": {"insecureSkipVerify": True}}})
    config = yaml.safe_load(next(each["data"] for each in of(objects, "ConfigMap") if "flamelake.yaml" in each["data"])["flamelake.yaml"])
    server = config["server"]
    assert server["http-tls-client-auth"] == server["grpc-tls-client-auth"] == "require" and config["rpc"]["tls-server-name"] == "flamelake-internal"
    assert config["auth"]["tokens-file"] == "/etc/flamelake/tokens/tokens"
    container = of(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]
    # Kubelet cannot show a certificate, so that readiness is asked at the operators' port.
    assert {(probe, container[probe]["httpGet"]["port"], container[probe]["httpGet"]["scheme"]) for probe in ("livenessProbe", "readinessProbe")} == {
        ("livenessProbe", "admin", "HTTPS"), ("readinessProbe", "admin", "HTTPS")}
    assert of(objects, "PodMonitor")[0]["spec"]["podMetricsEndpoints"][0]["tlsConfig"] == {"insecureSkipVerify": True}
    assert {port["appProtocol"] for each in of(objects, "Service") for port in each["spec"]["ports"] if "appProtocol" in port} == {"https"}
    # No pod but the servers' has a key.
    job = of(objects, "Job")[0]["spec"]["template"]["spec"]
    shown = {volume["secret"]["secretName"]: volume["secret"].get("items") for volume in job["volumes"] if "secret" in volume}
    assert shown == {"public": [{"key": "ca.crt", "path": "ca.crt"}], "test-client": [{"key": "client.pem", "path": "client.pem"}]}, shown


def names_fit():
    text = helm("template", "a-release-with-a-very-long-name-indeed", str(CHART), f"--values={CHART / 'values-zones.yaml'}",
                values=ALL_ON | {"architecture": {"microservices": {"enabled": True}, "zones": [{"name": "zone-12345", "topologyZone": "z"}]}})
    for each in filter(None, yaml.load_all(text, LOADER)):
        longest = {"Service": 63, "StatefulSet": 52, "Deployment": 52, "Job": 57}.get(each["kind"], 253)
        assert len(each["metadata"]["name"]) <= longest, each["metadata"]["name"]


def what_users_add_is_there():
    digest = "sha256:" + "0" * 64
    objects = render(values={
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}, "apiVersion: v1\nkind: Secret\nmetadata: {name: text}"],
        "global": {"imageRegistry": "registry.example", "imagePullSecrets": [{"name": "pull"}]},
        "flamelake": {"image": {"digest": digest}, "extraArgs": {"querier.max-concurrent": 8}, "priorityClassName": "high",
                      "extraEnvVars": [{"name": "A", "value": "b"}], "extraVolumes": [{"name": "v", "emptyDir": {}}],
                      "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}], "podLabels": {"team": "x"}}})
    assert {"fl-more", "text"} <= {each["metadata"]["name"] for each in objects}
    pod = of(objects, "StatefulSet")[0]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["image"] == f"registry.example/flamelake/flamelake@{digest}", container["image"]
    assert "--querier.max-concurrent=8" in container["args"] and {"name": "A", "value": "b"} in container["env"]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}] and pod["spec"]["priorityClassName"] == "high"
    assert pod["metadata"]["labels"]["team"] == "x" and {"name": "v", "mountPath": "/v"} in container["volumeMounts"]


def identity_instead_of_keys():
    values = {"storage": {"backend": "gcs", "gcs": {"bucketName": "b"}},
              "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "a@b"}}}
    objects = render(values=values)
    assert of(objects, "ServiceAccount")[0]["metadata"]["annotations"] == values["serviceAccount"]["annotations"]
    volumes = of(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["volumes"]
    assert not any("secret" in volume for volume in volumes), volumes


def monitoring_is_whole():
    objects = render("values-microservices.yaml", ALL_ON)
    rules = of(objects, "PrometheusRule")[0]["spec"]["groups"]
    alerts = sorted(path.name for path in (ROOT / "deploy/alerts").glob("*.yaml"))
    assert {group["name"] for group in rules} == {group["name"] for name in alerts
                                                  for group in yaml.safe_load((ROOT / "deploy/alerts" / name).read_text())["groups"]}
    boards = [each for each in of(objects, "ConfigMap") if each["metadata"]["labels"].get("grafana_dashboard")]
    assert len(boards) == len(list((ROOT / "deploy/dashboards").glob("*.json")))
    for board in boards:
        for text in board["data"].values():
            json.loads(text)
    for folder, pattern in (("alerts", "*.yaml"), ("dashboards", "*.json")):
        for path in (ROOT / "deploy" / folder).glob(pattern):
            assert (CHART / "files" / folder / path.name).read_bytes() == path.read_bytes(), f"{path.name} of the chart is old: run scripts/dashboards.py"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def configurations_are_good(shipped, server):
    objects = render(shipped, ALL_ON)
    config = next(each["data"] for each in of(objects, "ConfigMap") if "flamelake.yaml" in each["data"])["flamelake.yaml"]
    with tempfile.TemporaryDirectory() as scratch:
        pathlib.Path(scratch, "secret-access-key").write_text("secret")
        for each in of(objects, "ConfigMap"):
            for name, text in each.get("data", {}).items():
                pathlib.Path(scratch, name).write_text(text)
        file = pathlib.Path(scratch, "flamelake.yaml")
        # The check opens the files that the configuration names.
        file.write_text(config.replace("/etc/flamelake/storage", scratch).replace("/etc/flamelake/overrides", scratch))
        env = {"POD_NAME": "pod-0", "POD_IP": "10.0.0.1", "FLAMELAKE_S3_ACCESS_KEY_ID": "id"}
        for name, _, pod in pods(objects):
            container = pod["spec"]["containers"][0]
            if container["name"] == "flamelake":
                args = [f"--config.file={file}" if arg.startswith("--config.file") else arg for arg in container["args"]]
                done = subprocess.run([server, *args, "--config.check"], capture_output=True, text=True, env=env)
                assert done.returncode == 0, f"{name}: {done.stderr}"


# TLS on every port, certificates of clients demanded, request tokens: what `helm test` must pass too.
SECURE = {
    "tls": {"public": {"existingSecret": "public", "keys": {"clientCa": "ca.crt"}, "clientAuth": "require"}, "admin": {"existingSecret": "admin"},
            "internal": {"existingSecret": "internal", "serverName": "flamelake-internal"}},
    "tokens": {"existingSecret": {"name": "tokens"}},
    "tests": {"token": {"existingSecret": {"name": "test-token"}}, "clientCertificate": {"existingSecret": {"name": "test-client"}}},
}


def secure_secrets(folder, server, addresses=("127.0.0.1",)):
    """The Secrets that SECURE names: name -> key -> bytes."""
    folder = pathlib.Path(folder)

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    openssl(*new, "-subj", "/CN=chart test", "-keyout", ca_key, "-out", ca, "-addext", "keyUsage=critical,keyCertSign")
    names = ",".join(["DNS:localhost", "DNS:flamelake-internal", *(f"IP:{address}" for address in addresses)])

    def issued(name):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-CA", ca, "-CAkey", ca_key,
                "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-addext", f"subjectAltName={names}")
        return {"tls.crt": (folder / f"{name}.crt").read_bytes(), "tls.key": (folder / f"{name}.key").read_bytes(), "ca.crt": ca.read_bytes()}
    secrets = {name: issued(name) for name in ("public", "admin", "internal", "client")}
    drawn = subprocess.run([server, "token", "--for", "*", "--right", "push,query", "--name", "helm test"], capture_output=True, text=True, check=True)
    token, line = drawn.stdout.strip().split("\n", 1)
    client = secrets.pop("client")
    return secrets | {"tokens": {"tokens": line.encode() + b"\n"}, "test-token": {"token": token.encode()},
                      "test-client": {"client.pem": client["tls.crt"] + client["tls.key"]}}


def mounted(spec, container, secrets, scratch):
    """Mounted path -> folder with the files of its Secret."""
    volumes = {each["name"]: each["secret"] for each in spec["volumes"] if "secret" in each}
    found = {}
    for mount in container["volumeMounts"]:
        if mount["name"] in volumes:
            secret = volumes[mount["name"]]
            folder = scratch / f"secret-{mount['name']}"
            folder.mkdir(exist_ok=True)
            files = secrets[secret["secretName"]]
            for item in secret.get("items", [{"key": key, "path": key} for key in files]):
                (folder / item["path"]).write_bytes(files[item["key"]])
            found[mount["mountPath"]] = str(folder)
    return found


def rendered_configuration_serves_and_the_test_tests(server, values=None):
    """Starts what the chart's `all` pod would start, and runs the commands of `helm test`."""
    objects = render(values=values)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        secrets = secure_secrets(scratch, server) if values else {}
        pod = of(objects, "StatefulSet")[0]["spec"]["template"]["spec"]
        container = pod["containers"][0]
        folders = mounted(pod, container, secrets, scratch)
        for each in of(objects, "ConfigMap"):
            for name, text in each.get("data", {}).items():
                for path, folder in folders.items():
                    text = text.replace(path, folder)
                (scratch / name).write_text(text.replace("dir: /data", f"dir: {scratch}/data").replace("/etc/flamelake/overrides", str(scratch)))
            for name, packed in each.get("binaryData", {}).items():
                (scratch / name).write_bytes(base64.b64decode(packed))
        port, admin = free_port(), free_port()
        args = [arg.replace("/etc/flamelake/config", str(scratch)) for arg in container["args"]]
        args += [f"--server.http-listen-port={port}", f"--server.admin-listen-port={admin}", "--server.grpc-listen-port=0",
                 "--server.http-listen-address=127.0.0.1", "--server.admin-listen-address=127.0.0.1"]
        process = subprocess.Popen([server, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={"POD_NAME": "fl-flamelake-0", "POD_IP": "127.0.0.1"})
        try:
            ports = {"http": port, "admin": admin}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container[probe]["httpGet"]
                wait_for(f"{asked['scheme'].lower()}://127.0.0.1:{ports[asked['port']]}{asked['path']}", process)
            spec = of(objects, "Job")[0]["spec"]["template"]["spec"]

            def step(container, pod, read_as=None, without=()):
                args = [arg.replace("$(POD_NAME)", read_as or pod) for arg in container["args"]]
                args = [re.sub(r"^(--file=|)/(test|tmp)/", rf"\1{scratch}/", arg) for arg in args]
                args = [re.sub(r"--url=(https?)://.*", rf"--url=\1://127.0.0.1:{port}", arg) for arg in args]
                env = {}
                for each in container["env"]:
                    reference = each.get("valueFrom", {}).get("secretKeyRef")
                    if reference:
                        env[each["name"]] = secrets[reference["name"]][reference["key"]].decode()
                    elif "value" in each:
                        env[each["name"]] = each["value"]
                for path, folder in mounted(spec, container, secrets, scratch).items():
                    env = {name: value.replace(path, folder) for name, value in env.items()}
                done = subprocess.run([server, *args], capture_output=True, text=True, env={name: env[name] for name in env if name not in without})
                told.append(done.stderr)
                return done.returncode
            told = []
            push, read, compare = *spec["initContainers"], spec["containers"][0]
            assert [step(push, "run-1"), step(read, "run-1"), step(compare, "run-1")] == [0, 0, 0], f"helm test fails on a good server: {told}"
            step(read, "run-1", read_as="run-2")
            assert step(compare, "run-1") != 0, "helm test passes though what was pushed is not there"
            for variable in [each["name"] for each in push["env"] if each["name"] != "POD_NAME"]:
                assert step(push, "run-3", without=[variable]) != 0, f"a push passes without {variable}"
        finally:
            process.terminate()
            assert process.wait(30) == 0, process.stderr.read().decode()[-1000:]


def wait_for(url, process):
    for _ in range(100):
        try:
            # As kubelet, which believes any certificate.
            return urllib.request.urlopen(url, timeout=1, context=ssl._create_unverified_context()).read()
        except OSError:
            assert process.poll() is None, process.stderr.read().decode()[-1000:]
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def main():
    check("schema is up to date", lambda: subprocess.run([sys.executable, ROOT / "scripts/chart-schema.py", "--check"], check=True))
    check("lint", lambda: [helm("lint", "--strict", str(CHART), f"--values={CHART / each}") for each in SHIPPED])
    for shipped in SHIPPED:
        for version in VERSIONS:
            check(f"{shipped} on {version}", lambda: valid(shipped, version, None))
        check(f"{shipped} with everything on", lambda: valid(shipped, "1.37", ALL_ON))
        check(f"{shipped} with TLS and tokens", lambda: valid(shipped, "1.37", SECURE))
        check(f"{shipped}: config keys", lambda: config_keys_exist(shipped, ALL_ON))
        check(f"{shipped}: hardened", lambda: hardened(shipped, ALL_ON))
    check("routes know what distributors answer", routes_know_distributors)
    check("proxies know what distributors answer", proxies_know_distributors)
    check("old Kubernetes: no sleep before the stop", lambda: valid("values-microservices.yaml", "1.25", None))
    for test in (no_secret_outside_secrets, overrides_restart_nothing, budgets_only_for_more_than_one, zones, all_without_a_disk, groups,
                 selectors_find_pods, probes_speak_tls_where_the_port_does, secrets_make_ports_speak_tls, names_fit, what_users_add_is_there, identity_instead_of_keys, monitoring_is_whole):
        check(test.__name__, test)

    refused("additional ?propert.*flamelak", {"flamelak": {}})
    refused("replicaCount", {"flamelake": {"replicaCount": "many"}})
    refused("ingestion_rat['\" ]", {"flamelake": {"tenantOverrides": {"a": {"ingestion_rat": 1}}}})
    refused("'a/b' does not match", {"flamelake": {"tenantOverrides": {"a/b": {}}}})
    refused("http_listen_prot", {"flamelake": {"structuredConfig": {"server": {"http_listen_prot": 1}}}})
    refused("backend", {"storage": {"backend": "floppy"}})
    refused("terminationGracePeriodSeconds", {"flamelake": {"terminationGracePeriodSeconds": 1}})
    refused("need an etcd", {"externalEtcd": {"endpoints": []}}, "values-microservices.yaml")
    refused("need a bucket", {"storage": {"backend": "filesystem"}}, "values-microservices.yaml")
    refused("need an etcd .* and a bucket", {"flamelake": {"replicaCount": 2}})
    refused("lost with the pod", {"flamelake": {"persistence": {"enabled": False}}})
    refused("bucketName", {"storage": {"backend": "s3"}})
    refused("use existingSecret", {"flamelake": {"structuredConfig": {"storage": {"s3": {"secret-access-key": "canary"}}}}})
    refused("autoscaler", {"flamelake": {"components": {"ingester": {"autoscaling": {"enabled": True}}}}}, "values-microservices.yaml")
    refused("kind must be StatefulSet", {"flamelake": {"components": {"querier": {"persistence": {"enabled": True}}}}}, "values-microservices.yaml")
    refused("authProxy speaks plain text", {"authProxy": {"enabled": True, "existingSecret": {"name": "users"}}, "flamelake": {"multitenancyEnabled": True},
                                            "tls": {"public": {"existingSecret": "public"}}})
    refused("belong together", {"tls": {"public": {"existingSecret": "public", "clientAuth": "require"}}})
    refused("helm test needs a token", {"tokens": {"existingSecret": {"name": "tokens"}}})
    refused("helm test needs a certificate", {"tls": SECURE["tls"]})
    refused("authProxy needs", {"authProxy": {"enabled": True}})

    server = os.environ.get("FLAMELAKE_BIN", "")
    if os.access(server, os.X_OK):
        for shipped in SHIPPED:
            check(f"{shipped}: every pod's configuration is good", lambda: configurations_are_good(shipped, server))
        check("the rendered configuration serves", lambda: rendered_configuration_serves_and_the_test_tests(server))
        check("with TLS and tokens too", lambda: rendered_configuration_serves_and_the_test_tests(server, SECURE))
    else:
        print("chart: FLAMELAKE_BIN names no server, its start is not tried")
    print(f"chart: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
