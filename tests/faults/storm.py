"""A storm: thousands of alerts about hundreds of targets within a minute, and one severe alert in the midst of it.

``python -m tests.faults.storm`` plays all of it and prints the figures; ``--alerts`` and ``--groups`` make it smaller.
A real daemon with its own settings' defaults, a PostgreSQL of its own and the sandbox; what is measured is measured
from outside: answers as the sender has them, rows, the cluster's record of requests, the kernel's record of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg

from remediator.adapters.clock import SystemClock
from remediator.sandbox import scenario
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import Scene, body
from tests.faults.servers import Server
from tests.faults.stage import NAMESPACES, RULES, Kind, Target

LOOK_S = 0.1
AGAIN_S = 0.2
LATE = 0.8
"""When the severe alert comes, as a share of the storm."""
DRAIN_S = 240.0
"""Time for the daemon to decide about everything after the last alert was posted."""

FIRST_DECISIONS = """
SELECT candidate.id, candidate.severity, candidate.labels ->> 'deployment' AS name, candidate.first_seen_at,
       min(entry.seq) AS seq, min(entry.at) AS at
FROM remediator.candidates AS candidate
JOIN remediator.ledger AS entry
  ON entry.rule = candidate.rule AND entry.data ->> 'fingerprint' = candidate.fingerprint
 AND entry.kind LIKE 'decision.%'
GROUP BY candidate.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """So many alerts in so many groups, each about one target, posted over so many seconds."""

    alerts: int
    groups: int
    seconds: float

    @property
    def per_group(self) -> int:
        """Alerts in one group."""
        return self.alerts // self.groups


FULL = Size(alerts=10_000, groups=500, seconds=60.0)
GUST = Size(alerts=10_000, groups=500, seconds=3.0)
SHORT = Size(alerts=2_000, groups=100, seconds=0.5)
"""What comes at once has to wait, so only in a gust can the severe overtake anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was seen.

    ``lost``: alerts that were answered 200 and have no row, no state or no decision. ``slowest_ms`` and ``p99_ms``:
    from sending a group to its answer. ``looks``: targets that were looked at; ``read``: pods whose log the cluster was
    asked for. ``storms``: how often people were called for the storm. ``p1_s``: from the receipt of the severe alert to
    its decision; ``overtaken``: less severe ones that came before it and were decided after it. ``displaced``: by how
    many places the order of first decisions differs from that of arrival, within one severity, at most.
    """

    size: Size
    took_s: float
    drained_s: float
    answers: Counter[int]
    p99_ms: float
    slowest_ms: float
    grown_mb: float
    lost: int
    incidents: int
    writes: int
    looks: int
    read: int
    storms: int
    p1_s: float
    overtaken: int
    displaced: int


