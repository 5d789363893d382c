"""The stage of the table: Prometheus, Alertmanager, a sandbox cluster, a PostgreSQL to be repaired, and one daemon."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from remediator.model.entry import Entry, EntryKind
from remediator.sandbox import scenario
from remediator.sandbox.controllers.behaviour import PREFIX
from remediator.sandbox.resources import Json
from tests.acceptance.alertmanager import Alertmanager
from tests.acceptance.daemon import Daemon, clean_environment, free_port
from tests.acceptance.prometheus import alarming
from tests.acceptance.scene import ROOMY, Scene
from tests.acceptance.table.portal import Load, Portal
from tests.acceptance.table.rulefiles import alerting_rules, write_rules
from tests.adapters.databases.patient import Patient, patient

PATIENCE_S = 45.0
LOOK_S = 0.4
ROLE, LIMIT = "portal", 20
"""The application's role in the database, and how many connections it may have."""
STARTS_AFTER = {f"{PREFIX}run-after": "20s"}
"""New pods of what is scaled take so long to start: meanwhile the load goes on rising."""
LOADS = {
    "cpu-usage": ("backstage", "backstage"),
    "memory-usage": ("dev-portal", "backstage"),
    "error-rate": ("backstage", "catalog"),
    "response-time": ("dev-portal", "search"),
}


class NotSoError(AssertionError):
    """Something did not become so in time; the message says what."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """All parts, and the ledger as it was read last. ``flags``: what the daemon, and the doctor, were given."""

    scene: Scene
    portal: Portal
    sick: Patient
    alertmanager: Alertmanager
    daemon: Daemon
    flags: tuple[str, ...]
    prometheus: AsyncExitStack
    entries: Sequence[Entry] = ()
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def playing(cls, folder: Path, ledger: str, sick_dsn: str) -> AsyncIterator[Stage]:
        """Start everything, the daemon last; all of it ends with the stage."""
        alertmanager_at, prometheus_at = (f"127.0.0.1:{free_port()}" for _ in range(2))
        async with AsyncExitStack() as stack:
            scene = await stack.enter_async_context(Scene.playing(folder, ledger, seed()))
            sick = await stack.enter_async_context(patient(sick_dsn, folder))
            await _let_in(sick)
            loads = {row: Load(namespace=where, name=name) for row, (where, name) in LOADS.items()}
            # A connection of its own: it is asked whenever Prometheus scrapes.
            sql = await asyncpg.connect(sick_dsn)
            stack.push_async_callback(sql.close)
            portal = Portal(cluster=scene.cluster, sql=sql, loads=loads)
            exporter = await stack.enter_async_context(portal.listening())
            rules = write_rules(folder / "rules")
            flags = (
                *("--databases", str(_databases_file(folder, sick)), "--poll-interval", "1s", "--poll-settle", "1s"),
                *("--return-quiet", "2s", "--unknown-after", "5s", "--recent-deploy", "0s", *ROOMY),
                *("--prometheus-url", f"http://{prometheus_at}", "--alertmanager-url", f"http://{alertmanager_at}"),
            )
            daemon = scene.daemon(*flags, rules=rules)
            alertmanager = await stack.enter_async_context(
                Alertmanager.running(folder / "alertmanager", scene.http, [daemon.url], port=_port(alertmanager_at))
            )
            prometheus = await stack.enter_async_context(AsyncExitStack())
            telling = alarming(folder / "prometheus", exporter, alertmanager_at, alerting_rules(), _port(prometheus_at))
            await prometheus.enter_async_context(telling)
            for row in ("cpu-usage", "memory-usage"):
                scene.cluster.annotate("Deployment", *LOADS[row], dict(STARTS_AFTER))
            await daemon.start()
            stage = cls(
                scene=scene,
                portal=portal,
                sick=sick,
                alertmanager=alertmanager,
                daemon=daemon,
                flags=(*flags, "--rules", str(rules)),
                prometheus=prometheus,
            )
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(stage._read())
                try:
                    yield stage
                finally:
                    reading.cancel()

    async def until(self, what: str, wanted: Callable[[Sequence[Entry]], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until the ledger says so; raise NotSoError where it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted(self.entries):
                    await self._news.wait()
        except TimeoutError as error:
            raise NotSoError(f"not so after {seconds:g} s: {what}") from error

    async def level(self, row: str, severity: str) -> None:
        """Wait until the poller has told of a row at a level."""
        kinds = (EntryKind.ALERT_FIRING, EntryKind.ALERT_CHANGED)

        def told(entry: Entry) -> bool:
            labels = entry.data.get("labels") or {}
            return entry.kind in kinds and (labels.get("alertname"), labels.get("severity")) == (row, severity)

        await self.until(f"{row} is told as {severity}", lambda entries: any(map(told, entries)))

    async def rule(self, rule: str, *kinds: EntryKind, after: int = 0) -> Entry:
        """Wait until the incident of a rule has an entry of these kinds, and return the first."""

        def found() -> list[Entry]:
            mine = {one.incident for one in self.entries if one.kind is EntryKind.INCIDENT_OPENED and one.rule == rule}
            return [one for one in self.entries if one.incident in mine and one.kind in kinds and one.seq > after]

        await self.until(f"{rule}: {' or '.join(kinds)}", lambda _: bool(found()))
        return found()[0]

    async def blind(self) -> None:
        """Stop Prometheus, and wait until people are told that nothing is known any more."""
        await self.prometheus.aclose()
        before = max((one.seq for one in self.entries), default=0)

        def told(entry: Entry) -> bool:
            return entry.kind is EntryKind.MONITORING_LOST and entry.seq > before and "unreachable" in entry.summary

        await self.until("people are told that the rows are unknown", lambda entries: any(map(told, entries)))

    async def type(self, *words: str) -> tuple[int, str]:
        """Type a command as a person does; return its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "remediator", *words, "--database-url", self.scene.database),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=clean_environment(NO_COLOR="1"),
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def approve(self, rule: str) -> None:
        """Wait until a rule asks, and say yes by the command line, as Mira does."""
        asked = await self.rule(rule, EntryKind.DECISION_ASK)
        words = ("approve", f"A{asked.action}", "--as", "mira", "--reason", "users are waiting")
        code, said = await self.type(*words)
        if code != 0:
            raise NotSoError(f"{rule}: `remediator approve A{asked.action}` ended {code}: {said}")

    async def _read(self) -> None:
        while True:
            self.entries = await self.scene.entries()
            news, self._news = self._news, asyncio.Event()
            news.set()
            await asyncio.sleep(LOOK_S)


