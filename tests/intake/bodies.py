"""Webhook bodies for tests, as Alertmanager writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ZERO = "0001-01-01T00:00:00Z"


def alert(**changes: Any) -> dict[str, Any]:
    """One firing alert of a crashing deployment; a change to None removes the key."""
    whole: dict[str, Any] = {
        "status": "firing",
        "labels": {
            "alertname": "KubePodCrashLooping",
            "namespace": "backstage",
            "pod": "backstage-7d9c-x2x",
            "severity": "warning",
        },
        "annotations": {"summary": 'Pod is "crash looping".', "description": "restarts: 5 in 10m"},
        "startsAt": "2026-03-01T11:55:12.123456789Z",
        "endsAt": ZERO,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up&g0.tab=1",
        "fingerprint": "2ba2d04a3cd0d36c",
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def document(*alerts: Any, **changes: Any) -> dict[str, Any]:
    """A whole version 4 document; a change to None removes the key."""
    whole: dict[str, Any] = {
        "receiver": "remediator\\.hook",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "KubePodCrashLooping"},
        "commonLabels": {"alertname": "KubePodCrashLooping", "namespace": "backstage"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="KubePodCrashLooping"}',
        "truncatedAlerts": 0,
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def compact(whole: Any) -> bytes:
    """Return the JSON text without white space, as Go writes it."""
    return json.dumps(whole, separators=(",", ":")).encode()


def body(*alerts: Any, **changes: Any) -> bytes:
    """Return the text of ``document``."""
    return compact(document(*alerts, **changes))
