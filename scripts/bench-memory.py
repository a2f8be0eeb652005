#!/usr/bin/env python3
"""How much memory does one body of each format take at most? A fresh server for each, warm from a small body of the same format; then the peak of its
resident bytes (VmHWM, reset by /proc/PID/clear_refs) above what it held before, with what stays in the head and in the log's buffer.
Prints a table for docs/benchmarks.md. Linux; FLAMELAKE_BIN names another server."""
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.request

import exercised

SHARED = pathlib.Path(os.environ.get("FLAMELAKE_SHARED", exercised.ROOT.parent / "shared"))
STACKS, DEPTH = 6_000, 25


def stacks(count):
    """Stacks that share their upper half, as those of a server do; sorted, each once."""
    random.seed(7)
    made = set()
    for _ in range(count):
        branch = random.randrange(50)
        part = [branch if level * 2 < DEPTH else random.randrange(2000) for level in range(DEPTH)]
        made.add(tuple(f"github.com/org/pkg{level}.(*Type{own}).Method" for level, own in enumerate(part)))
    return sorted(made)


def folded(found, count=" 1"):
    return "".join(";".join(stack) + count + "\n" for stack in found).encode()


def tree(name, found, depth=0):
    """A node a frame: the children of sorted stacks at this depth."""
    own, groups = 0, {}
    for stack in found:
        if len(stack) == depth:
            own = 1
        else:
            groups.setdefault(stack[depth], []).append(stack)
    head = exercised.varint(len(name.encode())) + name.encode() + exercised.varint(own) + exercised.varint(len(groups))
    return head + b"".join(tree(child, below, depth + 1) for child, below in groups.items())


def trie(found):
    return tree("", [tuple(frame if at == 0 else ";" + frame for at, frame in enumerate(stack)) for stack in found])


def speedscope(found):
    names = sorted({frame for stack in found for frame in stack})
    index = {name: at for at, name in enumerate(names)}
    profile = {"type": "sampled", "name": "p", "unit": "none", "startValue": 0, "endValue": len(found),
               "samples": [[index[frame] for frame in stack] for stack in found], "weights": [1] * len(found)}
    return json.dumps({"$schema": "https://www.speedscope.app/file-format-schema.json", "shared": {"frames": [{"name": name} for name in names]},
                       "profiles": [profile]}, separators=(",", ":")).encode()


def bodies():
    """(format, path, small body, large body, bytes that count)."""
    few, many = stacks(10), stacks(STACKS)
    for name, make in [("folded", folded), ("lines", lambda found: folded(found, "")), ("tree", lambda found: tree("", found)), ("trie", trie),
                       ("speedscope", speedscope)]:
        yield name, f"/ingest?name=peak.cpu&format={name}", make(few), make(many), None
    for name, file, path in [("JFR, CPU", "jfr/kafka-cpu.jfr.gz", "/ingest?name=peak&format=jfr"),
                             ("JFR, CPU, locks, allocations", "jfr/kafka-cpu-lock-alloc.jfr.gz", "/ingest?name=peak&format=jfr"),
                             ("pprof, gzip", "pprof/go-heap-large.pb.gz", "/ingest?name=peak&format=pprof"),
                             ("OTLP, eBPF", "otlp/otel-ebpf-profile.pb.bin", "/v1development/profiles")]:
        corpus = SHARED / "corpus" / file
        if not corpus.exists():
            print(f"bench-memory: {corpus.name} is absent, skipped")
            continue
        body = corpus.read_bytes()
        yield name, path, body, body, len(gzip.decompress(body)) if file.endswith(".gz") else len(body)


def status(pid, key):
    line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def post(url, body):
    content = {"Content-Type": "application/x-protobuf"} if "development" in url else {}
    urllib.request.urlopen(urllib.request.Request(url, body, content, method="POST"), timeout=60).read()


def peak(path, small, large):
    with tempfile.TemporaryDirectory() as scratch:
        port = exercised.free_port()
        process = subprocess.Popen(
            [exercised.binary(), "--target=all", f"--storage.filesystem.dir={scratch}", "--server.http-listen-address=127.0.0.1",
             f"--server.http-listen-port={port}", "--server.grpc-listen-port=0", "--log.level=error", "--validation.max-profile-size-bytes=0",
             "--validation.reject-older-than=0"], stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            if not exercised.is_ready(url, process):
                sys.exit("the server does not start")
            post(url + path, small)
            before = status(process.pid, "VmRSS")
            pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            post(url + path, large)
            return status(process.pid, "VmHWM") - before
        finally:
            process.kill()
            process.wait()


def main():
    print("| format | body, MB | peak, MB | peak per MB |\n|---|---|---|---|")
    for name, path, small, large, size in bodies():
        megabytes, taken = (size or len(large)) / 1e6, peak(path, small, large) / 1e6
        print(f"| {name} | {megabytes:.1f} | {taken:.0f} | {taken / megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
