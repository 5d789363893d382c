"""The tables in memory against PostgreSQL: the same walk through the ports leaves the same rows on both.

A walk is a row of calls drawn from a seed, in any order, sensible or not. After every call its answer and all tables
are compared; of times only whether there is one, for the clocks differ. Who changes a statement of the ledger and not
its double in ``sql_*.py`` finds out here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random  # noqa: TID251 - seeded, the same in every run
from typing import Any

import asyncpg
import msgspec
import pytest

from remediator.actions.catalogue import draft
from remediator.adapters.ledger.actions import moves_together
from remediator.adapters.ledger.inbox import LedgerInbox, deliveries_together
from remediator.adapters.ledger.lookout import LedgerLookoutStore
from remediator.adapters.ledger.pauses import LedgerPauseStore
from remediator.adapters.ledger.pool import LedgerPools, open_pools
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.core.admit import Law
from remediator.core.signals import fold
from remediator.fittings import stores
from remediator.flow.admit import Bench
from remediator.flow.match import matched
from remediator.flow.parts import Stores
from remediator.model.action import ActionState, BeforeImage
from remediator.model.case import Assessed
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.pause import PauseScope
from remediator.model.rule import Limits, Mode, RateLimit, RuleSet
from remediator.model.sighting import Hush
from remediator.model.signal import Delivery, Signal, Status
from remediator.ports.actions import (
    CallPeople,
    Claim,
    Conclusion,
    Due,
    NextLook,
    NextRung,
    Nothing,
    Recovered,
    Successor,
)
from remediator.ports.incidents import DueIncident, NextIncidentLook, Notification
from remediator.ports.lookout import Notes, Turn
from remediator.ports.matching import NewCandidate
from tests.core.given import BACKSTAGE, workload
from tests.flow.rig import ROOMY, a_rule
from tests.simulation.chaos import CALM, Chaos
from tests.simulation.connection import memory_pools
from tests.simulation.life import Life
from tests.simulation.rules import MemoryRulebook
from tests.simulation.tables import Database

STEPS = 70
DUMPED = {
    "signals": "signals",
    "inbox": "inbox",
    "alerts": "alerts",
    "incidents": "incidents",
    "ties": "incident_alerts",
    "candidates": "candidates",
    "actions": "actions",
    "ledger": "ledger",
    "outbox": "outbox",
    "pauses": "pauses",
    "duties": "duties",
    "absent": "absent_alerts",
    "hushed": "hushed_alerts",
    "monitoring": "monitoring",
    "rules_held": "rules_held",
}
DUE = {
    "candidates": "not_before",
    "actions": "check_at",
    "incidents": "check_at",
    "outbox": "not_before",
    "duties": "due_at",
}
KEYS = {"candidates": "id", "actions": "number", "incidents": "id", "outbox": "id", "duties": "turn"}
LEASES = {"candidates": "lease_until", "actions": "lease_until"}
TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\d\d:\d\d:\d\d|\d+ (s|min|h)\b")
SUCCESSORS: tuple[Successor, ...] = (
    Nothing(),
    NextRung(rung=0),
    CallPeople(message="help"),
    Recovered(message="well"),
)
AT_ONCE = Limits(cooldown_s=0, per_target=RateLimit(count=20, window_s=3600))
ACTS = a_rule(limits=AT_ONCE)
ASKS = a_rule(name="asks", mode=Mode.ASK, priority=-1, limits=AT_ONCE)
RULES = MemoryRulebook(RuleSet(rules=(ACTS, ASKS), digest="walk"))


def plain(value: Any) -> Any:
    """Return data in which every time is only "a time"."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in sorted(value.items())}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.structs.asdict(value))
    if isinstance(value, datetime | float):
        return f"a {type(value).__name__}"
    if isinstance(value, str):
        return _text(value)
    return value


def _text(value: str) -> Any:
    if value[:1] in ("{", "["):
        return plain(msgspec.json.decode(value))
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return TIMES.sub("some time", value)
    return "a datetime" if len(value) > len("2026-03-01") else value


