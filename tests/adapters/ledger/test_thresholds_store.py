"""The threshold table in PostgreSQL: one poller at a time, ticks in one piece, and states that last."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.thresholds import LedgerThresholdStore, LedgerThresholdView
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.measure import Level, Phase, RowState, SeriesState
from remediator.ports.measuring import Message, PollTurn, Tick
from tests.adapters.ledger.stand import Owner, signal

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE_S = 8.0
ROW = RowState(row="cpu-usage", looked_at=T0, known_at=T0)
FIRING = SeriesState(
    row="cpu-usage",
    fingerprint="f" * 16,
    labels={"namespace": "backstage", "alertname": "cpu-usage"},
    phase=Phase.FIRING,
    level=Level.CRITICAL,
    value=91.5,
    over_s=75.25,
    critical_s=60.0,
    calm_s=None,
    fired_at=T0,
    level_at=T0 + timedelta(microseconds=1),
)


@pytest.fixture
def store(pools: LedgerPools) -> LedgerThresholdStore:
    """The store."""
    return LedgerThresholdStore(pools.stages, pools.leases)


async def take(store: LedgerThresholdStore, owner: str = "one", interval_s: float = 15.0) -> PollTurn | None:
    """Become or stay the poller."""
    return await store.take(owner, LEASE_S, interval_s)


async def turn(store: LedgerThresholdStore, owner: str = "one") -> PollTurn:
    """Take a turn, which must be due."""
    taken = await take(store, owner)
    assert taken is not None
    assert taken.due
    return taken


async def time_passes(owner: Owner, seconds: float) -> None:
    """Move everything that the duty has written down into the past."""
    await owner.execute(
        """UPDATE remediator.duties
           SET due_at = due_at - make_interval(secs => $1), lease_until = lease_until - make_interval(secs => $1)
           WHERE name = 'poller'""",
        seconds,
    )


def series(number: int, **changes: Any) -> SeriesState:
    """Return one of many series."""
    return structs.replace(FIRING, fingerprint=f"{number:016x}", **changes)


async def test_one_replica_polls(store: LedgerThresholdStore) -> None:
    """Many ask at once, one gets it, and a tick is due once."""
    async with asyncio.TaskGroup() as asking:
        tasks = [asking.create_task(take(store, f"replica-{number}")) for number in range(8)]
    taken = [task.result() for task in tasks if task.result() is not None]
    assert [one.due for one in taken if one is not None] == [True]


async def test_the_poller_stays_the_poller(store: LedgerThresholdStore, owner: Owner) -> None:
    """It has the next tick too, as long as it gives signs of life."""
    first = await turn(store)
    again = await take(store)
    assert again is not None
    assert (again.due, again.number) == (False, first.number)
    await time_passes(owner, 7)
    assert await take(store, "two") is None
    await take(store)
    await time_passes(owner, 7)
    assert await take(store, "two") is None
    await time_passes(owner, 10)
    assert (await turn(store)).number == first.number + 1


async def test_a_dead_poller_is_followed_within_ten_seconds(store: LedgerThresholdStore, owner: Owner) -> None:
    """Its lease ends after eight; lanes beat every second."""
    await turn(store)
    await time_passes(owner, 7.5)
    assert await take(store, "two") is None
    await time_passes(owner, 1.5)
    taken = await take(store, "two")
    assert taken is not None
    assert await take(store, "one") is None


async def test_a_tick_is_all_or_nothing_and_lasts(store: LedgerThresholdStore, owner: Owner) -> None:
    """States come back as they were, signals are in the inbox, entries in the ledger, the message in the outbox."""
    taken = await turn(store)
    tick = Tick(
        rows=(ROW,),
        changed=(FIRING, series(1, phase=Phase.OK, level=None, unknown_since=T0, unknown_why="nan", called=True)),
        signals=(signal(2), signal(1)),
        entries=(NewEntry(kind=EntryKind.MONITORING_LOST, summary="blind"),),
        message=Message(text="nothing is known", urgent=True),
    )
    assert await store.commit("one", taken, tick)
    held = await store.load()
    assert held.rows == (ROW,)
    assert sorted(held.series, key=lambda one: one.fingerprint) == [tick.changed[1], FIRING]
    assert await owner.fetchval("SELECT count(*) FROM remediator.inbox") == 2
    assert await owner.fetchval("SELECT payload ->> 'message' FROM remediator.outbox") == "nothing is known"
    assert await owner.fetchval("SELECT count(*) FROM remediator.ledger WHERE kind = 'monitoring.lost'") == 1


async def test_a_tick_of_who_was_overtaken_leaves_nothing(store: LedgerThresholdStore, owner: Owner) -> None:
    """It slept through its lease, and another has polled since."""
    late = await turn(store)
    await time_passes(owner, 60)
    await turn(store, "two")
    assert not await store.commit("one", late, Tick(rows=(ROW,), changed=(FIRING,), signals=(signal(1),)))
    held = await store.load()
    assert (held.rows, held.series) == ((), ())
    assert await owner.fetchval("SELECT count(*) FROM remediator.inbox") == 0


async def test_a_tick_that_comes_after_its_lease_leaves_nothing(store: LedgerThresholdStore, owner: Owner) -> None:
    """Nobody has taken over yet, but somebody may at this moment."""
    late = await turn(store)
    await time_passes(owner, 9)
    assert not await store.commit("one", late, Tick(rows=(ROW,)))


async def test_states_change_and_go(store: LedgerThresholdStore) -> None:
    """Later states replace earlier ones; what is forgotten or has no row any more is gone."""
    taken = await turn(store)
    others = (series(1), series(2), structs.replace(series(3), row="memory-usage"))
    await store.commit("one", taken, Tick(rows=(ROW, structs.replace(ROW, row="memory-usage")), changed=others))
    calm = structs.replace(others[0], phase=Phase.OK, level=None, calm_since=T0)
    await store.commit("one", taken, Tick(changed=(calm,), forgotten=(others[1],), retired=("memory-usage",)))
    held = await store.load()
    assert held.series == (calm,)
    assert [one.row for one in held.rows] == ["cpu-usage"]


async def test_measures_of_incidents(store: LedgerThresholdStore, owner: Owner) -> None:
    """Each alert's series as it stands; alerts of others are counted, and what nobody looks at is unknown."""
    now = await owner.fetchval("SELECT clock_timestamp()")
    taken = await turn(store)
    other = structs.replace(series(1), row="memory-usage", unknown_since=now, unknown_why="nan")
    stale = structs.replace(series(2), row="error-rate")
    rows = [structs.replace(ROW, row=name, looked_at=now) for name in ("cpu-usage", "memory-usage")]
    rows.append(structs.replace(ROW, row="error-rate", looked_at=now - timedelta(minutes=5)))
    await store.commit("one", taken, Tick(rows=tuple(rows), changed=(FIRING, other, stale)))
    for incident, source, fingerprint in (
        (1, FIRING.source, FIRING.fingerprint),
        (1, "am", "a" * 16),
        (2, other.source, other.fingerprint),
        (2, stale.source, stale.fingerprint),
        (3, "am", "b" * 16),
    ):
        await tie(owner, incident, source, fingerprint)
    found = await store.measures([1, 2, 3], 60.0)
    assert found.keys() == {1, 2}
    assert found[1].others == 1
    (measure,) = found[1].measures
    assert (measure.row, measure.phase, measure.level, measure.value, measure.unknown) == (
        *("cpu-usage", Phase.FIRING, Level.CRITICAL, 91.5),
        "",
    )
    assert sorted(one.unknown for one in found[2].measures) == ["nan", "nobody has looked"]


