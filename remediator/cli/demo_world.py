"""The world of the demo: the sandbox's portal, and a monitoring that posts what Alertmanager would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from remediator import __version__
from remediator.ports.clock import Clock
from remediator.sandbox.cluster import SandboxCluster

LOOK_S = 0.25
REPEAT_S = 5.0
WEBHOOK = "/api/v1/webhooks/alertmanager"
NEVER = "0001-01-01T00:00:00Z"
RUNBOOK = "https://runbooks.example.com/common-incidents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One alert: it fires while ``sick`` says so. ``name`` is the alert's, the workload is a Deployment."""

    name: str
    namespace: str
    workload: str
    summary: str
    sick: Callable[[SandboxCluster], bool]

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that Prometheus would give it."""
        return {
            "alertname": self.name,
            "namespace": self.namespace,
            "deployment": self.workload,
            "severity": "critical",
            "prometheus": "monitoring/k8s",
        }


def not_available(namespace: str, workload: str) -> Callable[[SandboxCluster], bool]:
    """Return the expression of the alert: fewer pods available than wanted."""

    def sick(cluster: SandboxCluster) -> bool:
        found = cluster.workload("Deployment", namespace, workload)
        return bool(found["status"].get("availableReplicas", 0) < found["spec"]["replicas"])

    return sick


@dataclass(slots=True, kw_only=True)
class Monitoring:
    """Looks at the cluster and posts firing and resolved alerts in Alertmanager's version 4 form, repeats included."""

    cluster: SandboxCluster
    clock: Clock
    http: aiohttp.ClientSession
    url: str
    token: str
    told: Callable[[str], None]
    _since: dict[str, datetime] = field(default_factory=dict)
    _posted: dict[str, float] = field(default_factory=dict)

    async def run(self, watches: tuple[Watch, ...], until: Callable[[], bool]) -> None:
        """Look and post until told that it is enough."""
        while not until():
            for watch in watches:
                await self._look(watch)
            await self.clock.sleep(LOOK_S)

    async def _look(self, watch: Watch) -> None:
        key = f"{watch.name}/{watch.namespace}"
        since, now = self._since.get(key), self.clock.monotonic()
        if watch.sick(self.cluster):
            if since is None:
                self._since[key] = since = self.clock.now()
                self.told(f"{watch.name} fires: {watch.summary}")
            if now - self._posted.get(key, -REPEAT_S) >= REPEAT_S:
                await self._post(watch, since, None)
                self._posted[key] = now
        elif since is not None:
            self.told(f"{watch.name} is resolved: all pods of {watch.workload} in {watch.namespace} are available")
            await self._post(watch, since, self.clock.now())
            self._since.pop(key)
            self._posted.pop(key, None)

    async def _post(self, watch: Watch, starts: datetime, ends: datetime | None) -> None:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": f"remediator-demo/{__version__}",
        }
        body = webhook_body(watch, starts, ends)
        async with self.http.post(self.url + WEBHOOK, json=body, headers=headers) as answer:
            if not answer.ok:
                raise DemoFailed(f"the webhook answered {answer.status}: {(await answer.text())[:300]}")


class DemoFailed(Exception):
    """Something in the demo did not happen as it must; the message says what."""


def webhook_body(watch: Watch, starts: datetime, ends: datetime | None) -> dict[str, Any]:
    """Return what Alertmanager 0.34 posts for a group of this one alert."""
    status = "resolved" if ends else "firing"
    alert = {
        "status": status,
        "labels": watch.labels,
        "annotations": {"summary": watch.summary, "runbook_url": RUNBOOK},
        "startsAt": _rfc3339(starts),
        "endsAt": _rfc3339(ends) if ends else NEVER,
        "generatorURL": "http://prometheus.monitoring:9090/graph?g0.expr=demo",
        "fingerprint": "",
    }
    group = {"alertname": watch.name, "namespace": watch.namespace}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{watch.name}", namespace="{watch.namespace}"}}',
        "truncatedAlerts": 0,
        "receiver": "remediator",
        "status": status,
        "notification_reason": "first notification",
        "groupLabels": group,
        "commonLabels": watch.labels,
        "commonAnnotations": alert["annotations"],
        "routeLabels": {},
        "externalURL": "http://alertmanager.monitoring:9093",
        "alerts": [alert],
    }


async def within(seconds: float, clock: Clock, wanted: Callable[[], Awaitable[bool]]) -> bool:
    """Ask again and again whether something is so, for ``seconds`` at most."""
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        if await wanted():
            return True
        await clock.sleep(LOOK_S)
    return False


def _rfc3339(moment: datetime) -> str:
    return (moment - timedelta(microseconds=moment.microsecond % 1000)).isoformat().replace("+00:00", "Z")
