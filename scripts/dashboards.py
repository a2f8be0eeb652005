#!/usr/bin/env python3
"""Writes deploy/dashboards/*.json, and copies them and the alerts into the chart (helm/flamelake/files). --check compares only.
A panel is a title, a unit and queries; layout, colours and variables are the same everywhere and stand here once."""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy/dashboards"
N = '{namespace=~"$namespace"'
PUSHES = 'route=~"/push.v1.PusherService/Push|/ingest|/pyroscope/ingest|.*v1development.*"'
QUERIES = 'route=~"/querier.v1.*|/pyroscope/(render|render-diff|label-values|label-names)"'
JOB = 'job=~".*flamelake"'
FIVES = 'status_code=~"5.."'
OURS = 'outcome=~"internal|unavailable|unknown|deadline_exceeded|data_loss"'
WRITES = 'operation=~"put.*|list.*"'
READS = 'operation=~"get.*|head.*"'
WRITTEN = 'direction="written"'
ERRORS = 'outcome=~"error|timed_out|out_of_space"'


def sel(*matchers):
    return ", ".join([N, *matchers]) + "}"


def rate(metric, *matchers, by=""):
    total = f"sum by ({by}) " if by else "sum "
    return f"{total}(rate({metric}{sel(*matchers)}[$__rate_interval]))"


def quantile(q, metric, *matchers, by=""):
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{sel(*matchers)}[$__rate_interval])))"


def latency(title, metric, *matchers, by=""):
    legend = f" {{{{{by}}}}}" if by else ""
    return panel(title, "s", *[(quantile(q, metric, *matchers, by=by), f"p{round(q * 100)}{legend}") for q in (0.5, 0.99)])


def or_zero(query):
    """Counters with labels are absent until they count."""
    return f"{query} or vector(0)"


def panel(title, unit, *queries, kind="timeseries", stack=False, text=""):
    return {"title": title, "unit": unit, "queries": [q if isinstance(q, tuple) else (q, "") for q in queries], "kind": kind,
            "stack": stack, "text": text}


def stat(title, unit, query, red=None, text=""):
    return panel(title, unit, query, kind="stat", text=text) | {"red": red}


def memory_and_cpu():
    return [
        panel("Memory", "bytes", (f"process_resident_memory_bytes{sel(JOB)}", "{{instance}}")),
        panel("CPU", "cores", (f"rate(process_cpu_seconds_total{sel(JOB)}[$__rate_interval])", "{{instance}}")),
    ]


