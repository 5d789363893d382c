"""All rounds of `kill -9`: each point x each kind of action x both replicas, each kind on a stage of its own.

The points of a kind are learnt by playing one action through. Then each gets a round for either replica: the alert is
posted to it, so mostly it is the one that dies. What nobody passed, or only the other one, gets further rounds. In the
end the sharpest points are tried once more without haste, so that a dead replica's leases truly have to run out.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.kills import Death, Massacre, Moment, Toll
from tests.faults.stage import Kind

SEED = "2026-11"
AGAIN = 1
"""How many further rounds a point gets that a replica has not died at yet."""
JUDGE_S = 120.0
ROOM = 8
"""Applications of a stage beyond those for its rounds."""
APPS, FEW = 360, 60
"""Applications of a stage, each good for one round: where all points are tried, and where a sample is."""

# Where a crash is most dangerous: around what has an effect.
SHARP: dict[Kind, tuple[Moment, ...]] = {
    Kind.RESTART: (Moment("PATCH deployments", after=False), Moment("PATCH deployments", after=True)),
    Kind.SCALE: (Moment("PATCH deployments", after=True),),
    Kind.INVESTIGATE: (Moment("commit of put_evidence", after=True),),
    Kind.NOTIFY: (Moment("POST people", after=True),),
}
IDLE = "idle"
"""In the table: what daemons do of their own accord, tried while a restart is under way."""

Fresh = Callable[[str], AbstractContextManager[str]]
"""Gives the connection string of a new, migrated database of that name, for as long as it is needed."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Campaign:
    """What was to be tried, and what came of it.

    ``sample``: so many points of a kind beside the sharp, None for all. ``only``: the names of kinds, or ``idle``; all
    where none is given.
    """

    say: Say
    sample: int | None = None
    only: frozenset[str] = frozenset()
    toll: Toll = field(default_factory=Toll)
    learnt: dict[str, list[Moment]] = field(default_factory=dict)
    deaths: Counter[Death] = field(default_factory=Counter)

    async def run(self, fresh: Fresh) -> None:
        """Play everything, each kind on a stage with a database of its own."""
        if self.wants(IDLE):
            with fresh(IDLE) as database:
                await self._idle(database)
        for kind in filter(self.wants_kind, Kind):
            with fresh(kind.name.lower()) as database:
                await self._kind(kind, database)
        patient = (Kind.RESTART, Kind.SCALE) if self.sample is None else (Kind.RESTART,)
        for kind in filter(self.wants_kind, patient):
            with fresh(f"patient_{kind.name.lower()}") as database:
                await self._patiently(kind, database)

    def wants(self, name: str) -> bool:
        """Tell whether these rounds are to be played."""
        return not self.only or name in self.only

    def wants_kind(self, kind: Kind) -> bool:
        """Tell whether the rounds of this kind are to be played."""
        return self.wants(kind.name.lower())

    def missing(self) -> list[str]:
        """Return the sharp points at which nobody has died, and the kinds of which nothing was learnt."""
        wanted = list(filter(self.wants_kind, Kind))
        faults = [f"nothing was learnt of {kind}" for kind in wanted if kind.name.lower() not in self.learnt]
        met = {(death.kind, death.moment) for death in self.deaths}
        for kind in wanted:
            faults += [f"nobody died {one} of {kind}" for one in SHARP[kind] if (kind.name.lower(), one) not in met]
        return faults

    def unmet(self) -> list[str]:
        """Return the points that were learnt and that nobody passed again, however often they were tried."""
        met = {(death.kind, death.moment) for death in self.deaths}
        return [f"{name}: {one}" for name, learnt in self.learnt.items() for one in learnt if (name, one) not in met]

    def on_both(self) -> int:
        """Count the points at which either replica has died."""
        return sum(
            all(Death(name, one, number) in self.deaths for number in (0, 1))
            for name, learnt in self.learnt.items()
            for one in learnt
        )

    async def _idle(self, database: str) -> None:
        """Let replicas die at what they do of their own accord, an action being under way."""
        with tempfile.TemporaryDirectory() as folder:
            async with Massacre.playing(Path(folder), database, apps=self._apps, haste=True) as massacre:
                await massacre.idle()
                chosen = self._chosen(IDLE, sorted(massacre.background))
                await self._rounds(massacre, Kind.RESTART, IDLE, chosen)
                self.toll.add(await massacre.judge(JUDGE_S))

    async def _kind(self, kind: Kind, database: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with Massacre.playing(Path(folder), database, apps=self._apps, haste=True) as massacre:
                await massacre.idle()
                learnt = await massacre.learn(kind)
                others = [one for one in learnt if one not in SHARP[kind]]
                chosen = [*(one for one in SHARP[kind] if one in learnt), *self._chosen(kind, others)]
                await self._rounds(massacre, kind, kind.name.lower(), chosen)
                self.toll.add(await massacre.judge(JUDGE_S))

    async def _patiently(self, kind: Kind, database: str) -> None:
        """Let leases run out: nothing but time frees what a dead replica held."""
        with tempfile.TemporaryDirectory() as folder:
            async with Massacre.playing(Path(folder), database, apps=ROOM, haste=False) as massacre:
                for moment in SHARP[kind]:
                    await massacre.round(kind, moment)
                toll = await massacre.judge(JUDGE_S)
        self.say(f"{kind.name.lower()} without haste: {toll.rounds} rounds")
        self.toll.add(toll)

    def _chosen(self, name: str, moments: Sequence[Moment]) -> list[Moment]:
        """Return all points, or a sample of them."""
        return list(moments) if self.sample is None else drawn(name, moments)[: self.sample]

    @property
    def _apps(self) -> int:
        return APPS if self.sample is None else FEW

    async def _rounds(self, massacre: Massacre, kind: Kind, name: str, moments: Sequence[Moment]) -> None:
        """Give each point its rounds until both replicas have died at it, or the tries are spent."""
        self.learnt[name] = list(moments)
        spare = self._apps - ROOM - 2 * len(moments)
        for by in (0, 1):
            for number, moment in enumerate(moments, 1):
                for again in range(1 + AGAIN):
                    if Death(name, moment, by) in self.deaths or (again and not spare):
                        break
                    spare -= bool(again)
                    await massacre.round(kind, moment, by=by)
                    self._note(massacre, name)
                if number % 10 == 0 or number == len(moments):
                    rounds = self.toll.rounds + massacre.toll.rounds
                    self.say(f"{name}, posted to replica-{by}: {number} of {len(moments)} points, {rounds} rounds")

    def _note(self, massacre: Massacre, name: str) -> None:
        for death, count in massacre.toll.deaths.items():
            self.deaths[Death(name, death.moment, death.replica)] = count


def drawn(name: str, moments: Sequence[Moment]) -> list[Moment]:
    """Return the points as if shuffled: in the same order every time."""
    return sorted(moments, key=lambda one: hashlib.sha256(f"{SEED} {name} {one}".encode()).digest())
