"""Rules change while the database is away: nothing of that is lost, and memory has a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.flow.rule_history import LATE_S, MOST, News, RuleHistory
from remediator.model.entry import Entry, EntryKind, NewEntry
from remediator.model.errors import InvariantBroken, LedgerError
from remediator.ports.ledger import LedgerQuery, RuleSets
from tests.fakes.clock import StillClock
from tests.flow.rig import Ear

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Owner]:
    """A connection as the owner of the database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def loaded(number: int) -> News:
    """A rule set that came into force."""
    entry = NewEntry(kind=EntryKind.RULES_LOADED, summary=f"rules loaded: set {number}")
    return News(entry=entry, digest=f"digest-{number}", files={"a.yaml": f"rules: {number}"})


def rejected(number: int) -> News:
    """One that did not."""
    return News(entry=NewEntry(kind=EntryKind.RULES_REJECTED, summary=f"faults in set {number}"))


async def told(pools: LedgerPools) -> tuple[Entry, ...]:
    """What stands in the ledger."""
    return await LedgerView(pools.read).entries(LedgerQuery())


class Away:
    """A store that takes nothing until it is back, and then keeps what it is given."""

    def __init__(self, error: LedgerError | None = None) -> None:
        """Away."""
        self.error = error or LedgerError("unavailable", "away", retryable=True)
        self.back = False
        self.kept: list[tuple[str, NewEntry]] = []
        self.tried: list[str] = []

    async def keep_rule_set(
        self, digest: str, files: dict[str, str], entry: NewEntry, *, perhaps_kept: bool = False
    ) -> None:
        """Keep, or fail."""
        assert perhaps_kept is (bool(self.tried) and self.tried[-1] == digest)
        self.tried.append(digest)
        await asyncio.sleep(0)
        if not self.back:
            raise self.error
        self.kept.append((digest, entry))


async def test_what_happened_during_an_outage_is_written_afterwards(pools: LedgerPools, owner: Owner) -> None:
    """In order, with its own time and saying that it is late; a set that was refused is told, and not kept."""
    clock, ear = StillClock(), Ear()
    history = RuleHistory(LedgerAppender(pools.stages), clock, ear)
    await owner.execute("REVOKE INSERT ON remediator.ledger FROM remediator_app")
    happened = clock.now()
    for news in (loaded(1), rejected(2), loaded(3)):
        await history.add(news)
    assert not await history.write()
    assert (history.waiting, await told(pools)) == (3, ())
    assert ear.outcomes("rule_history") == ["unrecorded"]
    clock.ahead += 90
    await owner.execute("GRANT INSERT ON remediator.ledger TO remediator_app")
    assert await history.write()
    entries = await told(pools)
    assert [entry.kind for entry in entries] == [
        EntryKind.RULES_LOADED,
        EntryKind.RULES_REJECTED,
        EntryKind.RULES_LOADED,
    ]
    assert all("written down 90 s late" in entry.summary for entry in entries)
    assert [entry.data["happened_at"] for entry in entries] == [happened.isoformat()] * 3
    kept = await owner.fetch("SELECT digest FROM remediator.rule_sets ORDER BY loaded_at")
    assert [row["digest"] for row in kept] == ["digest-1", "digest-3"]


async def test_what_is_in_time_does_not_say_so() -> None:
    """The usual entry stays as short as it was."""
    clock, store = StillClock(), Away()
    store.back = True
    history = RuleHistory(store, clock, Ear())
    await history.add(loaded(1))
    clock.ahead += LATE_S
    assert await history.write()
    ((digest, entry),) = store.kept
    assert (digest, entry.summary) == ("digest-1", "rules loaded: set 1")


async def test_news_wait_for_room() -> None:
    """Memory has a bound and nothing is thrown away: the reload waits until something was written."""
    store = Away()
    history = RuleHistory(store, SystemClock(), Ear())
    for number in range(MOST):
        await history.add(loaded(number))
    async with asyncio.TaskGroup() as tasks:
        late = tasks.create_task(history.add(loaded(MOST)))
        await asyncio.sleep(0.01)
        assert (late.done(), history.waiting) == (False, MOST)
        store.back = True
        assert await history.write()
    assert await history.write()
    assert [digest for digest, _ in store.kept] == [f"digest-{number}" for number in range(MOST + 1)]


async def test_the_history_is_written_in_the_background() -> None:
    """It tries again, ever less often, and at once what is new when all is well."""
    store, ear = Away(), Ear()
    history = RuleHistory(store, StillClock(), ear)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(history.run())
        await history.add(loaded(1))
        while len(ear.events) < 20:
            await asyncio.sleep(0)
        store.back = True
        while not store.kept:
            await asyncio.sleep(0)
        await history.add(loaded(2))
        while len(store.kept) < 2:
            await asyncio.sleep(0)
        running.cancel()
    assert [digest for digest, _ in store.kept] == ["digest-1", "digest-2"]


async def test_a_bug_is_no_outage() -> None:
    """A statement that cannot work is not tried for ever in silence."""
    history = RuleHistory(Away(LedgerError("bug", "no such column")), StillClock(), Ear())
    await history.add(loaded(1))
    with pytest.raises(InvariantBroken, match="no such column"):
        await history.write()


class Cut:
    """A store that is cut off after its commit: whoever waits for it never hears that it happened."""

    def __init__(self, store: RuleSets) -> None:
        """Stand before a store."""
        self.store = store
        self.left = 1

    async def keep_rule_set(
        self, digest: str, files: dict[str, str], entry: NewEntry, *, perhaps_kept: bool = False
    ) -> None:
        """Keep it, and do not say so the first time."""
        await self.store.keep_rule_set(digest, files, entry, perhaps_kept=perhaps_kept)
        if self.left:
            self.left -= 1
            await asyncio.Event().wait()


async def test_a_stop_in_the_middle_of_a_commit_writes_nothing_twice(pools: LedgerPools) -> None:
    """The background is cancelled when the entry is there already; what is left is written at the end."""
    history = RuleHistory(Cut(LedgerAppender(pools.stages)), SystemClock(), Ear())
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(history.run())
        await history.add(loaded(1))
        await history.add(loaded(2))
        while not await told(pools):
            await asyncio.sleep(0.01)
        running.cancel()
    assert await history.write()
    assert [entry.summary for entry in await told(pools)] == ["rules loaded: set 1", "rules loaded: set 2"]
    await history.add(loaded(1))
    assert await history.write()
    assert len(await told(pools)) == 3