BOARDS = {
    "overview": ("Is it well", {
        "Now": [
            stat("Processes that answer", "none", f"sum(up{sel(JOB)})"),
            stat("Processes that do not", "none", or_zero(f"count(up{sel(JOB)} == 0)"), red=1),
            stat("Members of the ring", "none", f"max(flamelake_ring_members{N}}})"),
            stat("of these dead", "none", f"max(flamelake_ring_members{N}}} - flamelake_ring_members_healthy{N}}})", red=1),
            stat("Without etcd", "none", or_zero(f"count(flamelake_ring_connected{N}}} == 0)"), red=1),
            stat("Profiles a second", "short", rate("flamelake_distributor_received_profiles_total")),
            stat("Pushes that fail by our fault", "percentunit",
                 f"({or_zero(rate('flamelake_request_duration_seconds_count', PUSHES, FIVES))}) / {rate('flamelake_request_duration_seconds_count', PUSHES)}", red=0.01),
            stat("Queries that fail by our fault", "percentunit",
                 f"({or_zero(rate('flamelake_querier_query_seconds_count', OURS))}) / {rate('flamelake_querier_query_seconds_count')}", red=0.01),
            stat("Oldest row without a block", "s", f"max(flamelake_ingester_oldest_unflushed_seconds{N}}})", red=3600),
            stat("Fullest head", "percentunit", f"max(flamelake_ingester_head_bytes{N}}} / flamelake_ingester_head_bytes_max{N}}})", red=0.8),
            stat("Damage", "none", f"sum(flamelake_journal_damaged_records_total{N}}}) + sum(flamelake_ingester_log_damage_total{N}}}) + sum(flamelake_catalog_damaged_objects_total{N}}}) + sum(flamelake_store_gateway_blocks_set_aside_total{N}}})",
                 red=1, text="Records, places of logs, catalog objects and answers without a block."),
            stat("Panics", "none", f"sum(flamelake_panics_total{N}}})", red=1),
        ],
        "Traffic": [
            panel("Pushes by status", "reqps", (rate("flamelake_request_duration_seconds_count", PUSHES, by="status_code"), "{{status_code}}"), stack=True),
            panel("Queries by outcome", "reqps", (rate("flamelake_querier_query_seconds_count", by="outcome"), "{{outcome}}"), stack=True),
            latency("Time of a push", "flamelake_request_duration_seconds", PUSHES),
            latency("Time of a query", "flamelake_querier_query_seconds"),
        ],
        "Processes": memory_and_cpu() + [
            panel("Versions", "none", (f"count by (version, revision) (flamelake_build_info{N}}})", "{{version}} {{revision}}")),
            panel("Open files", "percentunit", (f"process_open_fds{sel(JOB)} / process_max_fds", "{{instance}}")),
            panel("Certificates end in", "s", (f"min by (file, use) (flamelake_certificate_expiry_timestamp_seconds{N}}} - time())", "{{file}} {{use}}")),
        ],
    }),
    "writes": ("From a push to a block", {
        "Distributor": [
            panel("Requests by route and status", "reqps", (rate("flamelake_request_duration_seconds_count", PUSHES, by="route, status_code"), "{{route}} {{status_code}}")),
            latency("Time by route", "flamelake_request_duration_seconds", PUSHES, by="route"),
            panel("Received", "Bps", (rate("flamelake_distributor_received_bytes_total"), "uncompressed"), (rate("flamelake_request_message_bytes_sum", PUSHES), "as sent")),
            panel("Profiles and samples", "short", (rate("flamelake_distributor_received_profiles_total"), "profiles/s"), (rate("flamelake_distributor_received_samples_total"), "samples/s")),
            panel("Refused by reason", "short", (rate("flamelake_discarded_profiles_total", by="reason"), "{{reason}}"), stack=True),
            panel("Bytes in work", "bytes", (f"flamelake_distributor_inflight_bytes{N}}}", "{{instance}}"), (f"max(flamelake_distributor_inflight_bytes_max{N}}})", "bound")),
        ],
        "Log": [
            latency("Push to durable", "flamelake_journal_append_seconds"),
            latency("Sync to disk", "flamelake_journal_fsync_seconds"),
            panel("Segments and bytes", "Bps", (rate("flamelake_journal_bytes_total"), "bytes/s"), (rate("flamelake_journal_segments_total"), "segments/s")),
            panel("No block covers yet", "bytes", (f"flamelake_journal_uncovered_bytes{N}}}", "{{instance}}"), (f"max(flamelake_journal_uncovered_bytes_max{N}}})", "bound")),
            panel("Replay at a start", "s", (f"flamelake_journal_replay_seconds_sum{N}}}", "{{instance}}")),
        ],
        "Head and blocks": [
            panel("Head", "percentunit", (f"flamelake_ingester_head_bytes{N}}} / flamelake_ingester_head_bytes_max{N}}}", "{{instance}}")),
            panel("Profiles applied", "short", (rate("flamelake_ingester_profiles_total"), "applied"), (rate("flamelake_ingester_duplicates_total"), "retries seen again")),
            panel("Oldest row without a block", "s", (f"flamelake_ingester_oldest_unflushed_seconds{N}}}", "{{instance}}")),
            panel("Flushes", "short", (rate("flamelake_ingester_flushes_total"), "done"), (rate("flamelake_ingester_flush_failures_total"), "failed")),
            latency("Time of a flush", "flamelake_ingester_flush_seconds"),
            panel("Refused: head full", "short", (rate("flamelake_ingester_head_full_total"), "pushes/s")),
            panel("Commits by outcome", "short", (rate("flamelake_catalog_commits_total", by="outcome"), "{{outcome}}")),
            panel("Ids remembered", "short", (f"flamelake_ingester_dedup_ids{N}}}", "{{instance}}")),
        ],
    }),
    "reads": ("From a query to an answer", {
        "Querier": [
            panel("Queries by method and outcome", "reqps", (rate("flamelake_querier_query_seconds_count", by="method, outcome"), "{{method}} {{outcome}}")),
            latency("Time by method", "flamelake_querier_query_seconds", by="method"),
            panel("Plain routes and methods by status", "reqps", (rate("flamelake_request_duration_seconds_count", QUERIES, by="route, status_code"), "{{route}} {{status_code}}")),
            panel("Size of answers", "bytes", (quantile(0.99, "flamelake_response_message_bytes", QUERIES), "p99")),
            panel("Work", "short", (rate("flamelake_querier_blocks_total"), "blocks/s"), (rate("flamelake_querier_profiles_total"), "profiles/s"), (rate("flamelake_querier_samples_total"), "samples/s")),
            panel("Partial answers", "short", (rate("flamelake_querier_partial_answers_total"), "answers/s")),
            panel("In flight", "short", (f"sum by (route) (flamelake_inflight_requests{sel(QUERIES)})", "{{route}}")),
            latency("Reading a catalog", "flamelake_catalog_load_seconds"),
        ],
        "Recording rules": [
            panel("Behind by", "s", (f"max by (instance) (flamelake_rules_lag_seconds{N}}})", "{{instance}}"), text="After recording-rules.catch-up, an hour, values are lost."),
            panel("Samples by outcome", "short", (or_zero(rate("flamelake_rules_samples_total", by="outcome")), "{{outcome}}"), stack=True),
            panel("Windows tried again, skipped", "short", (rate("flamelake_rules_retries_total"), "tried again"), (rate("flamelake_rules_skipped_windows_total"), "skipped")),
        ],
        "Store-gateway": [
            latency("Time of a question", "flamelake_store_gateway_query_seconds"),
            panel("Blocks", "short", (rate("flamelake_store_gateway_blocks_read_total"), "answered from"), (rate("flamelake_store_gateway_blocks_opened_total"), "opened anew")),
            panel("Found in the cache", "percentunit", (f"1 - {rate('flamelake_store_gateway_blocks_opened_total')} / {rate('flamelake_store_gateway_blocks_read_total')}", "share")),
            panel("Cache", "bytes", (f"flamelake_store_gateway_cache_bytes{N}}}", "{{instance}}")),
            panel("Samples added up", "short", (rate("flamelake_store_gateway_samples_total"), "samples/s")),
            panel("Left out or missing", "short", (rate("flamelake_store_gateway_blocks_set_aside_total"), "damaged"), (rate("flamelake_store_gateway_blocks_missing_total"), "missing")),
        ],
    }),
    "ring": ("Who is a member", {
        "Members": [
            panel("Known and alive", "none", (f"flamelake_ring_members{N}}}", "known to {{instance}}"), (f"flamelake_ring_members_healthy{N}}}", "alive for {{instance}}")),
            panel("Connected to etcd", "none", (f"flamelake_ring_connected{N}}}", "{{instance}}")),
            panel("Epoch", "none", (f"flamelake_ring_epoch{N}}}", "{{instance}}")),
            panel("Last answer of etcd", "dateTimeFromNow", (f"flamelake_ring_last_contact_timestamp_seconds{N}}} * 1000", "{{instance}}")),
        ],
        "Trouble": [
            panel("Leases lost", "none", (f"flamelake_ring_leases_lost_total{N}}}", "{{instance}}")),
            panel("Registrations", "none", (f"flamelake_ring_registrations_total{N}}}", "{{instance}}")),
            panel("Lists after a watch ended", "none", (f"flamelake_ring_relists_total{N}}}", "{{instance}}")),
            panel("Lists not believed", "none", (f"flamelake_ring_snapshots_refused_total{N}}}", "{{instance}}")),
            panel("Ingesters recovered by", "none", (f"flamelake_ingester_peers_recovered_total{N}}}", "{{instance}}")),
            panel("Logs begun anew", "none", (f"flamelake_ingester_logs_reopened_total{N}}}", "{{instance}}")),
        ],
        "Calls between members": [
            panel("Requests by route and status", "reqps", (rate("flamelake_request_duration_seconds_count", by="route, status_code"), "{{route}} {{status_code}}")),
            panel("Connections", "none", (f"flamelake_tcp_connections{N}}}", "{{instance}}")),
        ],
    }),
    "compactor": ("Merging, retention, sweeping", {
        "Blocks": [
            panel("Live blocks by level", "none", (f"max by (level) (flamelake_compactor_blocks{N}}})", "level {{level}}"), stack=True),
            panel("That cannot be merged", "none", (f"max(flamelake_compactor_blocks_aside{N}}})", "blocks")),
            panel("Deleted", "short", (rate("flamelake_catalog_swept_total", by="kind"), "{{kind}}"), (rate("flamelake_compactor_blocks_expired_total"), "past retention")),
        ],
        "Merges": [
            panel("Merges by level of the result", "short", (rate("flamelake_compactor_merges_total", by="level"), "level {{level}}")),
            latency("Time of a merge", "flamelake_compactor_merge_seconds"),
            panel("Failed, lost", "short", (rate("flamelake_compactor_merge_failures_total"), "failed"), (rate("flamelake_compactor_lost_races_total"), "another was first")),
            panel("Bytes", "Bps", (rate("flamelake_compactor_merged_bytes_total", by="direction"), "{{direction}}")),
            panel("Rows", "short", (rate("flamelake_compactor_merged_rows_total", by="kind"), "{{kind}}")),
        ],
        "Cleanup": [
            panel("Tenants looked at", "short", (rate("flamelake_compactor_cleanups_total"), "done"), (rate("flamelake_compactor_cleanup_failures_total"), "failed")),
            panel("Rescued and adopted blocks", "none", (f"sum(flamelake_catalog_rescued_blocks_total{N}}})", "rescued"), (f"sum(flamelake_ingester_blocks_adopted_total{N}}})", "adopted")),
        ],
    }),
    "object-store": ("What the bucket does and costs", {
        "Requests": [
            panel("By operation", "reqps", (rate("flamelake_object_storage_request_seconds_count", by="operation"), "{{operation}}"), stack=True),
            panel("Failed after all attempts", "reqps", (or_zero(rate("flamelake_object_storage_request_seconds_count", ERRORS)), "requests/s")),
            panel("Attempts beyond the first", "reqps", (rate("flamelake_object_storage_retries_total", by="operation"), "{{operation}}")),
            panel("p99 by operation", "s", (quantile(0.99, "flamelake_object_storage_request_seconds", by="operation"), "{{operation}}")),
            panel("Bytes", "Bps", (rate("flamelake_object_storage_bytes_total", by="direction"), "{{direction}}")),
        ],
        "Cost a month at this rate, list prices of S3 ($5 a million writes and lists, $0.40 a million reads)": [
            panel("Writes and lists", "currencyUSD", (f"{rate('flamelake_object_storage_request_seconds_count', WRITES)} * 2592000 * 5 / 1e6", "a month")),
            panel("Reads", "currencyUSD", (f"{rate('flamelake_object_storage_request_seconds_count', READS)} * 2592000 * 0.4 / 1e6", "a month")),
            panel("New bytes a day", "bytes", (f"{rate('flamelake_object_storage_bytes_total', WRITTEN)} * 86400", "log and blocks")),
        ],
    }),
    "tenants": ("Who sends what", {
        "Tenants": [
            panel("Profiles by tenant", "short", (f"topk(20, {rate('flamelake_distributor_received_profiles_total', by='tenant')})", "{{tenant}}")),
            panel("Bytes by tenant", "Bps", (f"topk(20, {rate('flamelake_distributor_received_bytes_total', by='tenant')})", "{{tenant}}")),
            panel("Samples by tenant", "short", (f"topk(20, {rate('flamelake_distributor_received_samples_total', by='tenant')})", "{{tenant}}")),
            panel("Refused by tenant and reason", "short", (f"topk(20, {rate('flamelake_discarded_profiles_total', by='tenant, reason')})", "{{tenant}} {{reason}}")),
            panel("Refused bytes", "Bps", (f"topk(20, {rate('flamelake_discarded_bytes_total', by='tenant, reason')})", "{{tenant}} {{reason}}")),
            panel("Share of all bytes", "percentunit", (f"topk(20, {rate('flamelake_distributor_received_bytes_total', by='tenant')} / scalar({rate('flamelake_distributor_received_bytes_total')}))", "{{tenant}}")),
        ],
    }),
}


