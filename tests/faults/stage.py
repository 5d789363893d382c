"""The stage of the fault tests: a fleet in the sandbox, people who are told, and replicas behind fault proxies.

The oracle is never what the daemon says of itself: changes are counted in the cluster's own record of requests,
evidence in its table, messages where they arrive.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import asyncpg
import yaml
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox import scenario
from remediator.sandbox.resources import REPLICA_SETS, Json
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import ROOMY, Scene, body
from tests.faults.http_proxy import HttpProxy
from tests.faults.points import Meeting, Point, nothing
from tests.faults.postgres_proxy import PostgresProxy

RULES = Path(__file__).with_name("rules")
NAMESPACES = 5
OTHERS = 6


class Kind(StrEnum):
    """The kinds of actions, by the alert that asks for one."""

    RESTART = "RestartIt"
    SCALE = "ScaleIt"
    INVESTIGATE = "LookAtIt"
    NOTIFY = "TellOfIt"


@dataclass(frozen=True, slots=True)
class Target:
    """One application, and the alert about it."""

    number: int
    kind: Kind

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return f"team-{self.number % NAMESPACES}"

    @property
    def name(self) -> str:
        """The name of its Deployment."""
        return f"app-{self.number}"

    @property
    def path(self) -> str:
        """The end of its path in the API."""
        return f"/namespaces/{self.namespace}/deployments/{self.name}"

    @property
    def key(self) -> str:
        """What the ledger calls it."""
        return f"deployment/{self.namespace}/{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the alert."""
        return {"alertname": self.kind.value, "namespace": self.namespace, "deployment": self.name}


@dataclass(slots=True)
class Replica:
    """One daemon whose every word to the outside goes through a proxy. ``meet`` is asked at each point of it."""

    daemon: Daemon
    meet: Meeting = nothing

    async def pass_on(self, point: Point) -> None:
        """Ask whoever watches now."""
        await self.meet(point)


@dataclass(slots=True)
class People:
    """Whom the daemons tell: counts the messages by their key, and forgets none."""

    heard: Counter[str] = field(default_factory=Counter)
    about: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        """Take one message."""
        key = request.headers["Idempotency-Key"]
        self.heard[key] += 1
        self.about[key] = json.loads(await request.read())["target"]
        return web.Response(status=204)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[People]:
        """Listen on a free port of the loopback interface."""
        app = web.Application()
        app.router.add_post("/people", self.hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


def fleet(apps: int) -> list[Json]:
    """Return ``apps`` applications, among so many others, switched off, that alerts about all of them are no storm."""
    others = [
        scenario.deployment(f"team-{number % NAMESPACES}", f"other-{number}", replicas=0)
        for number in range(apps * OTHERS)
    ]
    return [*scenario.fleet(apps, namespace_count=NAMESPACES), *others]


@dataclass(slots=True)
class Stage:
    """Everything that a fault test touches. ``sql`` speaks with the database past every proxy."""

    scene: Scene
    people: People
    sql: asyncpg.Pool[asyncpg.Record]
    _stack: AsyncExitStack

    @classmethod
    @asynccontextmanager
    async def playing(cls, folder: Path, database: str, *, apps: int) -> AsyncIterator[Stage]:
        """Set up a fleet of ``apps`` applications at rest; daemons end before it does."""
        seed = fleet(apps)
        async with (
            Scene.playing(folder, database, seed) as scene,
            People().listening() as people,
            AsyncExitStack() as stack,
        ):
            sql = await stack.enter_async_context(asyncpg.create_pool(database, min_size=1, max_size=4))
            yield cls(scene, people, sql, stack)

    async def replica(self, name: str, *flags: str) -> Replica:
        """Return a daemon behind proxies of its own, not started yet."""
        scene, replica = self.scene, Replica.__new__(Replica)
        replica.meet = nothing
        api = await self._stack.enter_async_context(HttpProxy(scene.cluster.url, replica.pass_on).running())
        people = await self._stack.enter_async_context(HttpProxy(self.people.url, replica.pass_on).running())
        database = await self._stack.enter_async_context(PostgresProxy(scene.database, replica.pass_on).running())
        folder = scene.folder / name
        folder.mkdir()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(yaml.safe_dump(scene.cluster.server.kubeconfig(api.url)), encoding="utf-8")
        words = [
            "--kubeconfig",
            str(kubeconfig),
            "--database-url",
            database.dsn,
            "--notify-url",
            f"{people.url}/people",
        ]
        replica.daemon = Daemon(folder, [*words, *ROOMY, "--action-lease", "20s", *flags], rules=RULES)
        self._stack.push_async_callback(replica.daemon.clear_away)
        return replica

    async def fire(self, replica: Replica, *targets: Target, since: datetime | None = None) -> int:
        """Post the alerts about these targets in one body and return the status."""
        return await replica.daemon.post(
            self.scene.http, body((one.labels for one in targets), since or SystemClock().now())
        )

    async def resolve(self, replica: Replica, *targets: Target, since: datetime) -> int:
        """Post that the alerts about these targets are over."""
        now = SystemClock().now()
        return await replica.daemon.post(self.scene.http, body((one.labels for one in targets), since, resolved=now))

    async def effects(self, target: Target) -> int:
        """Count what was truly done to or about a target."""
        match target.kind:
            case Kind.RESTART | Kind.SCALE:
                return self.changes(target)
            case Kind.INVESTIGATE:
                statement = "SELECT count(*) FROM remediator.evidence WHERE target_key = $1"
                return int(await self.sql.fetchval(statement, target.key))
            case Kind.NOTIFY:
                return sum(1 for about in self.people.about.values() if about == target.key)

    def changes(self, target: Target) -> int:
        """Count the writes to a target that the cluster stored."""
        return sum(1 for write in self.scene.writes() if write.changed and write.path.endswith(target.path))

    def shape(self, target: Target) -> tuple[int, int]:
        """Return how often its pods were replaced, and how many pods it wants."""
        found = self.scene.cluster.workload("Deployment", target.namespace, target.name)
        sets = self.scene.cluster.store.list(REPLICA_SETS, target.namespace)
        mine = sum(1 for one in sets if one["metadata"]["labels"]["app"] == target.name)
        return mine - 1, int(found["spec"]["replicas"])

    async def ended(self, targets: Sequence[Target]) -> list[Target]:
        """Return those of the targets whose incident is resolved."""
        rows = await self.sql.fetch(
            "SELECT target_key FROM remediator.incidents GROUP BY target_key HAVING bool_and(state = 'resolved')"
        )
        over = {row["target_key"] for row in rows}
        return [one for one in targets if one.key in over]

    async def told(self, target: Target) -> list[tuple[EntryKind, tuple[str, ...]]]:
        """Return what the ledger says of a target: kinds and reasons, oldest first."""
        entries = await self.scene.entries()
        return [(entry.kind, entry.reasons) for entry in entries if entry.target_key == target.key]

    async def until(self, what: str, wanted: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until something is so, and fail with the ledger's end where it does not become so."""
        await self.scene.until(what, wanted, seconds)