def seed() -> list[Json]:
    """Return the runbook's portal, an autoscaler for its stage, and two services more."""
    return [
        *scenario.portal(),
        scenario.autoscaler("dev-portal", "backstage", least=2, most=6),
        scenario.deployment("backstage", "catalog", replicas=2),
        scenario.deployment("dev-portal", "search", replicas=2),
    ]


async def _let_in(sick: Patient) -> None:
    """Have a role for the application whose limit may be raised."""
    if not await sick.sql.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
        await sick.sql.execute(f"CREATE ROLE {ROLE} LOGIN")
    await sick.sql.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT {LIMIT}")
    await sick.sql.execute("INSERT INTO remediator_limits.allowed VALUES ('role', $1, 200)", ROLE)


def _databases_file(folder: Path, sick: Patient) -> Path:
    """Write down where the database is that may be repaired."""
    entry = sick.entry
    place = folder / "databases.toml"
    words = {
        "name": "backstage",
        "workload": entry.workload,
        "host": entry.host,
        "database": entry.database,
        "user": entry.user,
        "password_file": str(entry.password_file),
        "tls": "off",
        "memory": "4GiB",
    }
    lines = ["[[database]]", f"port = {entry.port}", *(f'{key} = "{value}"' for key, value in words.items())]
    place.write_text("\n".join(lines) + "\n", "utf-8")
    sick.password.chmod(0o600)
    return place


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