Dump = dict[str, list[dict[str, Any]]]


@dataclass(slots=True)
class Side:
    """One ledger with its stores; what the walk has been given so far to go on with."""

    stores: Stores
    inbox: LedgerInbox
    lookout: LedgerLookoutStore
    pools: LedgerPools
    now: Callable[[], datetime]
    rows: Callable[[], Awaitable[Dump]]
    hasten: Callable[[str, str], Awaitable[None]]
    candidates: list[Candidate] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    looks: list[Due] = field(default_factory=list)
    incidents: list[DueIncident] = field(default_factory=list)
    messages: list[Notification] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    news: int = 0


@asynccontextmanager
async def _side(pools: LedgerPools, **hands: Any) -> AsyncIterator[Side]:
    deliveries, moves = deliveries_together(pools.intake), moves_together(pools.stages)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(deliveries.run()), tasks.create_task(moves.run())]
        yield Side(
            stores=stores(pools, moves, LedgerAppender(pools.stages)),
            inbox=LedgerInbox(pools.intake, deliveries, limit=10_000),
            lookout=LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=False, hurry_s=0.0),
            pools=pools,
            **hands,
        )
        for task in running:
            task.cancel()


@asynccontextmanager
async def in_memory() -> AsyncIterator[Side]:
    """The tables in memory."""
    db = Database()
    life = Life("walker", db, Chaos(Random(0), CALM, lambda text: None, slow=False), 0.0)

    async def rows() -> Dump:
        return {table: [dict(one) for one in getattr(db, table)] for table in DUMPED}

    async def hasten(table: str, column: str) -> None:
        for one in getattr(db, table):
            if one[column] is not None:
                one[column] = db.now() - timedelta(hours=1) + timedelta(milliseconds=one[KEYS[table]])

    async with _side(memory_pools(db, life), now=db.now, rows=rows, hasten=hasten) as side:
        yield side


@asynccontextmanager
async def in_postgres(dsn: str) -> AsyncIterator[Side]:
    """The real ones."""
    async with AsyncExitStack() as stack:
        pools = await stack.enter_async_context(open_pools(dsn))
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        began, now = asyncio.get_running_loop().time(), await sql.fetchval("SELECT clock_timestamp()")

        every = ", ".join(
            f"'{ours}', (SELECT jsonb_agg(t) FROM remediator.{theirs} AS t)"  # noqa: S608 - our names
            for ours, theirs in DUMPED.items()
        )

        async def rows() -> Dump:
            found = msgspec.json.decode(await sql.fetchval(f"SELECT jsonb_build_object({every})::text"))
            return {table: one or [] for table, one in found.items()}

        async def hasten(table: str, column: str) -> None:
            past = f"clock_timestamp() - interval '1 hour' + {KEYS[table]} * interval '1 ms'"
            await sql.execute(f"UPDATE remediator.{table} SET {column} = {past} WHERE {column} IS NOT NULL")  # noqa: S608 - our names

        def clock() -> datetime:
            passed: datetime = now + timedelta(seconds=asyncio.get_running_loop().time() - began)
            return passed

        side = await stack.enter_async_context(_side(pools, now=clock, rows=rows, hasten=hasten))
        yield side


# ------------------------------------------------------------------------------------------------------------ the steps

Step = Callable[[Side, Random], Awaitable[Any]]


def _pick(dice: Random, given: list[Any]) -> Any:
    return given[dice.randrange(len(given))] if given else None