@dataclass(slots=True)
class Storm:
    """A storm under way."""

    size: Size
    scene: Scene
    daemon: Daemon
    sql: asyncpg.Connection[asyncpg.Record]
    clock: SystemClock = field(default_factory=SystemClock)
    answers: Counter[int] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)

    async def blow(self) -> float:
        """Post every group in its time and the severe alert among them; return the seconds until all were taken."""
        began = self.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(self.size.groups):
                due = began + self.size.seconds * number / self.size.groups
                group.create_task(self._post(target(number), self.size.per_group, due))
            group.create_task(self._post(self.severe, 1, began + self.size.seconds * LATE))
        return self.clock.monotonic() - began

    @property
    def severe(self) -> Target:
        """The target of the severe alert."""
        return Target(self.size.groups, Kind.RESTART)

    async def decided(self) -> bool:
        """Tell whether nothing waits for its first decision any more."""
        statement = """
            SELECT NOT EXISTS (SELECT FROM remediator.inbox)
               AND NOT EXISTS (SELECT FROM remediator.candidates WHERE tries = 0)
        """
        return bool(await self.sql.fetchval(statement))

    def memory_mb(self, name: str) -> float:
        """Return a figure of the kernel's about the daemon's memory: VmRSS now, VmHWM at most so far."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text(encoding="ascii")
        (line,) = [one for one in status.splitlines() if one.startswith(f"{name}:")]
        return int(line.split()[1]) / 1024

    async def figures(self, took_s: float, drained_s: float, before_mb: float) -> Figures:
        """Look at everything that is left behind."""
        rows = await self.sql.fetch(FIRST_DECISIONS)
        mine = next(row for row in rows if row["name"] == self.severe.name)
        milder = [row for row in rows if row["severity"] > mine["severity"]]
        waits_ms = sorted(1000 * one for one in self.waits_s)
        return Figures(
            size=self.size,
            took_s=took_s,
            drained_s=drained_s,
            answers=self.answers,
            p99_ms=statistics.quantiles(waits_ms, n=100, method="inclusive")[-1],
            slowest_ms=waits_ms[-1],
            grown_mb=self.memory_mb("VmHWM") - before_mb,
            lost=await self._lost(len(rows)),
            incidents=await self._count("incidents"),
            writes=len(self.scene.writes()),
            looks=await self._count("actions", "action = 'investigate'"),
            read=len({one.path for one in self.scene.cluster.requests if one.path.endswith("/log")}),
            storms=await self._count("ledger", "kind = 'storm'"),
            p1_s=(mine["at"] - await self._received()).total_seconds(),
            overtaken=sum(row["first_seen_at"] < mine["first_seen_at"] and row["at"] > mine["at"] for row in milder),
            displaced=displaced(rows),
        )

    async def _lost(self, decided: int) -> int:
        wanted = self.size.groups * self.size.per_group + 1
        signals = await self._count("(SELECT DISTINCT fingerprint FROM remediator.signals) AS stored", known=True)
        firing = await self._count("alerts", "status = 'firing'")
        return wanted - min(signals, firing, decided)

    async def _count(self, what: str, where: str = "true", *, known: bool = False) -> int:
        table = what if known else f"remediator.{what}"
        return int(await self.sql.fetchval(f"SELECT count(*) FROM {table} WHERE {where}"))  # noqa: S608 - our own words

    async def _received(self) -> object:
        statement = "SELECT min(received_at) FROM remediator.signals WHERE labels ->> 'deployment' = $1"
        return await self.sql.fetchval(statement, self.severe.name)

    async def _post(self, about: Target, alerts: int, due: float) -> None:
        """Post a group when its time has come, until it is taken, as Alertmanager does."""
        await asyncio.sleep(max(0.0, due - self.clock.monotonic()))
        labels = [about.labels | {"instance": f"{about.name}-{number}"} for number in range(alerts)]
        document = body(labels, self.clock.now() - timedelta(seconds=60))
        status = 0
        while status != 200:
            began = self.clock.monotonic()
            status = await self.daemon.post(self.scene.http, document)
            self.waits_s.append(self.clock.monotonic() - began)
            self.answers[status] += 1
            await asyncio.sleep(0 if status == 200 else AGAIN_S)


def target(number: int) -> Target:
    """Return what a group is about: of ten, six are to be looked at, three to be scaled, and one restarted."""
    kinds = (Kind.RESTART, *[Kind.SCALE] * 3, *[Kind.INVESTIGATE] * 6)
    return Target(number, kinds[number % len(kinds)])


def displaced(rows: list[asyncpg.Record]) -> int:
    """Return by how many places the order of first decisions differs from that of arrival, within one severity."""
    worst = 0
    for severity in {row["severity"] for row in rows}:
        came = sorted((row for row in rows if row["severity"] == severity), key=lambda row: row["id"])
        went = sorted(range(len(came)), key=lambda place: came[place]["seq"])
        worst = max(worst, *(abs(place - turn) for turn, place in enumerate(went)))
    return worst


async def play(folder: Path, size: Size) -> Figures:
    """Play a storm of that size in ``folder`` and return what was seen."""
    seed = scenario.fleet(size.groups + 1, namespace_count=NAMESPACES)
    async with Server.made(folder / "database") as server, Scene.playing(folder, server.dsn, seed) as scene:
        daemon = scene.daemon(rules=RULES)
        await daemon.start()
        sql = await asyncpg.connect(server.dsn)
        try:
            storm = Storm(size, scene, daemon, sql)
            before_mb = storm.memory_mb("VmRSS")
            took_s = await storm.blow()
            began = storm.clock.monotonic()
            await scene.until("everything is decided about", storm.decided, DRAIN_S, ledger=False)
            figures = await storm.figures(took_s, storm.clock.monotonic() - began, before_mb)
            assert await daemon.stop() == 0
            assert [line for line in daemon.lines() if line["level"] in ("error", "critical")] == []
        finally:
            await sql.close()
    return figures


def render(figures: Figures) -> str:
    """Return the figures as a few lines for people."""
    size, answers = figures.size, ", ".join(f"{status}: {count}" for status, count in sorted(figures.answers.items()))
    rows = (
        ("alerts", f"{size.alerts} in {size.groups} groups within {figures.took_s:.0f} s ({rate(figures):.0f}/s)"),
        ("lost", str(figures.lost)),
        ("answers", f"{answers}; p99 {figures.p99_ms:.0f} ms, slowest {figures.slowest_ms:.0f} ms"),
        ("all decided", f"{figures.drained_s:.1f} s after the last one was taken"),
        ("memory", f"{figures.grown_mb:.0f} MB more at most"),
        ("incidents", str(figures.incidents)),
        ("changes", f"{figures.writes}; targets looked at: {figures.looks}, pods whose log was read: {figures.read}"),
        ("people called for the storm", str(figures.storms)),
        ("a P1 in the midst", f"decided after {figures.p1_s:.2f} s, before {figures.overtaken} that came earlier"),
        ("order within a severity", f"{figures.displaced} places off at most"),
    )
    return "\n".join(["storm", *(f"  {name:<28} {value}" for name, value in rows)])


def rate(figures: Figures) -> float:
    """Return the alerts taken in a second."""
    return figures.size.alerts / figures.took_s


def faults(figures: Figures) -> list[str]:
    """Return what a storm must not do and did; nothing if all is well."""
    size = figures.size
    windows = 1 + int((figures.took_s + figures.drained_s) // 120)
    waited = figures.drained_s > 1
    wrong = (
        (figures.lost != 0, f"{figures.lost} alerts were lost"),
        (set(figures.answers) != {200}, f"answers other than 200: {dict(figures.answers)}"),
        (figures.p99_ms > 2000, f"p99 of the answers is {figures.p99_ms:.0f} ms"),
        (figures.grown_mb > 150, f"the daemon grew by {figures.grown_mb:.0f} MB"),
        (figures.incidents != size.groups + 1, f"{figures.incidents} incidents for {size.groups + 1} targets"),
        (figures.writes > 6, f"{figures.writes} changes"),
        (not 1 <= figures.looks <= 10 * windows, f"{figures.looks} targets were looked at"),
        (not 1 <= figures.read <= figures.looks + figures.writes, f"logs of {figures.read} pods were read"),
        (figures.storms != 1, f"people were called {figures.storms} times for the storm"),
        (figures.p1_s > 5, f"the P1 waited {figures.p1_s:.1f} s for its decision"),
        (waited and figures.overtaken == 0, "the P1 was decided after all that came before it"),
        (figures.displaced > 64, f"the order of arrival was left by {figures.displaced} places"),
    )
    return [what for is_so, what in wrong if is_so]


def main() -> int:
    """Play the storm that is asked for and print the figures; 1 if something was not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--alerts", type=int, default=FULL.alerts)
    parser.add_argument("--groups", type=int, default=FULL.groups)
    parser.add_argument("--seconds", type=float, default=FULL.seconds)
    options = parser.parse_args()
    size = Size(alerts=options.alerts, groups=options.groups, seconds=options.seconds)
    with tempfile.TemporaryDirectory(prefix="remediator-storm-") as folder:
        figures = asyncio.run(play(Path(folder), size))
    print(render(figures))
    wrong = faults(figures)
    for what in wrong:
        print(f"  WRONG: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
