"""What every inbox promises: the one in memory, on which web tests stand, and the one in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.ledger.inbox import LedgerInbox, deliveries_together
from remediator.adapters.ledger.pool import open_pools
from remediator.model.errors import LedgerError
from remediator.model.signal import Delivery, Quarantined, Receipt, Signal, Status
from remediator.ports.inbox import Inbox
from tests.fakes.inbox import MemoryInbox

LIMIT = 20
BEGUN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def in_memory() -> AsyncIterator[Inbox]:
    """The fake."""
    yield MemoryInbox(limit=LIMIT)


@asynccontextmanager
async def in_postgres(database: str) -> AsyncIterator[Inbox]:
    """The real one, with its group commit running."""
    async with open_pools(database) as pools, asyncio.TaskGroup() as tasks:
        commits = deliveries_together(pools.intake)
        tasks.create_task(commits.run())
        yield LedgerInbox(pools.intake, commits, limit=LIMIT)
        commits.close()


@pytest.fixture(params=["fake", "real"])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[Inbox]:
    """Each inbox in turn, empty."""
    if request.param == "fake":
        async with in_memory() as fake:
            yield fake
    else:
        async with in_postgres(request.getfixturevalue("database")) as real:
            yield real


def signal(number: int = 1, **changes: Any) -> Signal:
    """One fact."""
    plain = Signal(
        source="am",
        fingerprint=f"{number:016x}",
        status=Status.FIRING,
        labels={"alertname": "A", "n": str(number)},
        annotations={"summary": 'it "crashes" 崩'},
        starts_at=BEGUN,
    )
    return structs.replace(plain, **changes)


def delivery(*signals: Signal, quarantined: int = 0, truncated: int = 0) -> Delivery:
    """One request's worth."""
    bad = tuple(Quarantined(path=f"$.alerts[{n}]", reason="bad", raw="{}") for n in range(quarantined))
    return Delivery(source="am", signals=signals, quarantined=bad, truncated=truncated)


async def test_new_and_known_are_told_apart(inbox: Inbox) -> None:
    """The second delivery of the same changes nothing and says so."""
    assert await inbox.accept(delivery(signal(1), signal(2))) == Receipt(new=2, known=0, quarantined=0)
    assert await inbox.accept(delivery(signal(1), signal(2), signal(3))) == Receipt(new=1, known=2, quarantined=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.RESOLVED, "ends_at": BEGUN},
        {"starts_at": BEGUN + timedelta(hours=1)},
        {"source": "other"},
        {"fingerprint": "f" * 16},
    ],
)
async def test_what_makes_another_fact(inbox: Inbox, changes: dict[str, Any]) -> None:
    """Source, fingerprint, episode and state; nothing else does."""
    await inbox.accept(delivery(signal()))
    assert (await inbox.accept(delivery(signal(**changes)))).new == 1


async def test_what_makes_no_other_fact(inbox: Inbox) -> None:
    """Annotations change with every evaluation."""
    await inbox.accept(delivery(signal()))
    again = signal(annotations={"value": "91"}, receiver="other", generator_url="http://b")
    assert (await inbox.accept(delivery(again))).known == 1


async def test_one_fact_twice_in_a_delivery_is_stored_once(inbox: Inbox) -> None:
    """A body may say a thing twice."""
    assert await inbox.accept(delivery(signal(), signal())) == Receipt(new=1, known=1, quarantined=0)


async def test_quarantined_and_truncated_are_taken_along(inbox: Inbox) -> None:
    """They have no effect on the good ones."""
    assert await inbox.accept(delivery(signal(), quarantined=2, truncated=5)) == Receipt(new=1, known=0, quarantined=2)
    assert await inbox.accept(delivery(quarantined=1)) == Receipt(new=0, known=0, quarantined=1)


async def test_nothing_is_no_fault(inbox: Inbox) -> None:
    """An empty group."""
    assert await inbox.accept(delivery()) == Receipt(new=0, known=0, quarantined=0)


async def test_a_full_inbox_says_so_and_takes_nothing(inbox: Inbox) -> None:
    """The sender tries again; until then nothing of the delivery is there."""
    await inbox.accept(delivery(*(signal(n) for n in range(LIMIT - 1))))
    with pytest.raises(LedgerError) as caught:
        await inbox.accept(delivery(signal(100), signal(101)))
    assert caught.value.reason == "full"
    assert caught.value.retryable
    assert await inbox.accept(delivery(signal(100))) == Receipt(new=1, known=0, quarantined=0)


async def test_the_same_from_two_senders_at_once_is_one(inbox: Inbox) -> None:
    """The Alertmanagers of one pair send at the same moment: each fact is new to exactly one of them."""
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(inbox.accept(delivery(*(signal(n) for n in range(3))))) for _ in range(6)]
    receipts = [task.result() for task in sent]
    assert sum(receipt.new for receipt in receipts) == 3
    assert sum(receipt.known for receipt in receipts) == 15