async def accept(side: Side, dice: Random) -> Any:
    """News of one of three alerts: mostly of a new episode, or of the end of the last, now and then old news."""
    number, firing = dice.randrange(3), dice.random() < 0.7
    side.news += firing
    minutes = side.news if dice.random() < 0.8 else dice.randrange(4)
    began = side.now().replace(microsecond=0, second=0, minute=0, hour=0) - timedelta(days=1, minutes=-minutes)
    signal = Signal(
        source="alertmanager",
        fingerprint=f"{number}" * 16,
        status=Status.FIRING if firing else Status.RESOLVED,
        labels={"alertname": "BackstageDown", "namespace": "backstage", "deployment": f"app{number % 2}"},
        annotations={},
        starts_at=began,
        ends_at=None if firing else began + timedelta(seconds=30),
        confirmed_at=side.now() if dice.random() < 0.2 else None,
    )
    return await side.inbox.accept(Delivery(source="alertmanager", signals=(signal, signal)))


async def match(side: Side, dice: Random) -> Any:
    """What has come is judged."""
    lease_s = dice.choice((0.0, 60.0))

    def judge(signals: Any, states: Any) -> Any:
        made = matched(fold(signals, states), RULES)
        return msgspec.structs.replace(made, lease_s=lease_s)

    report = await side.stores.matching.match(10, judge)
    side.candidates += sorted(report.leased, key=lambda one: one.id)
    return report


async def take(side: Side, dice: Random) -> Any:
    """Candidates are taken."""
    taken = sorted(await side.stores.admission.take(dice.choice((1, 5)), 60.0), key=lambda one: one.id)
    side.candidates += taken
    return taken


async def admit(side: Side, dice: Random) -> Any:
    """Candidates are decided about; sometimes about such that are decided already."""
    chosen = {one.id: one for one in side.candidates[-dice.randint(1, 4) :]}
    unknown = dice.random() < 0.2
    items = [Assessed(candidate=one, facts=_facts(side, one, unknown=unknown)) for one in chosen.values()]
    law = Law(rules=RULES.named, draft=draft, policy=ROOMY)
    return await side.stores.admission.admit(items, Bench(law)) if items else None


def _facts(side: Side, candidate: Candidate, *, unknown: bool) -> Facts:
    name = candidate.labels["deployment"]
    if unknown:
        return Facts(read_at=side.now(), problem="cluster_unreachable", retryable=True)
    target = msgspec.structs.replace(BACKSTAGE, name=name, uid=f"uid-{name}")
    return Facts(read_at=side.now(), workload=workload(target))


async def claim(side: Side, dice: Random) -> Any:
    """Actions are claimed."""
    claims = sorted(await side.stores.actions.claim(2, "walker", 60.0), key=lambda one: one.action.number)
    side.claims += claims
    return claims


async def renew(side: Side, dice: Random) -> Any:
    """A lease is renewed, of an action that may be over."""
    one = _pick(dice, side.claims)
    return await side.stores.actions.renew(one.action.number, one.action.fence, 60.0) if one else None


async def move(side: Side, dice: Random) -> Any:
    """An action goes one state on, in any order, under a fence that may be old."""
    one, actions = _pick(dice, side.claims), side.stores.actions
    if one is None:
        return None
    number, fence = one.action.number, one.action.fence
    entry = NewEntry(kind=EntryKind.ACTION_DISPATCHED, summary="moved", action=number, incident=one.action.incident)
    image = BeforeImage(resource_version="1", uid="u", generation=1, object={"spec": {"replicas": 3}})
    match dice.randrange(4):
        case 0 | 1:
            return await actions.dispatched(number, fence, image, entry)
        case 2:
            return await actions.in_doubt(number, fence, entry)
        case _:
            return await actions.applied(number, fence, entry)


async def conclude(side: Side, dice: Random) -> Any:
    """An action ends, in any way."""
    one = _pick(dice, side.claims)
    state = dice.choice((ActionState.DONE, ActionState.RECOVERED, ActionState.EXPIRED, ActionState.UNCHANGED))
    successor, say = dice.choice(SUCCESSORS), dice.choice(("", "listen"))
    if one is None:
        return None
    number = one.action.number
    entry = NewEntry(kind=EntryKind.ACTION_VERIFIED, summary="over", action=number, incident=one.action.incident)
    ending = Conclusion(
        number=number,
        fence=one.action.fence,
        state=state,
        note="over",
        entries=(entry,),
        successor=successor,
        say=say,
    )
    return await side.stores.actions.conclude(ending)


