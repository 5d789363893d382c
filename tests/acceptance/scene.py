"""A stage for the acceptance tests: sandbox cluster, database, ledger, daemons, and the oracle that judges them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.marks import ACTION
from remediator.cli import lines
from remediator.cli.paint import Paint
from remediator.desk import Desk, open_desk
from remediator.model.entry import Entry, EntryKind
from remediator.model.incident import IncidentState
from remediator.ports.ledger import LedgerQuery
from remediator.sandbox import scenario
from remediator.sandbox.calls import Call
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from remediator.sandbox.requestlog import RequestRecord
from remediator.sandbox.resources import Json
from tests.acceptance.daemon import Daemon

PATIENCE_S = 45.0
LOOK_S = 0.1
CRASH = "crash-until-restarted"
BACKSTAGE = {"alertname": "BackstageDown", "namespace": "backstage", "deployment": "backstage", "severity": "critical"}
# Many targets at once are no storm, and all of them may be changed.
CROWDS = (
    *("--blast-namespace-percent", "100", "--blast-cluster-percent", "100"),
    *("--storm", "1000/2m", "--storm-percent", "100"),
)
# Everything that would keep one alert from being acted on at once.
ROOMY = (
    *("--spacing", "0s", "--open-per-namespace", "1000", "--open-per-cluster", "1000"),
    *("--cluster-burst", "1000/10m", "--cluster-hourly", "1000/1h"),
    *CROWDS,
    *("--quarantine", "1000/24h", "--masking", "1000/6h"),
)


@dataclass(slots=True, kw_only=True)
class Scene:
    """The cluster, its kubeconfig, the database that the daemons share, and their ledger."""

    folder: Path
    cluster: SandboxCluster
    database: str
    http: aiohttp.ClientSession
    _stack: AsyncExitStack
    _desk: Desk | None = None

    @classmethod
    @asynccontextmanager
    async def playing(cls, folder: Path, database: str, seed: Sequence[Json] | None = None) -> AsyncIterator[Scene]:
        """Run a cluster (the runbook's portal unless told otherwise) at rest; daemons end with the scene."""
        async with (
            SandboxCluster.running(seed=scenario.portal() if seed is None else seed) as cluster,
            AsyncExitStack() as stack,
        ):
            await cluster.settle()
            http = await stack.enter_async_context(aiohttp.ClientSession())
            yield cls(folder=folder, cluster=cluster, database=database, http=http, _stack=stack)

    def daemon(self, *flags: str, name: str = "daemon", rules: Path | None = None) -> Daemon:
        """Return a daemon on this database and cluster, not started yet."""
        more = {} if rules is None else {"rules": rules}
        words = ["--kubeconfig", str(self.cluster.kubeconfig_path), *flags]
        words += ["--database-url", self.database] if self.database else []
        made = Daemon(self.folder / name, words, **more)
        self._stack.push_async_callback(made.clear_away)
        return made

    async def desk(self) -> Desk:
        """Return the ledger, opened at the first use."""
        if self._desk is None:
            self._desk = await self._stack.enter_async_context(open_desk({"database_url": self.database}))
        return self._desk

    async def entries(self, *kinds: EntryKind, incident: int | None = None) -> list[Entry]:
        """Return the ledger's entries of these kinds (none: all), oldest first."""
        desk = await self.desk()
        found = await desk.view.entries(LedgerQuery(limit=5000, incident=incident))
        return [entry for entry in found if not kinds or entry.kind in kinds]

    async def kinds(self) -> Counter[EntryKind]:
        """Return how many entries of each kind the ledger has."""
        return Counter(entry.kind for entry in await self.entries())

    async def until(
        self, what: str, wanted: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_S, *, ledger: bool = True
    ) -> None:
        """Wait until something is so; fail (with the ledger, unless it cannot be read) where it does not become so."""
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while not await wanted():
            if clock.monotonic() >= end:
                state = await self._state() if ledger else ""
                raise AssertionError(f"not so after {seconds:g} s: {what}\n{state}")
            await asyncio.sleep(LOOK_S)

    async def until_kind(self, kind: EntryKind, count: int = 1, seconds: float = PATIENCE_S) -> None:
        """Wait until the ledger has at least so many entries of a kind."""

        async def enough() -> bool:
            return (await self.kinds())[kind] >= count

        await self.until(f"{count} times {kind}", enough, seconds)

    async def until_resolved(self, count: int = 1, seconds: float = PATIENCE_S) -> None:
        """Wait until so many incidents are resolved, and none is open."""

        async def ended() -> bool:
            found = await (await self.desk()).view.incidents(open_only=False, limit=1000)
            return len(found) == count and all(one.state is IncidentState.RESOLVED for one in found)

        await self.until(f"{count} incidents, all of them resolved", ended, seconds)

    def writes(self) -> list[RequestRecord]:
        """Return every request that asked the cluster for a change, refused ones too, as the cluster recorded them."""
        return [write for write in self.cluster.requests.writes() if "/authorization.k8s.io/" not in write.path]

    async def joined(self, count: int) -> list[str]:
        """Check the cluster's record against the ledger, one to one, and return the paths written, oldest first.

        Each of ``count`` writes was stored, carries the id of an action of its own, and that action, on that very
        object, is in the ledger as sent once.
        """
        writes = self.writes()
        assert [write.status for write in writes] == [200] * count, [(w.path, w.status) for w in writes]
        marks = [write.body["metadata"]["annotations"][ACTION] for write in writes]
        desk = await self.desk()
        sent = await self.entries(EntryKind.ACTION_DISPATCHED)
        rows = [await desk.view.action(entry.action) for entry in sent if entry.action is not None]
        recorded = {row["id"]: row["target"]["name"] for row in rows if row is not None}
        assert len(sent) == len(set(marks)) == count
        assert recorded == {mark: write.path.rpartition("/")[2] for mark, write in zip(marks, writes, strict=True)}
        return [write.path for write in writes]

    async def make_ill(self, namespace: str, name: str, behaviour: str = CRASH) -> None:
        """Let a Deployment's pods fail from now on, and wait until that shows."""
        self.cluster.annotate("Deployment", namespace, name, {BEHAVIOUR: behaviour})
        await self.cluster.settle(lambda: not self.well(namespace, name))

    def well(self, namespace: str, name: str) -> bool:
        """Tell whether all pods of a Deployment are available."""
        found = self.cluster.workload("Deployment", namespace, name)
        return bool(found["status"].get("availableReplicas", 0) == found["spec"]["replicas"])

    async def _state(self) -> str:
        ledger = [lines.line(entry, Paint(on=False)) for entry in (await self.entries())[-60:]]
        return "\n".join(["the ledger:", *ledger])


@dataclass
class Stall:
    """Stands before the API and holds the writes to one namespace: before they are stored, or their answers after it.

    As long as ``seconds`` says; a client that goes away ends the wait. Dry runs pass.
    """

    namespace: str
    stored: bool
    seconds: float = 3600.0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, call: Call, proceed: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Pass everything else on."""
        if call.method != "PATCH" or call.dry_run or f"/namespaces/{self.namespace}/" not in call.path:
            return await proceed()
        response = await proceed() if self.stored else None
        self.held.set()
        await asyncio.sleep(self.seconds)
        return response or await proceed()


def app_alert(number: int, namespace_count: int = 5) -> dict[str, str]:
    """Return the labels of the alert about one application of ``scenario.fleet``."""
    return {"alertname": "AppDown", "namespace": f"team-{number % namespace_count}", "deployment": f"app-{number}"}


def body(alerts: Iterable[Mapping[str, str]], since: datetime, *, resolved: datetime | None = None) -> dict[str, Any]:
    """Return a webhook body as Alertmanager writes it, for where no Alertmanager stands between."""
    status = "firing" if resolved is None else "resolved"
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "receiver": "remediator",
        "status": status,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.monitoring:9093",
        "alerts": [
            {
                "status": status,
                "labels": dict(labels),
                "annotations": {},
                "startsAt": since.isoformat(),
                "endsAt": "0001-01-01T00:00:00Z" if resolved is None else resolved.isoformat(),
                "generatorURL": "",
                "fingerprint": "",
            }
            for labels in alerts
        ],
    }
