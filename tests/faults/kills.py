"""`kill -9` of a replica at each point that an action passes, with another replica beside it.

A kind of action is played through once to learn its points. Then every point gets a round: a fresh alert, the replica
that reaches the point first is killed there, and started again at once. Points that only show while something is being
recovered get their rounds too. In the end each alert must have had its one effect, whoever had to finish it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from remediator.adapters.clock import SystemClock
from tests.faults.points import Cut, Point
from tests.faults.stage import Kind, Replica, Stage, Target

REACH_S = 6.0
"""An alert passes all its points in a second or two, unless it waits for something that a dead replica held."""
LOOK_S = 0.05
OFTEN = 3
"""What is passed more often than this in one life is a poll: one time is like another."""
IDLE_S = 6.0
DRIVE_S = 90.0
"""Longer than a lease and all that comes after it: an alert without its effect by then has been lost."""
LONGEST_DOUBT = timedelta(seconds=60)
# What the driver asks of its own accord; and transactions that have only read.
SILENT = frozenset({"SELECT", "WITH", "LISTEN", "commit of nothing"})


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A point by its name, and which time an action passes it."""

    call: str
    after: bool
    time: int = 1

    def __str__(self) -> str:
        """Return ``after PATCH deployments, time 2``."""
        return f"{'after' if self.after else 'before'} {self.call}" + (f", time {self.time}" if self.time > 1 else "")


@dataclass(slots=True)
class Killer:
    """Watches every replica's points; kills the first that passes the one that is set."""

    seen: Counter[Moment] = field(default_factory=Counter)
    wanted: Moment | None = None
    only: Replica | None = None
    passed: int = 0
    victim: Replica | None = None
    struck: asyncio.Event = field(default_factory=asyncio.Event)

    async def meet(self, replica: Replica, point: Point) -> None:
        """Remember the point; if it is the one, end the replica before anything else happens."""
        moment = Moment(point.call, point.after)
        if point.call in SILENT:
            return
        if point.after and point.rows == 0 and not point.about and not point.call.startswith(("commit", "BEGIN")):
            return  # A poll that found nothing has done nothing.
        self.seen[moment] += 1
        if self.wanted is None or moment != replace(self.wanted, time=1) or self.victim is not None:
            return
        if self.only not in (None, replica):
            return
        self.passed += 1
        if self.passed < self.wanted.time:
            return
        self.victim = replica
        os.kill(replica.daemon.pid, signal.SIGKILL)
        self.struck.set()
        raise Cut

    def aim(self, moment: Moment, only: Replica | None = None) -> None:
        """Kill whoever passes this next, or ``only`` this one."""
        self.wanted, self.only, self.victim, self.passed = moment, only, None, 0
        self.struck.clear()

    def rest(self) -> None:
        """Kill nobody any more."""
        self.wanted = None


@dataclass(frozen=True, slots=True)
class Death:
    """Who died where: the name of the kind of action, the point, and the number of the replica."""

    kind: str
    moment: Moment
    replica: int


@dataclass(slots=True)
class Toll:
    """What came of many rounds."""

    rounds: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    deaths: Counter[Death] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    riddles: list[str] = field(default_factory=list)
    """Actions that people were called for because nobody could know: here somebody can, for nobody else writes."""

    @property
    def clean(self) -> bool:
        """Whether every alert had its one effect, and nothing waits."""
        return not (self.lost or self.doubled or self.stuck or self.riddles)

    def add(self, other: Toll) -> None:
        """Count in what came of other rounds."""
        self.rounds += other.rounds
        self.struck += other.struck
        self.deaths += other.deaths
        for mine, theirs in (
            (self.missed, other.missed),
            (self.lost, other.lost),
            (self.doubled, other.doubled),
            (self.stuck, other.stuck),
            (self.riddles, other.riddles),
        ):
            mine.extend(theirs)

    def __str__(self) -> str:
        """Return the figures, and what was wrong."""
        head = f"{self.rounds} rounds, {len(self.struck)} kill points x kinds of actions"
        figures = f"lost {len(self.lost)}, doubled {len(self.doubled)}, stuck {len(self.stuck)}"
        return "\n".join([f"{head}: {figures}", *self.lost, *self.doubled, *self.stuck, *self.riddles])