async def verify(side: Side, dice: Random) -> Any:
    """Applied actions are looked at, and again."""
    side.looks = sorted(await side.stores.actions.due(5, 30.0), key=lambda one: one.action.number)
    quiet = side.now() if dice.random() < 0.5 else None
    looks = [
        NextLook(number=one.action.number, fence=one.action.fence, check_at=side.now(), quiet_since=quiet)
        for one in side.looks
    ]
    return side.looks, await side.stores.actions.look_again(looks)


async def close(side: Side, dice: Random) -> Any:
    """Incidents are looked at, resolved or escalated."""
    side.incidents = sorted(await side.stores.incidents.due(5, 30.0), key=lambda one: one.incident.id)
    one, way = _pick(dice, side.incidents), dice.randrange(3)
    if one is None:
        return side.incidents
    number = one.incident.id
    if way == 0:
        entry = NewEntry(kind=EntryKind.INCIDENT_RESOLVED, summary="resolved", incident=number)
        return side.incidents, await side.stores.incidents.resolve(number, entry)
    if way == 1:
        return side.incidents, await side.stores.incidents.escalate(number, "help")
    look = NextIncidentLook(incident=number, check_at=side.now(), healthy_since=side.now())
    await side.stores.incidents.look_again([look])
    return side.incidents


async def notify(side: Side, dice: Random) -> Any:
    """Messages are delivered, or not."""
    side.messages = sorted(await side.stores.outbox.take(3, 30.0), key=lambda one: one.id)
    how = dice.randrange(3)
    for one in side.messages:
        if how:
            await side.stores.outbox.sent(one, "heard")
        else:
            await side.stores.outbox.failed(one, "nobody answers", dice.choice((1.0, None)))
    return side.messages


async def pause(side: Side, dice: Random) -> Any:
    """Somebody pulls the switch, or lets it go."""
    scope, key = dice.choice(((PauseScope.GLOBAL, ""), (PauseScope.NAMESPACE, "backstage"), (PauseScope.RULE, "x")))
    store = LedgerPauseStore(side.pools.stages)
    if dice.random() < 0.4:
        return await store.pause(scope, key, reason="test", actor="ann", seconds=dice.choice((None, 3600.0)))
    return await store.resume(scope, key, actor="bob"), await store.in_force()


async def keep(side: Side, dice: Random) -> Any:
    """Evidence is kept, once for an action."""
    one = _pick(dice, side.claims)
    action = one.action if one else None
    if action is None:
        return None
    return await side.stores.evidence.keep(action.incident, action.number, action.target.key, {"pods": ["a"]}, {})


async def undo(side: Side, dice: Random) -> Any:
    """A person asks for an action to be undone."""
    one, undos = _pick(dice, side.claims), LedgerUndos(side.pools.stages)
    former = await undos.former(one.action.number if one else 1)
    if former is None or dice.random() < 0.7:
        return former
    return former, await undos.ask(former, actor="ann", reason="")


async def answer(side: Side, dice: Random) -> Any:
    """A person says yes or no to whatever comes first of what waits for it."""
    actions = (await side.rows())["actions"]
    waits = sorted(one["number"] for one in actions if one["state"] == "awaiting_approval")
    if not waits:
        return None
    return await LedgerAppender(side.pools.stages).answer(
        waits[0], approved=dice.random() < 0.5, actor="ann", reason=""
    )


async def rematch(side: Side, dice: Random) -> Any:
    """What fires is held against a rule that has changed."""

    def judge(states: Any) -> Any:
        found = [(state, rule) for state in states for rule in RULES.matching(state.labels)]
        return tuple(
            NewCandidate(
                rule=rule.name,
                source=state.source,
                fingerprint=state.fingerprint,
                labels=state.labels,
                severity=rule.severity.value,
                priority=rule.priority,
            )
            for state, rule in found
        )

    digests = {f"rule {number}": str(dice.randrange(3)) for number in range(dice.randrange(4))}
    await side.stores.matching.hold_rules(digests)
    assert await side.stores.matching.rules_held() == digests
    return await side.stores.matching.match_again(("", ""), 10, judge)


