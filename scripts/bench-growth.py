#!/usr/bin/env python3
"""Prints time(2n) / time(n) of every kernel whose benches are called growth-<kernel>/n and growth-<kernel>/2n.

Reads what criterion left in the target folder. About 2 is linear; 4 would be quadratic. More than 2.5 is marked: measure it again on
an idle machine, then look for the loop.
"""
import json
import os
import pathlib
import sys

target = os.environ.get("CARGO_TARGET_DIR", os.path.expanduser("~/.cache/flamelake/target"))


def median_ns(bench: pathlib.Path) -> float:
    return json.loads((bench / "new" / "estimates.json").read_text())["median"]["point_estimate"]


kernels = sorted(pathlib.Path(target, "criterion").glob("growth-*"))
if not kernels:
    sys.exit("no benches were run: make bench")
print(f"{'kernel':32} {'n, ms':>10} {'2n, ms':>10} {'ratio':>6}")
for kernel in kernels:
    once, twice = median_ns(kernel / "n"), median_ns(kernel / "2n")
    mark = "  <- more than linear?" if twice > 2.5 * once else ""
    print(f"{kernel.name.removeprefix('growth-'):32} {once / 1e6:10.3f} {twice / 1e6:10.3f} {twice / once:6.2f}{mark}")
