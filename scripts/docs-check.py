#!/usr/bin/env python3
"""Runs the documentation: every `sh` block of every page (those marked `sh,norun` need something of the reader's), in the order of the page,
against a real server, and the five minutes of the README from a clean clone. Names of keys in all pages must exist.

Each page has a network of its own in which port 4040 is free and the hosts of the examples are this machine; where that cannot be had
(`unshare`), blocks are not run, and it says so. The runbooks are run by runbooks-check.py. Usage: docs-check.py [PAGE…]
FLAMELAKE_BIN: the server. DOCS_BUILD=1: the clean clone really builds it (minutes); else its build finds this one."""
import base64
import contextlib
import gzip
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import drills
import exercised

ROOT = exercised.ROOT
RUNBOOKS = ROOT / "docs/operations/runbooks"
# Names of other machines in examples.
HOSTS = "127.0.0.1 localhost flamelake pyroscope shop querier collector\n"
IN_A_NETWORK = ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@"']


def pages():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wanted = sys.argv[1:]
    return [ROOT / path for path in listed if not wanted or path in wanted]


def blocks(text, kind="sh"):
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M)


def known_keys():
    page = subprocess.run([exercised.binary(), "--config.docs"], capture_output=True, text=True, check=True).stdout
    keys = set(re.findall(r"^\| `([^`]+)` \|", page, re.M))
    secrets = set(re.findall(r"^\| `([^`]+)` \| secret", page, re.M))
    fields = {each.removeprefix("limits.") for each in re.findall(r"`(limits\.\w+)`", page)}
    aliases = set(re.findall(r"[Aa]lso `([^`]+)`", page))
    return keys | {f"{key}-file" for key in secrets} | aliases | {f"limits.{field}" for field in fields}


def named_keys(text):
    """What looks like a key in code of any kind: `server.http-listen-port`, `--log.level=debug`, `ring.etcd.tls-{a,b}`."""
    code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)) + re.findall(r"^```\w*(?:,\w+)?\n(.*?)^```", text, re.S | re.M)
    for part in code:
        for name in re.findall(r"(?<![\w./$@-])(?:--)?([a-z]+(?:[.-][a-z0-9]+)*\.[a-z0-9-]+(?:\{[a-z0-9,-]+\})?)(?=[\s=:;,)`'\"]|$)", part):
            brace = re.fullmatch(r"(.*)\{(.*)\}", name)
            yield from ([brace[1] + each for each in brace[2].split(",")] if brace else [name])


def key_faults(path, keys):
    sections = {key.split(".")[0] for key in keys}
    for name in sorted(set(named_keys(path.read_text()))):
        # Only what begins as a key does and goes on as one: `log.rs` is a file, `querier.v1` a package.
        if name.split(".")[0] not in sections or re.search(r"\.(rs|tsx?|md|yaml|json|py|sh|service|env|v\d.*)$", name):
            continue
        normal = name.replace("_", "-")
        if normal not in keys and name not in keys and not any(key.startswith(normal + ".") for key in keys):
            yield f"no key is called {name}"


