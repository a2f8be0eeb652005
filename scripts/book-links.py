#!/usr/bin/env python3
"""A preprocessor of mdBook: links from a page of docs/ to files outside of it become links to the repository."""
import json
import posixpath
import re
import sys

REPOSITORY = "https://github.com/flamelake/flamelake/blob/main/"


def rewrite(chapter):
    folder = posixpath.join("docs", posixpath.dirname(chapter["path"]))

    def link(found):
        text, target = found.groups()
        at = posixpath.normpath(posixpath.join(folder, target))
        outside = not re.match(r"[a-z]+:|#", target) and not at.startswith("docs/")
        return f"[{text}]({REPOSITORY}{at})" if outside else found[0]
    chapter["content"] = re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", link, chapter["content"])


def walk(node):
    if isinstance(node, list):
        for each in node:
            walk(each)
    elif isinstance(node, dict):
        if node.get("path") and "content" in node:
            rewrite(node)
        for each in node.values():
            walk(each)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "supports":
        sys.exit(0)
    _, book = json.load(sys.stdin)
    walk(book)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
