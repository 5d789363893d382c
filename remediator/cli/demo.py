"""``remediator demo``: the whole thing at work on one machine, with nothing to set up.

A cluster in a box breaks three times; its monitoring posts what Alertmanager would post; the daemon, a process of its
own with an embedded PostgreSQL, investigates, acts, verifies or refuses. The demo believes nothing: at the end it
compares the ledger with the cluster's own record of what was written, and fails if either is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from remediator.cli import lines
from remediator.cli.demo_daemon import LOG, DemoDaemon, troubles
from remediator.cli.demo_world import DemoFailed, Monitoring, Watch, not_available, within
from remediator.cli.endings import leaves
from remediator.cli.exits import Exit
from remediator.cli.paint import Paint, paint_for, safe
from remediator.desk import Desk, open_desk
from remediator.model.entry import Entry, EntryKind
from remediator.model.errors import RemediatorError
from remediator.model.incident import IncidentState
from remediator.ports.ledger import LedgerQuery
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.controllers.behaviour import BEHAVIOUR

PATIENCE_S = 90.0
BATCH = 500
CRASH = "crash-until-restarted"
STUBBORN = "crash-until-scaled:4"
OPT_OUT = "remediator.io/opt-out"
WRITES = {0: "nothing was written to the cluster", 1: "one write to the cluster, and it is in the ledger"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep database, rules and log in this new folder")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 only if all three incidents ended as they must."""
    if args.keep is None:
        with tempfile.TemporaryDirectory(prefix="remediator-demo-") as folder:
            code = _run_in(Path(folder))
        if code == Exit.OK:
            print(
                "\nNothing of this run is kept; remediator demo --keep DIR keeps one to look into (docs/tutorial.md)."
            )
        return code
    try:
        args.keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        print(f"remediator: --keep {args.keep}: {error.strerror}; give a new folder", file=sys.stderr)
        return Exit.FAULTY
    code = _run_in(args.keep.absolute())
    if code == Exit.OK:
        print(f"\nKept in {args.keep}. Ask it why: remediator explain 3 --state-dir {args.keep / 'state'}")
    return code


def _run_in(folder: Path) -> int:
    paint = paint_for(sys.stdout)
    code = Exit.OK
    try:
        asyncio.run(Demo(folder, paint).run())
    except* (DemoFailed, RemediatorError, OSError) as group:
        code = Exit.FAILED
        for error in leaves(group):
            print(paint(f"\nThe demo failed: {error}", "red", "bold"), file=sys.stderr)
        for line in troubles(folder / LOG):
            print(f"  {safe(line)}", file=sys.stderr)
        print("remediator demo --keep DIR keeps the ledger and the daemon's whole log", file=sys.stderr)
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One incident: how it begins, what is watched, and what must be true of it when it is over."""

    title: str
    begin: Callable[[SandboxCluster], None]
    watch: Watch
    over: Callable[[Desk, int], Awaitable[bool]]
    must: tuple[EntryKind, ...]
    writes: tuple[int, int]


class Demo:
    """One run, in one folder."""

    def __init__(self, folder: Path, paint: Paint) -> None:
        """Nothing is started yet."""
        self.folder = folder
        self.paint = paint
        self.printed = 0

    async def run(self) -> None:
        """Start everything, play the three acts, check, and print the ledger last."""
        self._say("Starting a cluster in a box, an embedded PostgreSQL and the daemon ...")
        async with SandboxCluster.running(seed=scenario.portal()) as cluster:
            await cluster.settle(cluster.all_rolled_out)
            daemon = DemoDaemon(self.folder)
            async with daemon.running(cluster) as url:
                self._say(f"Cluster {cluster.url}, daemon {url}, log {daemon.log}\n")
                entries = await self._three_acts(cluster, daemon, url)
                await daemon.end()
        self._say("\nAll three incidents ended as they must. The ledger, as `remediator log` shows it:\n")
        print(self.paint(lines.HEAD, "bold"))
        for entry in entries:
            print(lines.line(entry, self.paint))

    async def _three_acts(self, cluster: SandboxCluster, daemon: DemoDaemon, url: str) -> list[Entry]:
        """Play the acts and return the ledger of their incidents."""
        print(self.paint(lines.HEAD, "bold"))
        async with open_desk({"state_dir": daemon.state_dir}) as desk, aiohttp.ClientSession() as http:
            monitoring = Monitoring(
                cluster=cluster, clock=desk.clock, http=http, url=url, token=daemon.token, told=self._aside
            )
            for number, act in enumerate(ACTS, 1):
                await self._play(number, act, monitoring, desk)
            entries: list[Entry] = []
            for number in range(1, len(ACTS) + 1):
                entries += await desk.view.entries(LedgerQuery(incident=number, limit=BATCH))
            return sorted(entries, key=lambda entry: entry.seq)

    async def _play(self, number: int, act: Act, monitoring: Monitoring, desk: Desk) -> None:
        self._say(f"\n{number}. {act.title}")
        cluster = monitoring.cluster
        before = len(cluster.requests.writes())
        act.begin(cluster)
        done = False

        def enough() -> bool:
            return done

        async def ended() -> bool:
            await self._print_new(desk)
            return await act.over(desk, number)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(monitoring.run((act.watch,), enough), name="monitoring")
            if not await within(PATIENCE_S, desk.clock, ended):
                raise DemoFailed(f"act {number} ({act.title}) did not end within {PATIENCE_S:.0f} s")
            done = True
        await self._print_new(desk)
        await self._check(number, act, desk, len(cluster.requests.writes()) - before)

    async def _check(self, number: int, act: Act, desk: Desk, writes: int) -> None:
        """Compare what the ledger says with what the act must come to, and with the cluster's own record."""
        entries = await desk.view.entries(LedgerQuery(incident=number, limit=BATCH))
        kinds = [entry.kind for entry in entries]
        missing = [kind.value for kind in act.must if kind not in kinds]
        if missing:
            raise DemoFailed(f"the ledger of incident {number} lacks {', '.join(missing)}")
        least, most = act.writes
        applied = sum(1 for entry in entries if entry.kind is EntryKind.ACTION_DISPATCHED)
        if not least <= writes <= most or writes != applied:
            raise DemoFailed(f"incident {number}: {writes} writes reached the cluster, {applied} are in the ledger")
        told = WRITES.get(writes, f"{writes} writes to the cluster, each of them in the ledger")
        self._say(self.paint(f"   as it must be: {told}", "green"))

    async def _print_new(self, desk: Desk) -> None:
        query = LedgerQuery(after=self.printed, limit=BATCH) if self.printed else LedgerQuery(limit=BATCH)
        for entry in await desk.view.entries(query):
            print(lines.line(entry, self.paint), flush=True)
            self.printed = entry.seq

    def _say(self, text: str) -> None:
        print(self.paint(text, "bold"), flush=True)

    def _aside(self, text: str) -> None:
        print(self.paint(f"{'':<19}  (monitoring: {text})", "dim"), flush=True)


