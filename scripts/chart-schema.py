#!/usr/bin/env python3
"""Writes helm/flamelake/values.schema.json: the shape of the chart's values, with the server's keys and limits as
docs/configuration.md has them, so that a wrong one is refused before anything is installed. --check compares only."""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "helm/flamelake/values.schema.json"

SCALAR = {"type": ["string", "number", "boolean"]}
TYPES = {
    "bool": {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": r"^(true|false|\$\{.*)$"}]},
    "number": {"type": ["integer", "string"]},
    "decimal": {"type": ["number", "string"]},
    "list": {"type": ["array", "string"]},
}


def keys():
    """(key, type, short name of the limit or None) of every row of the page."""
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        row = re.match(r"\| `([a-z0-9.-]+)` \| (\w+) \|", line)
        if row:
            limit = re.search(r"Also `limits\.(\w+)`", line)
            yield row[1], row[2], limit and limit[1]
            secret = re.search(r"Or `([a-z0-9.-]+-file)`", line)
            if secret:
                yield secret[1], "text", None


def limits():
    return obj({short: TYPES.get(kind, SCALAR) for _, kind, short in keys() if short})


def server_keys():
    """The nested YAML of the server; `-` and `_` are the same there."""
    tree = {}
    for key, kind, _ in keys():
        at = tree
        *levels, leaf = key.split(".")
        for level in levels:
            at = at.setdefault(level, {})
        at[leaf] = TYPES.get(kind, SCALAR)
    tree["limits"] = None

    def shape(node):
        if node is None:
            return {"$ref": "#/definitions/limits"}
        if "type" in node and not isinstance(node["type"], dict) or "anyOf" in node:
            return node
        patterns = {"^" + name.replace("-", "[-_]") + "$": shape(child) for name, child in node.items()}
        return {"type": "object", "additionalProperties": False, "patternProperties": patterns}

    return shape(tree)


def obj(properties, required=()):
    shape = {"type": "object", "additionalProperties": False, "properties": properties}
    return shape | ({"required": list(required)} if required else {})


def enum(*values):
    return {"type": "string", "enum": list(values)}


TEXT, BOOL, ANY, LIST = {"type": "string"}, {"type": "boolean"}, {"type": "object"}, {"type": "array"}
TEXTS = {"type": "array", "items": TEXT}
OBJECTS = {"type": "array", "items": ANY}
TEXT_MAP = {"type": "object", "additionalProperties": TEXT}
COUNT = {"type": "integer", "minimum": 0}
PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
DURATION = {"type": "string", "pattern": r"^[0-9]+(ms|s|m|h)$"}
SIZE = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)?$"}
RESOURCES = obj({"requests": ANY, "limits": ANY, "claims": LIST})
PROBE = {"type": "object", "properties": {name: COUNT for name in ("periodSeconds", "failureThreshold", "timeoutSeconds")}}
DISK = {"enabled": BOOL, "size": SIZE, "storageClassName": TEXT}
TENANT = r"^[A-Za-z0-9!_.*'()-]{1,150}$"
ZONE = obj({"name": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 10}, "topologyZone": TEXT,
            "replicaCount": COUNT}, ["name", "topologyZone"])


def workload():
    return {
        "replicaCount": COUNT,
        "extraArgs": {"type": "object", "additionalProperties": SCALAR},
        "extraEnvVars": OBJECTS, "extraEnvFrom": OBJECTS, "extraVolumes": OBJECTS, "extraVolumeMounts": OBJECTS,
        "podAnnotations": TEXT_MAP, "podLabels": TEXT_MAP, "nodeSelector": TEXT_MAP, "tolerations": OBJECTS, "affinity": ANY,
        "priorityClassName": TEXT, "topologySpreadConstraints": OBJECTS, "resources": RESOURCES,
        "podSecurityContext": ANY, "securityContext": ANY,
        "persistence": obj(DISK | {
            "accessModes": TEXTS, "annotations": TEXT_MAP,
            "retentionPolicy": obj({"whenDeleted": enum("Retain", "Delete"), "whenScaled": enum("Retain", "Delete")})}),
        "updateStrategy": enum("RollingUpdate", "OnDelete"),
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 30},
        "preStopSleepSeconds": COUNT,
        "probes": obj({"startup": PROBE, "liveness": PROBE, "readiness": PROBE}),
        "podDisruptionBudget": obj({"enabled": BOOL, "maxUnavailable": {"type": ["integer", "string"]}}),
        "autoscaling": obj({"enabled": BOOL, "minReplicas": COUNT, "maxReplicas": COUNT,
                            "targetCPUUtilizationPercentage": {"type": ["integer", "null"]}, "metrics": OBJECTS, "behavior": ANY}),
        "service": obj({"type": enum("ClusterIP", "NodePort", "LoadBalancer"), "port": PORTS["items"], "annotations": TEXT_MAP}),
    }


