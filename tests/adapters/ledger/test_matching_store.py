"""Matching in PostgreSQL: signals in their order, one replica at a time, all that comes of a batch in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.matching import FEW, LedgerMatchStore
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.core.signals import fold
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.model.signal import AlertState, Delivery, Signal, Status, StoredSignal
from remediator.ports.matching import AlertKey, Matched, MatchReport, NewCandidate
from tests.adapters.ledger.stand import (
    BEGUN,
    Owner,
    accept,
    admit_actions,
    blocked,
    column,
    over,
    put_candidates,
    signal,
)


@dataclass
class Clerk:
    """A judge that takes the states from the core, makes one candidate for each rule, and remembers what it was asked.

    With ``failing`` it judges, and then fails.
    """

    rules: Sequence[str] = ()
    lease_s: float = 0.0
    failing: Exception | None = None
    resolved: tuple[AlertKey, ...] = ()
    signals: list[StoredSignal] = field(default_factory=list)
    states: list[dict[AlertKey, AlertState]] = field(default_factory=list)

    def __call__(self, signals: tuple[StoredSignal, ...], states: dict[AlertKey, AlertState]) -> Matched:
        """Judge."""
        self.signals.extend(signals)
        self.states.append(states)
        if self.failing is not None:
            raise self.failing
        after = {(step.state.source, step.state.fingerprint): step.state for step in fold(signals, states)}
        said = (f"{len(signals)} signals",)
        return Matched(
            states=tuple(after.values()),
            candidates=tuple(_candidate(one.signal, rule) for one in signals for rule in self.rules),
            entries=tuple(NewEntry(kind=EntryKind.ALERT_FIRING, summary=words) for words in said),
            resolved=self.resolved,
            lease_s=self.lease_s,
        )


def _candidate(signal: Signal, rule: str) -> NewCandidate:
    return NewCandidate(
        rule=rule, source=signal.source, fingerprint=signal.fingerprint, labels=signal.labels, severity="P2", priority=3
    )


def of(*signals: Signal) -> Delivery:
    """Return a delivery."""
    return Delivery(source="am", signals=signals)


async def test_signals_are_judged_in_the_order_in_which_they_came(pool: LedgerPool) -> None:
    """The oldest first, a batch at a time, each once."""
    for number in (5, 3, 9, 1):
        await accept(pool, of(signal(number)))
    store, clerk = LedgerMatchStore(pool), Clerk()
    assert [(await store.match(3, clerk)).count for _ in range(3)] == [3, 1, 0]
    assert [int(one.signal.fingerprint, 16) for one in clerk.signals] == [5, 3, 9, 1]


async def test_a_second_replica_waits_while_one_is_matching(pools: LedgerPools, owner: Owner) -> None:
    """What it stored may have come too late for the first. The lock is a transaction's: free when that has ended."""
    await accept(pools.stages, of(signal(1)))
    store, clerk = LedgerMatchStore(pools.stages), Clerk()
    async with asyncio.TaskGroup() as tasks:
        async with transaction(pools.intake, QUERIES["lock_matching"]):
            matching = tasks.create_task(store.match(10, clerk))
            await blocked(owner)
            assert clerk.signals == []
            await accept(pools.leases, of(signal(2)))
        assert (await matching).count == 2
    assert await column(owner, "inbox", "signal") == []
    assert len(await column(owner, "signals", "id")) == 2


async def test_a_replica_that_waits_too_long_is_told_that_others_match(pools: LedgerPools) -> None:
    """It is no trouble, and nothing was done."""
    await accept(pools.stages, of(signal(1)))
    store, clerk = (
        LedgerMatchStore(replace(pools.stages, begin=f"{pools.stages.begin}; SET lock_timeout = '50ms'")),
        Clerk(),
    )
    async with transaction(pools.intake, QUERIES["lock_matching"]):
        assert await store.match(10, clerk) == MatchReport(busy=True)
    async with transaction(pools.intake, QUERIES["lock_admission"]):
        with pytest.raises(LedgerError, match="lock timeout"):
            await store.match(10, Clerk(rules=("a",)))
    assert (await store.match(10, clerk)).count == 1


