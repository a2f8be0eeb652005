#!/usr/bin/env python3
"""Prints what the server is made of as a CycloneDX 1.5 document: every crate that is linked into `flamelake` for this machine, with version, licence
and checksum, from Cargo.lock and cargo's own resolution. Needs no network once `cargo fetch` has run."""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def metadata():
    host = re.search(r"^host: (.*)$", subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout, re.M)[1]
    done = subprocess.run(["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={host}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def linked(found, root):
    """Ids of the packages that the root needs to run: neither build nor test dependencies."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    wanted, waiting = set(), [root]
    while waiting:
        package = waiting.pop()
        if package not in wanted:
            wanted.add(package)
            waiting += [need["pkg"] for need in nodes[package]["deps"] if any(kind["kind"] is None for kind in need["dep_kinds"])]
    return wanted


def checksums():
    text = (ROOT / "Cargo.lock").read_text()
    return {(name, version): checksum for name, version, checksum in
            re.findall(r'\[\[package\]\]\nname = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"', text)}


def component(package, hashes):
    name, version = package["name"], package["version"]
    found = {"type": "library", "bom-ref": f"pkg:cargo/{name}@{version}", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
    if package["license"]:
        found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if (name, version) in hashes:
        found["hashes"] = [{"alg": "SHA-256", "content": hashes[name, version]}]
    return found


def main():
    found, hashes = metadata(), checksums()
    packages = {package["id"]: package for package in found["packages"]}
    root = next(package for package in packages.values() if package["name"] == "flamelake")
    wanted = linked(found, root["id"])
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    reference = lambda package: f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"
    main_component = component(root, hashes) | {"type": "application"}
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": main_component},
        "components": sorted((component(packages[each], hashes) for each in wanted if each != root["id"]), key=lambda each: each["bom-ref"]),
        "dependencies": sorted(({"ref": reference(each), "dependsOn": sorted({reference(need["pkg"]) for need in nodes[each]["deps"] if need["pkg"] in wanted})}
                                for each in wanted), key=lambda each: each["ref"]),
    }
    without = [each["name"] for each in document["components"] if "hashes" not in each and not each["name"].startswith("flamelake")]
    if without:
        sys.exit(f"no checksum of {', '.join(without)}")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
