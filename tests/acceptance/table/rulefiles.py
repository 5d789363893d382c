"""The shipped rules with the patience of an acceptance run, and alerting rules for Prometheus that say the same.

Expressions, thresholds, matchers, targets and ladders are the shipped ones; only spans are shorter, limits wider, and
the rows act. What a row keeps of being asked (the database's mode is ask) it keeps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path("rules")
RANGE = "4s"
"""In place of five minutes: sixteen scrapes."""
FOR, CALM, WITHIN = "2s", "2s", "90s"
LENT = "1s"
WIDE = {
    "cooldown": "1s",
    "per_target": "20/1h",
    "per_rule": "20/1h",
    "per_namespace": "100/1h",
    "per_cluster": "100/1h",
}
ALERTS = {
    "cpu-usage": ("HighCPUUsage", "kube-prometheus"),
    "memory-usage": ("HighMemoryUsage", "kube-prometheus"),
    "error-rate": ("HighErrorRate", "istio"),
    "response-time": ("HighLatency", "istio"),
    "database-connections": ("PostgreSQLHighConnections", "postgres-exporter"),
}
"""Of each row the alert of Prometheus that means the same, and the source whose series the exporter has."""

Json = dict[str, Any]


def write_rules(folder: Path) -> Path:
    """Write the rule files, and return their folder."""
    folder.mkdir()
    for name in ("thresholds.yaml", "common-incidents.yaml"):
        document = yaml.safe_load((SHIPPED / name).read_text("utf-8"))
        for entry in document.get("thresholds", []):
            _hasten_row(entry)
        for entry in document.get("rules", []):
            _hasten(entry)
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False, width=200), "utf-8")
    return folder


def alerting_rules() -> str:
    """Return what Prometheus itself alerts of: each row at warning and at critical, by the row's own expression."""
    rows = {one["name"]: one for one in yaml.safe_load((SHIPPED / "thresholds.yaml").read_text("utf-8"))["thresholds"]}
    rules = []
    for name, (alert, source) in ALERTS.items():
        assert alert in rows[name]["alerts"], f"{name} does not match {alert}"
        [expr] = [one["expr"] for one in rows[name]["sources"] if one["name"] == source]
        for severity in ("warning", "critical"):
            over = f"({_nearer(expr)}) >= {rows[name][severity]}"
            rules.append({"alert": alert, "expr": over, "for": "1s", "labels": {"severity": severity}})
    return yaml.safe_dump({"groups": [{"name": "table", "rules": rules}]}, width=1000)


def _hasten_row(row: Json) -> None:
    for source in row["sources"]:
        source["expr"] = _nearer(source["expr"])
    row["for"] = FOR
    if row.get("mode") != "ask":
        row["mode"] = "enforce"
    _hasten(row)


def _hasten(entry: Json) -> None:
    entry["recover"] = {**entry.get("recover", {}), "for": CALM, "within": WITHIN}
    entry["limits"] = WIDE
    for rung in entry["ladder"]:
        action = rung if isinstance(rung, dict) else {}
        for name in ("scale", "raise_connections"):
            if name in action:
                action[name] = {**action[name], "return_after": LENT}


def _nearer(expr: str) -> str:
    return str(expr).replace("[5m]", f"[{RANGE}]")
