#!/usr/bin/env python3
"""Two baselines of criterion as a table in Markdown: what changed by more than a tenth first, the rest folded away.
Usage: scripts/bench-compare.py CRITERION_FOLDER BEFORE AFTER"""
import json
import pathlib
import sys

NOTEWORTHY = 0.10


def means(folder, baseline):
    """Name of each benchmark to nanoseconds."""
    found = {}
    for path in folder.glob(f"**/{baseline}/estimates.json"):
        about = json.loads((path.parent / "benchmark.json").read_text())
        found[about["full_id"]] = json.loads(path.read_text())["mean"]["point_estimate"]
    return found


def written(nanos):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanos >= size:
            return f"{nanos / size:.3g} {unit}"
    return f"{nanos:.3g} ns"


def table(rows):
    text = "| | before | after | |\n|---|---|---|---|\n"
    return text + "".join(f"| {name} | {written(before)} | {written(after)} | {after / before - 1:+.0%} |\n" for name, before, after in rows)


def main():
    folder, first, second = pathlib.Path(sys.argv[1]), *sys.argv[2:4]
    before, after = means(folder, first), means(folder, second)
    rows = sorted(((name, before[name], after[name]) for name in before.keys() & after.keys()), key=lambda row: row[1] / row[2])
    if not rows:
        sys.exit(f"{folder} has no benchmark with both baselines")
    changed = [row for row in rows if abs(row[2] / row[1] - 1) > NOTEWORTHY]
    print(f"{len(rows)} benchmarks, {len(changed)} changed by more than {NOTEWORTHY:.0%} (one run each on a shared machine).\n")
    if changed:
        print(table(changed))
    print(f"<details><summary>all</summary>\n\n{table(rows)}\n</details>")
    for title, names in (("new", after.keys() - before.keys()), ("gone", before.keys() - after.keys())):
        if names:
            print(f"\n{title}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main()
