"""Each answer of the API server, and each way of not answering: to a write, to a read before it, to the reading back.

Every case has a target of its own, and all of them run beside each other under one daemon. What was stored is counted
in the cluster's own record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remediator.model.entry import EntryKind
from tests.faults.points import Cut, Point, Reply, hang
from tests.faults.stage import Kind, Stage, Target

PATIENCE_S = 90.0
Do = Callable[[], Awaitable[None]]
READ, WRITE = "GET deployments", "PATCH deployments"
# What a status says of a write that it answers. None of them may be answered after a write was stored; if something
# between us and the API server does it all the same, the write is still not sent again.
REFUSING = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "gone",
    413: "invalid",
    415: "invalid",
    422: "invalid",
}
OPEN = (301, 302, 307, 308, 408, 500, 502, 503, 504)
SETTLED = frozenset({EntryKind.ACTION_APPLIED, EntryKind.ACTION_REFUSED})


@dataclass(frozen=True, slots=True)
class Trap:
    """What is done at the next point of this kind about a target."""

    call: str
    after: bool
    do: Do


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Traps that one target's calls meet, one after the other, and what must come of it.

    ``writes``: how often the cluster was asked to store the change.
    """

    words: str
    traps: tuple[Trap, ...]
    effects: int = 1
    ends: EntryKind = EntryKind.ACTION_APPLIED
    reason: str = ""
    doubt: bool = False
    writes: int = 1


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a case."""

    effects: int
    ends: tuple[EntryKind, ...]
    reasons: tuple[str, ...]
    doubt: bool
    writes: int

    @classmethod
    def wanted(cls, case: Case) -> Came:
        """Return what has to come of it."""
        return cls(case.effects, (case.ends,), (case.reason,) if case.reason else (), case.doubt, case.writes)

    @classmethod
    async def found(cls, stage: Stage, target: Target) -> Came:
        """Return what came of it."""
        told = await stage.told(target)
        ends = [(kind, reasons) for kind, reasons in told if kind in SETTLED]
        return cls(
            await stage.effects(target),
            tuple(kind for kind, _ in ends),
            tuple(reason for _, reasons in ends for reason in reasons),
            any(kind is EntryKind.ACTION_IN_DOUBT for kind, _ in told),
            sum(1 for write in stage.scene.writes() if write.path.endswith(target.path)),
        )


def answer(status: int, body: bytes = b"", *, cut: bool = False, **headers: str) -> Do:
    """Answer with this."""

    async def do() -> None:
        raise Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, cut=cut)

    return do


async def cut() -> None:
    """Break the connection off."""
    raise Cut


async def late() -> None:
    """Answer, after a while."""
    await asyncio.sleep(3)


BROKEN: dict[str, Do] = {
    "cut off": cut,
    "no answer": hang,
    "a page with 200": answer(200, b"<html>Sign in"),
    "half an answer": answer(200, b'{"kind": "Deploy', cut=True),
    **{str(status): answer(status, Location="http://127.0.0.1:9/") for status in OPEN},
}


def write_cases() -> list[Case]:
    """The table of writes, before and after one was stored: one effect or none, and the right word for it."""
    found = []
    for after in (False, True):
        when, stored = ("after" if after else "before"), int(after)
        found += [
            Case(
                words=f"write, {when}: {status}",
                traps=(Trap(WRITE, after, answer(status)),),
                effects=stored,
                ends=EntryKind.ACTION_REFUSED,
                reason=reason,
                writes=stored,
            )
            for status, reason in REFUSING.items()
        ]
        again = {"409": answer(409), "429": answer(429), "429 in 2 s": answer(429, Retry_After="2"), "slow": late}
        found += [Case(words=f"write, {when}: {words}", traps=(Trap(WRITE, after, do),)) for words, do in again.items()]
        found += [
            Case(words=f"write, {when}: {words}", traps=(Trap(WRITE, after, do),), doubt=True)
            for words, do in BROKEN.items()
        ]
    return found


def read_cases() -> list[Case]:
    """The table of the read that a decision is made on: what fails is read again."""
    again = BROKEN | {str(status): answer(status) for status in (400, 401, 409, 410, 422, 429)} | {"slow": late}
    return [Case(words=f"read: {words}", traps=(Trap(READ, False, do),)) for words, do in again.items()]


def hold_cases() -> list[Case]:
    """Reads whose answer is clear: nothing is done, and people are called."""
    clear = {403: "target_not_allowed", 404: "target_not_found"}
    return [
        Case(words=f"read: {status}", traps=(Trap(READ, False, answer(status)),), reason=reason, effects=0, writes=0)
        for status, reason in clear.items()
    ]


def doubt_cases() -> list[Case]:
    """A write was stored and its answer lost: whatever the reading back meets, the write is found, and not repeated."""
    lost = Trap(WRITE, after=True, do=cut)
    again = BROKEN | {str(status): answer(status) for status in (400, 401, 403, 404, 410, 422, 429)}
    return [
        Case(words=f"reading back: {words}", traps=(lost, Trap(READ, False, do)), doubt=True)
        for words, do in again.items()
    ]


@dataclass(slots=True)
class Table:
    """Lets the calls about each target walk into its traps."""

    cases: dict[Target, Case]
    met: dict[Target, int] = field(default_factory=dict)

    async def __call__(self, point: Point) -> None:
        """Do what the next trap says, if it is for this point."""
        target = next((one for one in self.cases if point.about.endswith(one.path)), None)
        if target is None:
            return
        place = self.met.get(target, 0)
        traps = self.cases[target].traps
        if place < len(traps) and (traps[place].call, traps[place].after) == (point.call, point.after):
            self.met[target] = place + 1
            await traps[place].do()


@pytest.mark.slow
async def test_each_answer_of_the_api_server(tmp_path: Path, database: str) -> None:
    """One effect or none, never two; the right word in the ledger; and nothing waits for ever."""
    acting, holding = [*write_cases(), *read_cases(), *doubt_cases()], hold_cases()
    table = Table({Target(place, Kind.SCALE): case for place, case in enumerate(acting + holding)})
    async with Stage.playing(tmp_path, database, apps=len(table.cases)) as stage:
        replica = await stage.replica("replica", "--execute-concurrency", "200", "--cluster-concurrency", "400")
        replica.meet = table
        await replica.daemon.start()
        assert await stage.fire(replica, *table.cases) == 200

        async def over() -> bool:
            rows = await stage.sql.fetch("SELECT state FROM remediator.actions")
            waiting = {"admitted", "claimed", "dispatched", "in_doubt"}
            return len(rows) == len(acting) and not any(row["state"] in waiting for row in rows)

        await stage.until("every action has ended or is being verified", over, PATIENCE_S)
        found = {case: await Came.found(stage, target) for target, case in table.cases.items() if case not in holding}
        wrong = [
            f"{case.words}: wanted {Came.wanted(case)}, was {came}"
            for case, came in found.items()
            if came != Came.wanted(case)
        ]
        assert not wrong, "\n".join(wrong)
        assert {target: len(case.traps) for target, case in table.cases.items()} == table.met
        for target, case in table.cases.items():
            if case in holding:
                assert await _held(stage, target) == (0, "decided", [case.reason], 1)
        assert await replica.daemon.stop() == 0


async def _held(stage: Stage, target: Target) -> tuple[int, str, list[str], int]:
    """Return the changes to a target, how its alert was decided and why, and how often people were called for it."""
    row = await stage.sql.fetchrow(
        "SELECT state, last_reasons, (SELECT count(*) FROM remediator.outbox "
        "WHERE outbox.incident = candidates.incident) AS calls "
        "FROM remediator.candidates WHERE labels ->> 'deployment' = $1",
        target.name,
    )
    assert row is not None
    return stage.changes(target), row["state"], row["last_reasons"], row["calls"]