async def test_candidates_may_be_leased_for_whoever_makes_them(pool: LedgerPool, owner: Owner) -> None:
    """As if they had been taken; one that waited already is another's, and is not among them."""
    store = LedgerMatchStore(pool)
    await put_candidates(owner, 1, rule="a")
    rung: list[object] = []
    await accept(pool, of(signal(1), signal(2)))
    await owner.add_listener("remediator", lambda *said: rung.append(said[-1]))
    report = await store.match(10, Clerk(rules=("a", "b"), lease_s=60.0))
    await owner.fetchval("SELECT 1")
    assert "assess" not in rung, "nobody has to be woken for them"
    made = [(one.rule, one.fingerprint) for one in report.leased]
    assert made == [("b", f"{1:016x}"), ("a", f"{2:016x}"), ("b", f"{2:016x}")]
    desk = LedgerAdmissionStore(pool)
    (waiting,) = await desk.take(10, 60.0)
    assert (waiting.rule, waiting.fingerprint) == ("a", f"{1:016x}")
    await owner.execute("UPDATE remediator.candidates SET lease_until = now() - interval '1 s'")
    taken = {one.id: one for one in await desk.take(10, 60.0)}
    assert [taken[one.id] for one in report.leased] == list(report.leased), "when the lease ends, others take the same"


async def test_each_batch_sees_the_states_that_the_ones_before_it_left(pool: LedgerPool, owner: Owner) -> None:
    """An episode that begins, ends, and comes late: the state is that of the newest word."""
    store, clerk = LedgerMatchStore(pool), Clerk()
    episode = [signal(1), over(1), signal(1, starts_at=BEGUN + timedelta(minutes=1))]
    for one in episode:
        await accept(pool, of(one))
        await store.match(10, clerk)
    known = [states.get(("am", f"{1:016x}")) for states in clerk.states]
    assert [state.status if state else None for state in known] == [None, Status.FIRING, Status.RESOLVED]
    (row,) = await owner.fetch("SELECT status, starts_at, ends_at, labels::text AS labels FROM remediator.alerts")
    assert (row["status"], row["starts_at"], row["ends_at"]) == ("resolved", BEGUN, BEGUN + timedelta(hours=1))
    assert '"deployment": "app-1"' in row["labels"]


async def test_states_of_other_alerts_are_not_read(pool: LedgerPool) -> None:
    """A source's fingerprint is its own: the same one of another source is another alert."""
    store, clerk = LedgerMatchStore(pool), Clerk()
    await accept(pool, of(signal(1), signal(2), signal(1, source="other")))
    await store.match(10, clerk)
    await accept(pool, of(over(1)))
    await store.match(10, clerk)
    assert list(clerk.states[-1]) == [("am", f"{1:016x}")]


async def test_a_failing_judge_leaves_everything_as_it_was(pool: LedgerPool, owner: Owner) -> None:
    """The signals wait on."""
    await accept(pool, of(signal(1), signal(2)))
    store = LedgerMatchStore(pool)
    with pytest.raises(ZeroDivisionError):
        await store.match(10, Clerk(failing=ZeroDivisionError()))
    assert len(await column(owner, "inbox", "signal")) == 2
    assert await column(owner, "alerts", "status") == []
    assert (await store.match(10, Clerk(rules=("a",)))).count == 2


async def test_an_alert_waits_at_most_once_under_a_rule(pool: LedgerPool, owner: Owner) -> None:
    """Repeats cannot pile up; once decided, the alert may come again; another rule is another candidate."""
    store = LedgerMatchStore(pool)
    for minute in range(3):
        await accept(pool, of(signal(1, starts_at=BEGUN + timedelta(minutes=minute))))
        await store.match(10, Clerk(rules=("a", "b")))
    assert await column(owner, "candidates", "rule") == ["a", "b"]
    await owner.execute("UPDATE remediator.candidates SET state = 'decided' WHERE rule = 'a'")
    await owner.execute("UPDATE remediator.candidates SET state = 'held' WHERE rule = 'b'")
    await accept(pool, of(signal(1, starts_at=BEGUN + timedelta(hours=1))))
    await store.match(10, Clerk(rules=("a", "b")))
    assert await column(owner, "candidates", "rule || ' ' || state") == ["a decided", "a new", "b held"]
    (row,) = await owner.fetch(
        "SELECT cause, rung, severity, priority, labels::text AS labels FROM remediator.candidates WHERE state = 'new'"
    )
    assert (row["cause"], row["rung"], row["severity"], row["priority"]) == ("signal", 0, "P2", 3)
    assert '"alertname": "BackstageDown"' in row["labels"]