@dataclass(slots=True)
class Massacre:
    """Two replicas, and the rounds in which one of them dies. ``haste``: do not wait for a dead replica's leases."""

    stage: Stage
    replicas: tuple[Replica, Replica]
    haste: bool
    killer: Killer = field(default_factory=Killer)
    toll: Toll = field(default_factory=Toll)
    targets: list[Target] = field(default_factory=list)
    background: frozenset[Moment] = frozenset()
    _turn: int = 0

    @classmethod
    @asynccontextmanager
    async def playing(cls, folder: Path, database: str, *, apps: int, haste: bool) -> AsyncIterator[Massacre]:
        """Set the stage for at most ``apps`` rounds, and start both replicas."""
        async with Stage.playing(folder, database, apps=apps) as stage:
            first, second = await stage.replica("replica-0"), await stage.replica("replica-1")
            made = cls(stage, (first, second), haste)
            async with asyncio.TaskGroup() as starting:
                for replica in made.replicas:
                    replica.meet = partial(made.killer.meet, replica)
                    starting.create_task(replica.daemon.start())
            yield made

    async def idle(self, seconds: float = IDLE_S) -> None:
        """Learn what the daemons do of their own accord: what stands in ``background`` afterwards."""
        await asyncio.sleep(seconds)
        self.background = frozenset(self.killer.seen)

    async def learn(self, kind: Kind) -> list[Moment]:
        """Play one action through without a death, and return the points that it passed and idle daemons do not."""
        self.killer.seen.clear()
        target = self._next(kind)
        await self._drive(target)
        await self._resolved([target], 60)
        return [
            replace(moment, time=time)
            for moment, count in self.killer.seen.items()
            if moment not in self.background
            for time in range(1, (count if count <= OFTEN else 1) + 1)
        ]

    async def round(self, kind: Kind, moment: Moment, *, by: int = 1) -> bool:
        """Let one alert fire and one replica die at a point of its way; the replica is started again.

        The alert is posted to the replica of number ``by``: mostly it is the one that goes on with it, and dies. For
        what daemons do of their own accord, much of it at their start, that one is started meanwhile, and no other
        dies. Tells whether anybody did.
        """
        self.toll.rounds += 1
        self._turn = by + 1
        target = self._next(kind)
        starting = self.replicas[by] if moment in self.background else None
        if starting is not None:
            await starting.daemon.kill()
        self.killer.aim(moment, starting)
        async with asyncio.TaskGroup() as group:
            driving = group.create_task(self._drive(target))
            if starting is not None:
                await starting.daemon.launch()
            try:
                async with asyncio.timeout(REACH_S):
                    await self._struck(driving)
            except TimeoutError:
                self.toll.missed.append(f"{kind.name.lower()}: {moment}")
                self.killer.rest()
            else:
                self._bury(kind, moment)
                await self._raise_again()
            if starting is not None:
                await starting.daemon.listening()
            if self.haste:
                await self._end_leases(driving)
        return self.killer.victim is not None

    async def judge(self, seconds: float) -> Toll:
        """Wait until everything has ended, and count."""
        late = await self._resolved(self.targets, seconds)
        self.toll.stuck += [f"stuck: {target.kind.name.lower()} {target.key}" for target in late]
        for target in self.targets:
            effects = await self.stage.effects(target)
            if effects == 0:
                self.toll.lost.append(f"lost: {target.kind.name.lower()} {target.key}")
            elif effects > 1 or not self._right_shape(target):
                what = f"{effects} effects, {self.stage.shape(target)}"
                self.toll.doubled.append(f"doubled: {target.kind.name.lower()} {target.key}: {what}")
        self.toll.stuck += await self._long_doubts()
        unknown = await self.stage.sql.fetch("SELECT target_key, note FROM remediator.actions WHERE state = 'unknown'")
        self.toll.riddles += [f"unknown: {row['target_key']}: {row['note']}" for row in unknown]
        return self.toll

    def _next(self, kind: Kind) -> Target:
        self.targets.append(Target(len(self.targets), kind))
        return self.targets[-1]

    def _right_shape(self, target: Target) -> bool:
        replaced, pods = self.stage.shape(target)
        return (replaced, pods) == (int(target.kind is Kind.RESTART), 2 if target.kind is Kind.SCALE else 1)

    async def _drive(self, target: Target) -> None:
        """Do what Alertmanager does, for so long; what has come to nothing by then is counted in the end."""
        try:
            async with asyncio.timeout(DRIVE_S):
                await self._fire_and_resolve(target)
        except TimeoutError:
            self.toll.stuck.append(f"stuck: {target.kind.name.lower()} {target.key}: not driven in {DRIVE_S:.0f} s")

    async def _fire_and_resolve(self, target: Target) -> None:
        """Say that it fires until that is taken, and once there was an effect that it is over."""
        since = SystemClock().now()
        while await self.stage.fire(self._somebody(), target, since=since) != 200:
            await asyncio.sleep(LOOK_S)
        while await self.stage.effects(target) == 0:
            await asyncio.sleep(LOOK_S)
        while await self.stage.resolve(self._somebody(), target, since=since) != 200:
            await asyncio.sleep(LOOK_S)

    async def _struck(self, driving: asyncio.Task[None]) -> None:
        """Wait until somebody has died; where that is after the alert's end, do not wait for next looks either."""
        while not self.killer.struck.is_set():
            if self.haste and driving.done():
                await _free(self.stage)
            try:
                async with asyncio.timeout(0.5):
                    await self.killer.struck.wait()
            except TimeoutError:
                continue

    def _bury(self, kind: Kind, moment: Moment) -> None:
        """Write down who died."""
        died = next(number for number, replica in enumerate(self.replicas) if replica is self.killer.victim)
        self.toll.struck[f"{kind.name.lower()}: {moment}"] += 1
        self.toll.deaths[Death(kind.name.lower(), moment, died)] += 1

    def _somebody(self) -> Replica:
        self._turn += 1
        return self.replicas[self._turn % 2]

    async def _raise_again(self) -> None:
        victim = self.killer.victim
        assert victim is not None
        self.killer.rest()
        assert await victim.daemon.ended() == -signal.SIGKILL
        await victim.daemon.start()

    async def _end_leases(self, driving: asyncio.Task[None]) -> None:
        """Until the alert has had its effect: let what a dead replica held be free at once."""
        while not driving.done():
            await _free(self.stage)
            await asyncio.sleep(0.5)

    async def _resolved(self, targets: Sequence[Target], seconds: float) -> list[Target]:
        """Wait until the incidents of these targets are over, and return those that are not."""
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while True:
            over = await self.stage.ended(targets)
            left = [target for target in targets if target not in over]
            if not left or clock.monotonic() >= end:
                return left
            if self.haste:
                await _free(self.stage)
            await asyncio.sleep(0.5)

    async def _long_doubts(self) -> list[str]:
        """Return the actions that were in doubt for longer than a minute, by the ledger's times."""
        rows = await self.stage.sql.fetch(
            "SELECT action, kind, "
            "lead(at, 1, clock_timestamp()) OVER (PARTITION BY action ORDER BY seq) - at AS length "
            "FROM remediator.ledger WHERE action IS NOT NULL"
        )
        long = [row for row in rows if row["kind"] == "action.in_doubt" and row["length"] > LONGEST_DOUBT]
        return [f"stuck: action {row['action']} was in doubt for {row['length']}" for row in long]


async def _free(stage: Stage) -> None:
    """Let the time pass that leases and next looks wait for."""
    for statement in (
        "UPDATE remediator.candidates SET lease_until = NULL, not_before = clock_timestamp() WHERE state <> 'decided'",
        "UPDATE remediator.actions SET lease_until = clock_timestamp() WHERE lease_until > clock_timestamp()",
        "UPDATE remediator.actions SET check_at = clock_timestamp() WHERE state = 'verifying'",
        "UPDATE remediator.incidents SET check_at = clock_timestamp() WHERE state <> 'resolved'",
        "UPDATE remediator.outbox SET not_before = clock_timestamp() WHERE state = 'waiting'",
    ):
        await stage.sql.execute(statement)