def schema():
    component = obj(workload() | {"enabled": BOOL, "kind": enum("Deployment", "StatefulSet"), "target": TEXT})
    secret = lambda *names: obj({"name": TEXT} | {name: TEXT for name in names})
    monitor = obj({"enabled": BOOL, "labels": TEXT_MAP, "interval": DURATION, "scrapeTimeout": DURATION, "tlsConfig": ANY})
    port = lambda keys, **more: obj({"existingSecret": TEXT, "keys": obj({name: TEXT for name in ("cert", "key", *keys)})} | more)
    names = ["distributor", "ingester", "store-gateway", "querier", "compactor", "write", "read", "backend"]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart flamelake",
            "definitions": {"workload": component, "limits": limits()}} | obj({
        "nameOverride": TEXT, "fullnameOverride": TEXT,
        "global": {"type": "object", "properties": {"imageRegistry": TEXT, "imagePullSecrets": OBJECTS}},
        "architecture": obj({"microservices": obj({"enabled": BOOL}), "zones": {"type": "array", "items": ZONE}}),
        "flamelake": obj(workload() | {
            "image": obj({"registry": TEXT, "repository": TEXT, "tag": TEXT,
                          "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}, "pullPolicy": enum("Always", "IfNotPresent", "Never")}),
            "structuredConfig": server_keys(),
            "tenantOverrides": {"type": "object", "propertyNames": {"pattern": TENANT}, "additionalProperties": {"$ref": "#/definitions/limits"}},
            "multitenancyEnabled": BOOL,
            "log": obj({"level": TEXT, "format": enum("logfmt", "json")}),
            "components": obj({name: {"$ref": "#/definitions/workload"} for name in names}),
        }),
        "storage": obj({
            "backend": enum("filesystem", "s3", "gcs", "azure", "in-memory"),
            "prefix": {"type": "string", "pattern": "^[A-Za-z0-9_./-]*$"},
            "s3": obj({"bucketName": TEXT, "region": TEXT, "endpoint": TEXT, "insecure": BOOL, "forcePathStyle": BOOL,
                       "existingSecret": secret("accessKeyIdKey", "secretAccessKeyKey")}),
            "gcs": obj({"bucketName": TEXT, "existingSecret": secret("key")}),
            "azure": obj({"accountName": TEXT, "containerName": TEXT, "endpoint": TEXT, "existingSecret": secret("key")}),
        }),
        "externalEtcd": obj({
            "endpoints": TEXTS, "prefix": TEXT, "existingSecret": secret("usernameKey", "passwordKey"),
            "tls": obj({"enabled": BOOL, "existingSecret": TEXT, "keys": obj({"ca": TEXT, "cert": TEXT, "key": TEXT}), "serverName": TEXT})}),
        "trial": obj({
            "etcd": obj({"enabled": BOOL, "image": TEXT, "replicaCount": {"type": "integer", "enum": [1, 3, 5]}, "persistence": obj(DISK),
                         "resources": RESOURCES}),
            "s3": obj({"enabled": BOOL, "image": TEXT, "bucketName": TEXT, "persistence": obj(DISK), "resources": RESOURCES})}),
        "tls": obj({"public": port(["ca", "clientCa"], clientAuth=enum("none", "request", "require")), "admin": port([]),
                    "internal": port(["ca"], serverName=TEXT)}),
        "tokens": obj({"existingSecret": secret("key")}),
        "serviceAccount": obj({"create": BOOL, "name": TEXT, "annotations": TEXT_MAP, "labels": TEXT_MAP}),
        "ingress": obj({"enabled": BOOL, "className": TEXT, "annotations": TEXT_MAP, "labels": TEXT_MAP,
                        "pathType": enum("Prefix", "Exact", "ImplementationSpecific"), "hosts": TEXTS, "tls": OBJECTS}),
        "route": obj({"enabled": BOOL, "annotations": TEXT_MAP, "labels": TEXT_MAP, "parentRefs": OBJECTS, "hostnames": TEXTS, "grpc": BOOL}),
        "authProxy": obj({"enabled": BOOL, "image": TEXT, "replicaCount": COUNT, "existingSecret": secret("key"),
                          "bodySizeMax": TEXT, "resources": RESOURCES}),
        "networkPolicy": obj({
            "enabled": BOOL, "clients": OBJECTS, "metrics": OBJECTS, "storage": obj({"ports": PORTS, "to": OBJECTS}),
            "etcd": obj({"ports": PORTS, "to": OBJECTS}), "dns": obj({"to": OBJECTS}), "extraEgress": OBJECTS}),
        "serviceMonitor": monitor, "podMonitor": monitor,
        "prometheusRule": obj({"enabled": BOOL, "labels": TEXT_MAP, "runbookUrl": TEXT}),
        "dashboards": obj({"enabled": BOOL, "labels": TEXT_MAP, "annotations": TEXT_MAP}),
        "tests": obj({"enabled": BOOL, "tenant": TEXT, "token": obj({"existingSecret": secret("key")}),
                      "clientCertificate": obj({"existingSecret": secret("key")})}),
        "extraObjects": LIST,
    })


def main():
    text = json.dumps(schema(), indent=1) + "\n"
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            sys.exit("values.schema.json is behind docs/configuration.md: run scripts/chart-schema.py")
        return
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