async def test_the_end_of_an_alert_hastens_what_waits_for_it(pool: LedgerPool, owner: Owner) -> None:
    """The incident and the open action of that alert are looked at now; others when their time comes."""
    await admit_actions(owner, pool, 2)
    await owner.execute("UPDATE remediator.actions SET state = 'verifying', check_at = now() + interval '1 h'")
    await owner.execute("UPDATE remediator.incidents SET check_at = now() + interval '1 h'")
    await accept(pool, of(over(1)))
    await LedgerMatchStore(pool).match(10, Clerk(resolved=(("am", f"{1:016x}"),)))
    assert await column(owner, "actions", "check_at <= now()", order="number") == [True, False]
    assert await column(owner, "incidents", "check_at <= now()", order="id") == [True, False]


async def test_who_has_work_is_told(pool: LedgerPool, owner: Owner) -> None:
    """The assess stage of every replica is rung for, once the batch is committed."""
    rung: list[object] = []
    await accept(pool, of(signal(1)))
    await owner.add_listener("remediator", lambda *said: rung.append(said[-1]))
    await LedgerMatchStore(pool).match(10, Clerk(rules=("a",)))
    await accept(pool, of(signal(2)))
    await LedgerMatchStore(pool).match(10, Clerk())
    await owner.fetchval("SELECT 1")
    assert rung.count("assess") == 1, "a batch without candidates makes no work for that stage"


async def test_a_new_episode_is_not_lost_to_a_decision_under_way(pool: LedgerPool, owner: Owner) -> None:
    """The candidate of the last episode is being ended as no longer firing: the new one gets a candidate of its own."""
    await put_candidates(owner, 1, rule="a")
    await accept(pool, of(signal(1)))
    async with asyncio.TaskGroup() as tasks:
        async with owner.transaction():
            await owner.execute(QUERIES["lock_admission"])
            await owner.execute("UPDATE remediator.candidates SET state = 'decided'")
            matching = tasks.create_task(LedgerMatchStore(pool).match(10, Clerk(rules=("a",))))
            await blocked(owner)
        assert (await matching).count == 1
    assert await column(owner, "candidates", "state", order="id") == ["decided", "new"]


@pytest.mark.parametrize(("count", "alone"), [(FEW, True), (FEW + 1, False)])
async def test_a_few_signals_take_the_lock_of_decisions_with_them(
    pool: LedgerPool, owner: Owner, count: int, alone: bool
) -> None:
    """Where it is free, their candidates cost one round trip less; a large batch does not hold decisions up."""
    await accept(pool, of(*(signal(number) for number in range(count))))
    async with asyncio.TaskGroup() as tasks:
        async with owner.transaction():
            await owner.execute("LOCK TABLE remediator.alerts IN EXCLUSIVE MODE")
            matching = tasks.create_task(LedgerMatchStore(pool).match(500, Clerk()))
            await blocked(owner, by="relation")
            free = QUERIES["lock_admission"].replace("pg_advisory", "pg_try_advisory")
            assert await owner.fetchval(free) is not alone
        assert (await matching).count == count


async def test_a_batch_that_makes_no_work_waits_for_no_decision(pool: LedgerPool, owner: Owner) -> None:
    """Alerts without a rule pass while a long batch is decided."""
    await accept(pool, of(signal(1)))
    async with owner.transaction():
        await owner.execute(QUERIES["lock_admission"])
        assert (await LedgerMatchStore(pool).match(10, Clerk())).count == 1