async def test_the_table_for_people(store: LedgerThresholdStore, pools: LedgerPools) -> None:
    """Each series counts once; what is unknown counts as nothing else, and of a blind row all is."""
    taken = await turn(store)
    blind = structs.replace(ROW, row="error-rate", unknown_since=T0, unknown_why="timeout")
    series_ = (
        FIRING,
        series(1, level=Level.WARNING),
        series(2, phase=Phase.OK, level=None),
        series(3, phase=Phase.PENDING, level=None),
        series(4, unknown_since=T0, unknown_why="nan"),
        structs.replace(series(5), row="error-rate"),
    )
    await store.commit("one", taken, Tick(rows=(ROW, blind, structs.replace(ROW, row="memory")), changed=series_))
    cpu, errors, memory = await LedgerThresholdView(pools.read).rows()
    assert (cpu.row, cpu.ok, cpu.pending, cpu.warning, cpu.critical, cpu.unknown) == ("cpu-usage", 1, 1, 1, 1, 1)
    assert (errors.unknown_why, errors.unknown_since, errors.critical, errors.unknown) == ("timeout", T0, 0, 1)
    assert (memory.ok, memory.unknown) == (0, 0)


async def test_five_thousand_series_in_one_tick(store: LedgerThresholdStore, owner: Owner) -> None:
    """As many rows and signals, in one statement each."""
    taken = await turn(store)
    many = tuple(series(number) for number in range(5000))
    signals = tuple(signal(number) for number in range(5000))
    assert await store.commit("one", taken, Tick(rows=(ROW,), changed=many, signals=signals))
    assert len((await store.load()).series) == 5000
    assert await owner.fetchval("SELECT count(*) FROM remediator.inbox") == 5000


async def tie(owner: asyncpg.Connection[asyncpg.Record], incident: int, source: str, fingerprint: str) -> None:
    """Let an alert belong to an incident."""
    await owner.execute(
        """INSERT INTO remediator.incidents (id, target_key, severity, state, rule, title)
           OVERRIDING SYSTEM VALUE
           VALUES ($1::bigint, 'deployment/a/' || $1::bigint, 'P3', 'open', 'r', 't') ON CONFLICT DO NOTHING""",
        incident,
    )
    await owner.execute(
        "INSERT INTO remediator.incident_alerts (incident, source, fingerprint) VALUES ($1, $2, $3)",
        *(incident, source, fingerprint),
    )
