#!/usr/bin/env python3
"""Checks the Markdown of the repository: every relative link leads to a file, every #heading exists, every page of docs/ is in SUMMARY.md.
Links to other hosts are not asked."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIP = {"target", ".git", "node_modules", "data", "data-cluster", "book"}


def pages():
    return [path for path in sorted(ROOT.rglob("*.md")) if not SKIP & set(path.relative_to(ROOT).parts)]


def prose(text):
    """Without code, in which brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(path):
    """As GitHub and mdBook make them of headings."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def faults(path):
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        at = (path.parent / file).resolve() if file else path
        if not at.exists():
            yield f"{target} leads nowhere"
        elif ROOT not in at.parents and at != ROOT:
            yield f"{target} leads out of the repository"
        elif heading and at.suffix == ".md" and heading not in anchors(at):
            yield f"{target}: no such heading"


def main():
    found = [f"{path.relative_to(ROOT)}: {fault}" for path in pages() for fault in faults(path)]
    summary = ROOT / "docs/SUMMARY.md"
    listed = {(summary.parent / link).resolve() for link in re.findall(r"\]\(([^)]+)\)", summary.read_text())}
    found += [f"{path.relative_to(ROOT)} is not in docs/SUMMARY.md" for path in pages()
              if summary.parent in path.parents and path != summary and path not in listed]
    for each in found:
        print(f"links: {each}")
    print(f"links: {len(pages())} pages, {len(found)} faults")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
