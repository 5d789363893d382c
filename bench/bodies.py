"""Alertmanager bodies (version 4) such as a usual kube-prometheus installation causes, each alert unlike all others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

NAMESPACES = tuple(f"team-{number:02d}" for number in range(10))
ALERT = "BenchPodCrashLooping"
FINGERPRINT_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The alerts of one run. ``run`` goes into every identity, so that runs never meet; ``per_body``: alerts a body."""

    run: str
    starts_at: datetime
    per_body: int = 1


def workload(number: int) -> tuple[str, str]:
    """Return namespace and name of the Deployment that alert ``number`` is about; no two have the same."""
    return NAMESPACES[number % len(NAMESPACES)], f"svc-{number:06d}"


def fingerprint(run: str, number: int) -> str:
    """Return the identity of an alert: 16 hex digits, as every fingerprint of Alertmanager."""
    return hashlib.blake2b(f"{run}/{number}".encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def alert(series: Series, number: int) -> str:
    """Return one firing alert as JSON text."""
    namespace, name = workload(number)
    mark = fingerprint(series.run, number)
    pod = f"{name}-{mark[:9]}-{mark[9:14]}"
    labels = (
        f'{{"alertname":"{ALERT}","container":"app","deployment":"{name}","endpoint":"http",'
        f'"instance":"10.42.{number // 200 % 200}.{number % 200}:8080","job":"kube-state-metrics",'
        f'"namespace":"{namespace}","pod":"{pod}","prometheus":"monitoring/k8s","reason":"CrashLoopBackOff",'
        f'"run":"{series.run}","service":"kube-state-metrics","severity":"warning","uid":"{mark}"}}'
    )
    annotations = (
        f'{{"description":"Pod {namespace}/{pod} (app) waits in \\"CrashLoopBackOff\\" since five minutes.",'
        f'"runbook_url":"https://runbooks.example.com/common-incidents#crash-looping",'
        f'"summary":"A pod crashes again and again.","value":"{number % 100}"}}'
    )
    return (
        f'{{"status":"firing","labels":{labels},"annotations":{annotations},'
        f'"startsAt":"{series.starts_at:%Y-%m-%dT%H:%M:%S.%fZ}","endsAt":"0001-01-01T00:00:00Z",'
        f'"generatorURL":"http://prometheus.monitoring:9090/graph?g0.expr=max_over_time%28restarts%5B5m%5D%29&g0.tab=1",'
        f'"fingerprint":"{mark}"}}'
    )


def body(series: Series, number: int) -> bytes:
    """Return the whole body ``number``: the alerts from ``number * per_body`` on."""
    first = number * series.per_body
    alerts = ",".join(alert(series, first + place) for place in range(series.per_body))
    group = f'{{"alertname":"{ALERT}"}}'
    text = (
        f'{{"receiver":"remediator","status":"firing","alerts":[{alerts}],"groupLabels":{group},'
        f'"commonLabels":{group},"commonAnnotations":{{"summary":"A pod crashes again and again."}},'
        f'"externalURL":"http://alertmanager.monitoring:9093","version":"4",'
        f'"groupKey":"{{}}/{{run=\\"{series.run}\\"}}:{{body=\\"{number}\\"}}","truncatedAlerts":0}}'
    )
    return text.encode()