def can_have_a_network():
    return subprocess.run(["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0


def bash(script, env, cwd, timeout=600):
    """Ends everything that the script left running, by its process group."""
    with tempfile.NamedTemporaryFile("w") as hosts, tempfile.TemporaryFile("w+") as output:
        hosts.write(HOSTS)
        hosts.flush()
        process = subprocess.Popen([*IN_A_NETWORK, hosts.name, "bash", "-c", script], stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = "no end"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        output.seek(0)
        return code, output.read()


def page_script(path):
    """The page's blocks as one script; a block that is a server goes on beside the next ones."""
    script = "set -eo pipefail\ncurl() { command curl --fail-with-body --max-time 60 \"$@\"; }\n"
    for number, block in enumerate(blocks(path.read_text()), 1):
        script += f"echo '--- block {number}'\n"
        if re.match(r"make run\b", block):
            script += f"({block.strip()}\n) >server.log 2>&1 &\nserver=$!\n"
            script += ("for _ in $(seq 600); do command curl -sf http://127.0.0.1:4040/ready >/dev/null && break; "
                       "kill -0 $server || { cat server.log; exit 1; }; sleep 0.5; done\n")
        else:
            script += block + "\n"
    return script


def with_server(script):
    """For pages that suppose a server, what is stored in it, and a program `shop` with pprof at port 6060 (this very one, at work)."""
    ready = "for _ in $(seq 240); do command curl -sf http://127.0.0.1:{port}/ready >/dev/null && break; sleep 0.5; done\n"
    push = f"flamelake push --now --label service_name=shop {exercised.PROFILE}"
    return ("flamelake --storage.filesystem.dir=data --log.level=error >server.log 2>&1 &\n" + ready.format(port=4040) +
            f"{push} --label version=1 >/dev/null\n{push} --label version=2 >/dev/null\n"
            "mkdir build && cp $(command -v bash) build/shop\n"
            f"printf 'main;a 1\\nmain;b 2\\n' > stacks.folded\n"
            "flamelake --storage.filesystem.dir=shop-data --server.http-listen-port=6060 --server.grpc-listen-port=0 --log.level=error >shop.log 2>&1 &\n"
            + ready.format(port=6060) +
            f"(while {push} --url http://127.0.0.1:6060; do :; done) >/dev/null 2>&1 &\n" + script)


def environment(folder):
    bin_folder = pathlib.Path(folder, "bin")
    bin_folder.mkdir()
    os.symlink(exercised.binary(), bin_folder / "flamelake")
    venv = os.environ.get("FLAMELAKE_VENV", os.path.expanduser("~/.cache/flamelake/venv"))
    # The answers of examples are for people at a terminal.
    return os.environ | {"PATH": f"{bin_folder}:{venv}/bin:{os.environ['PATH']}", "NO_COLOR": "1"}, bin_folder


def quick_start(folder):
    """The README from a clean clone; the code of the script and what it said."""
    clone = pathlib.Path(folder, "clone")
    subprocess.run(["git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    # The page as it is, not as it was committed, and what it leads through.
    for path in ("README.md", "Makefile"):
        (clone / path).write_bytes((ROOT / path).read_bytes())
    env, bin_folder = environment(folder)
    if os.environ.get("DOCS_BUILD"):
        subprocess.run(["make", "build"], cwd=clone, check=True)
    else:
        # Its build is done: the binary lies where cargo would have put it.
        target = pathlib.Path(folder, "target")
        (target / "release").mkdir(parents=True)
        os.symlink(exercised.binary(), target / "release/flamelake")
        for name in ("cargo", "npm"):
            (bin_folder / name).write_text("#!/bin/sh\nexit 0\n")
            (bin_folder / name).chmod(0o755)
        env["CARGO_TARGET_DIR"] = str(target)
    # The server's folder is that of the clone; nothing here may come from elsewhere.
    (bin_folder / "flamelake").unlink()
    return bash(page_script(clone / "README.md"), env, clone, timeout=900)


def run(path):
    with tempfile.TemporaryDirectory() as folder:
        if path == ROOT / "README.md":
            return quick_start(folder)
        env, _ = environment(folder)
        work = pathlib.Path(folder, "work")
        work.mkdir()
        profile = base64.b64encode(exercised.PROFILE.read_bytes()).decode()
        (work / "cpu.pb.gz").write_bytes(gzip.compress(base64.b64decode(drills.stamped(profile))))
        return bash(with_server(page_script(path)), env, work)


def main():
    keys, failed, ran = known_keys(), 0, 0
    can_run = can_have_a_network()
    if not can_run:
        print("docs: no network of its own can be had here (unshare, ip): blocks are not run")
    found = pages()
    for path in found:
        name, text = path.relative_to(ROOT), path.read_text()
        faults = [] if path.name == "CHANGELOG.md" else list(key_faults(path, keys))
        if can_run and blocks(text) and RUNBOOKS not in path.parents:
            code, output = run(path)
            ran += len(blocks(text))
            if code:
                faults.append(f"its blocks end with {code}:\n{output[-1500:]}")
        failed += bool(faults)
        for fault in faults:
            print(f"docs: {name}: {fault}")
    print(f"docs: {len(found)} pages, {ran} blocks run, {failed} pages failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
