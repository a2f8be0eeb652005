#!/usr/bin/env python3
"""Makes changes/VERSION.md of the files in changes/unreleased, and deletes these. --check looks only whether they are as changes/README.md says."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNRELEASED = ROOT / "changes/unreleased"
KINDS = ["Security", "Removed", "Changed", "Added", "Fixed"]


def notes():
    """(kind, text) of every list item, and what is wrong."""
    found, faults = [], []
    for path in sorted(UNRELEASED.iterdir()):
        lines = path.read_text().splitlines()
        name = path.relative_to(ROOT)
        if path.suffix != ".md" or not 1 <= len(lines) <= 10:
            faults.append(f"{name}: one to ten lines of Markdown, please")
        for line in lines:
            item = re.fullmatch(r"- (?:(\w+): )?(.+)", line)
            if item and (item[1] is None or item[1] in KINDS):
                found.append((item[1] or "Changed", item[2]))
            elif line.startswith("  ") and found:
                found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")
            else:
                faults.append(f"{name}: {line!r} is no list item ({', '.join(KINDS)}, or none of these, before a colon)")
    return found, faults


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found, faults = notes()
    for fault in faults:
        print(f"release-notes: {fault}")
    if sys.argv[1] == "--check" or faults:
        print(f"release-notes: {len(found)} notes, {len(faults)} faults")
        sys.exit(bool(faults))
    version = sys.argv[1]
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version):
        sys.exit(f"{version} is no version")
    text = f"# Flamelake {version}\n"
    for kind in KINDS:
        items = [f"- {words}" for item, words in found if item == kind]
        text += f"\n## {kind}\n\n" + "\n".join(items) + "\n" if items else ""
    (ROOT / f"changes/{version}.md").write_text(text)
    for path in UNRELEASED.iterdir():
        path.unlink()
    print(f"changes/{version}.md: {len(found)} notes")


if __name__ == "__main__":
    main()
