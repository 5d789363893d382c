"""Rule files of the benchmark: some that no alert matches, and the one that restarts at once."""

from __future__ import annotations

from pathlib import Path

import yaml

from bench.bodies import ALERT, NAMESPACES

A_FILE = 1000


def write_idle_rules(folder: Path, count: int, severity: str = "P4") -> Path:
    """Write ``count`` rules for other alerts; return the folder."""
    folder.mkdir(parents=True)
    for first in range(0, count, A_FILE):
        rules = [_idle(number, severity) for number in range(first, min(count, first + A_FILE))]
        (folder / f"idle-{first:06d}.yaml").write_text(yaml.safe_dump({"rules": rules}), encoding="utf-8")
    return folder


def write_restart_rule(folder: Path, *, evidence: bool = False) -> Path:
    """Write the rule that restarts the workload of every alert of the benchmark; return the folder.

    ``evidence``: it investigates first.
    """
    folder.mkdir(parents=True)
    most = "1000/1s"
    rule = {
        "name": "bench-restart",
        "match": [f'alertname="{ALERT}"'],
        "severity": "P2",
        "mode": "enforce",
        "target": {"namespaces": list(NAMESPACES), "kinds": ["Deployment"]},
        "ladder": [*(["investigate"] if evidence else []), {"restart": {"allow_single": True}}],
        "limits": {"per_rule": most, "per_namespace": most, "per_cluster": most},
        "recover": {"for": "1m", "within": "1h"},
        "evidence": evidence,
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump({"rules": [rule]}), encoding="utf-8")
    return folder


def _idle(number: int, severity: str) -> dict[str, object]:
    return {
        "name": f"idle-{number}",
        "match": [f'alertname="SomethingElse{number:05d}"', 'severity=~"warning|critical"'],
        "severity": severity,
        "target": {"namespaces": list(NAMESPACES[:2]), "kinds": ["Deployment"]},
        "ladder": ["investigate"],
    }