async def look_out(side: Side, dice: Random) -> Any:
    """Alertmanager is asked, and what was found is noted."""
    hurry, prints = dice.random() < 0.5, [f"{number}" * 16 for number in range(2)]
    turn = await side.lookout.take(dice.choice(("a", "b")), 60.0, hurry=hurry)
    known = await side.lookout.known("alertmanager", prints)
    if turn is not None:
        side.turns.append(turn)
    one = _pick(dice, side.turns)
    if one is None:
        return turn, known
    hush = Hush(source="alertmanager", fingerprint=prints[0], how="silenced", by=("s1",), since=side.now())
    notes = Notes(
        source="alertmanager",
        absent={prints[1]: side.now()} if dice.random() < 0.5 else {},
        hushed=(hush,) if dice.random() < 0.3 else (),
        audible=(prints[0],) if dice.random() < 0.3 else (),
    )
    noted = await side.lookout.note(one, notes)
    told = await side.lookout.finish(one, 3600.0, {"alertmanager": dice.choice(("", "no answer"))})
    return turn, known, noted, told


async def forward(side: Side, dice: Random) -> Any:
    """What has come goes all the way to a claim."""
    return [await step(side, dice) for step in (accept, match, take, admit, claim)]


async def onward(side: Side, dice: Random) -> Any:
    """The newest claim goes all the way to its verification."""
    if not side.claims:
        return None
    one, actions = side.claims[-1], side.stores.actions
    number, fence = one.action.number, one.action.fence
    entry = NewEntry(kind=EntryKind.ACTION_APPLIED, summary="onward", action=number, incident=one.action.incident)
    image = BeforeImage(resource_version="1", uid="u", generation=1, object={"spec": {"replicas": 3}})
    return await actions.dispatched(number, fence, image, entry), await actions.applied(number, fence, entry)


async def hasten(side: Side, dice: Random) -> Any:
    """Time passes for one kind of things."""
    table, column = dice.choice([*DUE.items(), *DUE.items(), *LEASES.items()])
    await side.hasten(table, column)
    return table


OFTEN: tuple[Step, ...] = (forward, forward, onward, move, conclude, verify, close, hasten, hasten, hasten)
SELDOM: tuple[Step, ...] = (
    accept,
    match,
    take,
    admit,
    claim,
    renew,
    notify,
    pause,
    keep,
    undo,
    answer,
    rematch,
    look_out,
)
ALL = OFTEN + OFTEN + SELDOM


async def dump(side: Side, columns: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return all tables as text, in an order of their own."""
    found: dict[str, list[str]] = {}
    for table, rows in (await side.rows()).items():
        kept = columns.setdefault(table, set(rows[0])) if rows else columns.get(table, set())
        found[table] = sorted(str(plain({name: row[name] for name in row if name in kept})) for row in rows)
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_a_walk_leaves_the_same_rows(database: str, seed: int) -> None:
    """Each call has the same answer on both, and leaves the same behind."""
    dice = Random(f"walk {seed}")
    columns: dict[str, set[str]] = {}
    async with in_memory() as memory, in_postgres(database) as postgres:
        for number in range(STEPS):
            step, draw = dice.choice(ALL), dice.random()
            answers = [plain(await step(side, Random(draw))) for side in (memory, postgres)]
            where = f"step {number}: {step.__name__}"
            assert answers[0] == answers[1], where
            ours, theirs = await dump(memory, columns), await dump(postgres, columns)
            differ = {table: (ours[table], theirs[table]) for table in DUMPED if ours[table] != theirs[table]}
            assert not differ, where
