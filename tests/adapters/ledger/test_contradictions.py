"""A fact that is known already is put before the judge again where it speaks against what we hold, and only there."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec import structs

from remediator.adapters.ledger.matching import LedgerMatchStore
from remediator.adapters.ledger.pool import LedgerPool
from remediator.model.signal import AlertState, Delivery, Signal, StoredSignal
from remediator.ports.matching import AlertKey, Matched
from tests.adapters.ledger.stand import BEGUN, Owner, accept, over, signal

END = BEGUN + timedelta(hours=1)
LATER = END + timedelta(minutes=10)


def of(*signals: Signal) -> Delivery:
    """Return a delivery."""
    return Delivery(source="am", signals=signals)


async def judged(pool: LedgerPool) -> list[StoredSignal]:
    """Take what waits out of the inbox."""
    seen: list[StoredSignal] = []

    def judge(signals: tuple[StoredSignal, ...], _: dict[AlertKey, AlertState]) -> Matched:
        seen.extend(signals)
        return Matched(states=(), candidates=(), entries=(), resolved=())

    await LedgerMatchStore(pool).match(1000, judge)
    return seen


async def holds(owner: Owner, status: str, starts_at: datetime = BEGUN) -> None:
    """Let this be what we hold of the alert."""
    await owner.execute(
        """INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, ends_at, labels)
           VALUES ('am', $1, $2, $3, CASE WHEN $2 = 'resolved' THEN $4::timestamptz END, '{}')""",
        *(f"{1:016x}", status, starts_at, END),
    )


async def test_a_known_fact_that_was_asked_for_is_judged_again(pool: LedgerPool, owner: Owner) -> None:
    """We hold that it is over; it is said to fire, and was asked for: at once, not only after a minute."""
    await accept(pool, of(signal()))
    assert len(await judged(pool)) == 1
    await holds(owner, "resolved")
    await accept(pool, of(signal()))
    assert await judged(pool) == []
    await accept(pool, of(signal(confirmed_at=LATER)))
    (again,) = await judged(pool)
    assert again.signal.confirmed_at == LATER
    assert again.last_seen_at > again.received_at


async def test_what_was_confirmed_last_stays(pool: LedgerPool, owner: Owner) -> None:
    """An answer that comes late does not take it back."""
    await accept(pool, of(signal(confirmed_at=LATER)))
    await accept(pool, of(signal(confirmed_at=END)))
    (one,) = await judged(pool)
    assert one.signal.confirmed_at == LATER


async def test_in_one_batch_what_was_asked_for_wins(pool: LedgerPool) -> None:
    """A webhook and a look bring the same fact in the same commit, in either order."""
    asked, posted = signal(confirmed_at=LATER), signal()
    await accept(pool, of(posted), of(asked))
    await accept(pool, of(structs.replace(asked, starts_at=END)), of(structs.replace(posted, starts_at=END)))
    assert [one.signal.confirmed_at for one in await judged(pool)] == [LATER, LATER]


async def test_a_later_end_is_judged_where_the_alert_was_opened_again(pool: LedgerPool, owner: Owner) -> None:
    """The same start, ended a second time: the fact is known, its end is not."""
    await accept(pool, of(over()))
    await judged(pool)
    await holds(owner, "firing", END + timedelta(microseconds=1))
    await accept(pool, of(over()))
    assert await judged(pool) == []
    await accept(pool, of(over(ends_at=LATER)))
    (again,) = await judged(pool)
    assert again.signal.ends_at == LATER


async def test_a_repeated_end_of_an_earlier_episode_is_not_judged_again(pool: LedgerPool, owner: Owner) -> None:
    """It ended before the one that fires now began."""
    await accept(pool, of(over()))
    await judged(pool)
    await holds(owner, "firing", LATER)
    await owner.execute("UPDATE remediator.signals SET last_seen_at = now() - interval '1 h'")
    await accept(pool, of(over()))
    assert await judged(pool) == []


@pytest.mark.parametrize("status", ["firing", "resolved"])
async def test_what_agrees_with_us_is_not_judged_again(pool: LedgerPool, owner: Owner, status: str) -> None:
    """However often it is repeated, asked for or posted."""
    fact = signal() if status == "firing" else over()
    await accept(pool, of(fact))
    await judged(pool)
    await holds(owner, status)
    await owner.execute("UPDATE remediator.signals SET last_seen_at = now() - interval '1 h'")
    await accept(pool, of(fact), of(structs.replace(fact, confirmed_at=LATER)))
    assert await judged(pool) == []