def grafana_panel(spec, number, x, y, width, height):
    defaults = {"unit": spec["unit"], "min": 0}
    if spec["kind"] == "stat":
        steps = [{"color": "green", "value": None}] + ([{"color": "red", "value": spec["red"]}] if spec["red"] else [])
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    else:
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "stacking": {"mode": "normal" if spec["stack"] else "none"}}
    targets = [{"refId": chr(65 + n), "expr": expr, "legendFormat": legend, "datasource": {"type": "prometheus", "uid": "$datasource"}}
               for n, (expr, legend) in enumerate(spec["queries"])]
    return {"id": number, "title": spec["title"], "description": spec["text"], "type": spec["kind"],
            "datasource": {"type": "prometheus", "uid": "$datasource"}, "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": []}, "targets": targets}


def board(name, title, rows):
    panels, y = [], 0
    for row, specs in rows.items():
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        width, height = (4, 4) if specs[0]["kind"] == "stat" else (8, 8)
        for n, spec in enumerate(specs):
            panels.append(grafana_panel(spec, len(panels) + 1, n * width % 24, y + n * width // 24 * height, width, height))
        y += -(-len(specs) * width // 24) * height
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {"name": "namespace", "type": "query", "query": "label_values(flamelake_build_info, namespace)", "includeAll": True, "allValue": ".*",
         "multi": False, "refresh": 2, "datasource": {"type": "prometheus", "uid": "$datasource"}, "current": {"text": "All", "value": "$__all"}},
    ]
    return {"uid": f"flamelake-{name}", "title": f"Flamelake / {title}", "tags": ["flamelake"], "schemaVersion": 39, "editable": True,
            "time": {"from": "now-3h", "to": "now"}, "refresh": "30s", "templating": {"list": variables}, "panels": panels,
            "links": [{"type": "dashboards", "tags": ["flamelake"], "asDropdown": True, "title": "Flamelake", "includeVars": True, "keepTime": True}]}


def files():
    """Path to text of everything that this script owns."""
    wanted = {FOLDER / f"{name}.json": json.dumps(board(name, *spec), indent=1) + "\n" for name, spec in BOARDS.items()}
    in_chart = {ROOT / "helm/flamelake/files/dashboards" / path.name: text for path, text in wanted.items()}
    in_chart |= {ROOT / "helm/flamelake/files/alerts" / path.name: path.read_text() for path in (ROOT / "deploy/alerts").glob("*.yaml")}
    return wanted | in_chart


def main():
    for path, text in files().items():
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                sys.exit(f"{path.relative_to(ROOT)} is old: run scripts/dashboards.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    main()
