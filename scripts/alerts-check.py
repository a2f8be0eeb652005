#!/usr/bin/env python3
"""Checks deploy/alerts: promtool finds no fault; every metric exists on a real server; every alert has a severity, a runbook that is
there, and a case that fires it and one that does not (deploy/alerts/tests/cases.yaml). Needs promtool and PyYAML."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

import exercised

FOLDER = exercised.ROOT / "deploy/alerts"
RUNBOOKS = exercised.ROOT / "docs/operations/runbooks"
# What Prometheus itself adds.
OF_PROMETHEUS = {"up"}


def metrics_of(expression):
    """Names of an expression: words that are followed by a selector, a range or an operator and are no function or label."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(by|ignoring|on|without|group_left|group_right)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"\b(?:flamelake|process|up|go|namespace)[a-z0-9_]*(?::[a-z0-9_:]+)?\b(?!\s*\()", bare))


def unknown_metrics(rules, known):
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        for name in metrics_of(rule["expr"]) - known - recorded - OF_PROMETHEUS:
            yield f"{rule.get('alert') or rule['record']}: no server has the metric {name}"


def faults(rules, cases):
    for rule in (rule for rule in rules if "alert" in rule):
        name = rule["alert"]
        if rule.get("labels", {}).get("severity") not in ("critical", "warning", "info"):
            yield f"{name}: severity must be critical, warning or info"
        if not rule["annotations"]["runbook_url"].endswith(f"/docs/operations/runbooks/{name}.md"):
            yield f"{name}: runbook_url must end with its name"
        if not (RUNBOOKS / f"{name}.md").exists():
            yield f"{name}: docs/operations/runbooks/{name}.md is missing"
        case = cases.get(name, {})
        if not case.get("fires") or not case.get("silent"):
            yield f"{name}: needs a case that fires it and one that does not in tests/cases.yaml"
    for name in set(cases) - {rule.get("alert") for rule in rules}:
        yield f"{name}: a case without an alert"


def promtool_tests(rule, case, folder):
    """Writes the test of one alert beside a file with that alert alone: promtool evaluates all rules of a file at every minute."""
    name = rule["alert"]
    rules = folder / f"{name}.rules.yaml"
    rules.write_text(json.dumps({"groups": [{"name": name, "rules": [rule]}]}))
    expected = {"exp_labels": rule["labels"] | case["labels"], "exp_annotations": rule["annotations"]}
    tests = [{"interval": "1m", "name": name, "input_series": [{"series": each, "values": values} for each, values in series.items()],
              "alert_rule_test": [{"eval_time": case["at"], "alertname": name, "exp_alerts": fired}]}
             for series, fired in [(each, [expected]) for each in [case["fires"], *case.get("also_fires", [])]] + [(silent, []) for silent in case["silent"]]]
    test = folder / f"{name}.test.yaml"
    test.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    return str(test)


def main():
    files = sorted(FOLDER.glob("*.yaml"))
    rules = [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    cases = yaml.safe_load((FOLDER / "tests/cases.yaml").read_text())
    found = list(faults(rules, cases))
    scrape = exercised.exercised_scrape()
    found += unknown_metrics(rules, exercised.series_names(scrape))
    subprocess.run(["promtool", "check", "rules", "--lint-fatal", *map(str, files)], check=True, stdout=subprocess.DEVNULL)
    lint = subprocess.run(["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True)
    found += [f"promtool check metrics: {line}" for line in (lint.stdout + lint.stderr).splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        tests = [promtool_tests(rule, cases[rule["alert"]], pathlib.Path(scratch)) for rule in rules if rule.get("alert") in cases]
        done = subprocess.run(["promtool", "test", "rules", *tests], capture_output=True, text=True)
        if done.returncode:
            found.append(done.stdout + done.stderr)
    for each in found:
        print(f"alerts: {each}")
    alerts = sum("alert" in rule for rule in rules)
    print(f"alerts: {alerts} alerts, {sum(1 + len(case.get('also_fires', [])) + len(case['silent']) for case in cases.values())} cases, {len(found)} failed")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