async def _resolved(desk: Desk, number: int) -> bool:
    incident = await desk.view.incident(number)
    return incident is not None and incident.state is IncidentState.RESOLVED


async def _with_people(desk: Desk, number: int) -> bool:
    entries = await desk.view.entries(LedgerQuery(incident=number, limit=BATCH))
    return any(entry.kind is EntryKind.NOTIFIED for entry in entries)


def _break(namespace: str, name: str, behaviour: str) -> Callable[[SandboxCluster], None]:
    """Return what makes the pods of a Deployment crash from now on: a bad configuration reaches all of them."""

    def begin(cluster: SandboxCluster) -> None:
        cluster.annotate("Deployment", namespace, name, {BEHAVIOUR: behaviour})

    return begin


def _break_the_protected(cluster: SandboxCluster) -> None:
    cluster.annotate("Deployment", "backstage", "postgres", {BEHAVIOUR: CRASH, OPT_OUT: "true"})


ACTS = (
    Act(
        title="The portal crashes. The runbook says: investigate, restart. A restart cures it.",
        begin=_break("backstage", "backstage", CRASH),
        watch=Watch(
            name="BackstageDown",
            namespace="backstage",
            workload="backstage",
            summary="the portal answers 503",
            sick=not_available("backstage", "backstage"),
        ),
        over=_resolved,
        must=(
            EntryKind.EVIDENCE,
            EntryKind.DECISION_ACT,
            EntryKind.ACTION_APPLIED,
            EntryKind.ACTION_VERIFIED,
            EntryKind.INCIDENT_RESOLVED,
        ),
        writes=(1, 1),
    ),
    Act(
        title="The development portal crashes. A restart does not help this time; the next rung scales it up.",
        begin=_break("dev-portal", "backstage", STUBBORN),
        watch=Watch(
            name="BackstageDown",
            namespace="dev-portal",
            workload="backstage",
            summary="the development portal answers 503",
            sick=not_available("dev-portal", "backstage"),
        ),
        over=_resolved,
        must=(EntryKind.ACTION_VERIFIED, EntryKind.INCIDENT_RESOLVED),
        writes=(2, 2),
    ),
    Act(
        title="The database crashes, and its owner has opted out. The guard refuses, and people are called.",
        begin=_break_the_protected,
        watch=Watch(
            name="PostgresConnectionsExhausted",
            namespace="backstage",
            workload="postgres",
            summary="the database refuses connections",
            sick=not_available("backstage", "postgres"),
        ),
        over=_with_people,
        must=(EntryKind.DECISION_HOLD, EntryKind.INCIDENT_ESCALATED),
        writes=(0, 0),
    ),
)
