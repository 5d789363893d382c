"""Seals in PostgreSQL: what is settled and what is not, over transactions that commit late, roll back or never end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import pytest

from remediator.adapters.ledger.pool import LedgerPools, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.rows import entries_json
from remediator.adapters.ledger.seals import LedgerRecords, LedgerSeals
from remediator.core.chain import Audit, make_seal
from remediator.flow.patrol import covered
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.model.seal import Checkpoint, Finding, Seal, StoredEntry
from tests.adapters.ledger.forging import forge
from tests.adapters.ledger.stand import Owner, column

ALL = 10**9


def make(head: Checkpoint | None, entries: tuple[StoredEntry, ...], at: datetime) -> Seal:
    """Make a seal as the daemon does."""
    return make_seal(head, entries, at=at, by="test")


def entry(text: str = "it happened") -> NewEntry:
    """Return an entry."""
    return NewEntry(kind=EntryKind.STARTED, summary=text, reasons=("a", "b"), data={"n": 1.5, "text": "\u202eé"})


@pytest.fixture
def appender(pools: LedgerPools) -> LedgerAppender:
    """The writer."""
    return LedgerAppender(pools.stages)


@pytest.fixture
def store(pools: LedgerPools) -> LedgerSeals:
    """The sealing store."""
    return LedgerSeals(pools.stages)


@pytest.fixture
def records(pools: LedgerPools) -> LedgerRecords:
    """What verification reads."""
    return LedgerRecords(pools.read)


@asynccontextmanager
async def writing(database: str) -> AsyncIterator[Owner]:
    """A transaction that has written an entry and is not over."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("BEGIN")
        await connection.execute(QUERIES["append_entries"], entries_json([entry("late")]))
        yield connection
    finally:
        await connection.close()


async def audit(records: LedgerRecords) -> tuple[Audit, list[Finding]]:
    """Verify all there is."""
    walk, found = Audit(), []
    while page := await records.seals(walk.before.number if walk.before else 0, 7):
        for seal in page:
            found += walk.check(seal, await covered(records, walk, seal))
    return walk, found


async def test_entries_are_sealed_in_batches_that_follow_on_each_other(
    appender: LedgerAppender, store: LedgerSeals, records: LedgerRecords
) -> None:
    """Every field counts, the last batch is smaller, and then there is nothing more to do."""
    await appender.append(*(entry(str(number)) for number in range(5)))
    sizes = []
    while seal := await store.seal(ALL, 2, make):
        sizes.append((seal.number, seal.seqs))
    assert sizes == [(1, (1, 2)), (2, (3, 4)), (3, (5,))]
    walk, found = await audit(records)
    assert (found, walk.sealed, walk.unused) == ([], 5, 0)
    look = await store.look(2)
    assert (look.newest, look.waiting_s, look.writers) == (5, 0, frozenset())
    assert look.head is not None
    assert (look.head.seal, look.head.seq) == (3, 5)
    assert look.known_hash == (await records.seals(1, 1))[0].hash.hex()
    assert (await store.look(4)).known_hash == ""


async def test_what_is_read_back_is_what_was_sealed(
    appender: LedgerAppender, store: LedgerSeals, records: LedgerRecords
) -> None:
    """A seal survives the way through the database whole: its hash can be made again from what is stored."""
    await appender.append(entry(), entry())
    made = await store.seal(ALL, 10, make)
    assert await records.seals(0, 10) == (made,)


async def test_nothing_beyond_the_given_number_is_sealed(appender: LedgerAppender, store: LedgerSeals) -> None:
    """However much more there is."""
    await appender.append(entry(), entry(), entry())
    seal = await store.seal(2, 100, make)
    assert seal is not None
    assert seal.seqs == (1, 2)
    assert await store.seal(2, 100, make) is None


async def test_who_can_still_bring_an_earlier_entry_is_known(
    database: str, appender: LedgerAppender, store: LedgerSeals
) -> None:
    """A transaction that has drawn a number shows from before it drew it until it is over, however it ends."""
    for ending, newest in (("COMMIT", 2), ("ROLLBACK", 4)):
        async with writing(database) as late:
            await appender.append(entry())
            look = await store.look(0)
            assert (look.newest, len(look.writers)) == (newest, 1)
            await late.execute(ending)
            assert not (await store.look(0)).writers


async def test_who_waits_for_the_table_has_drawn_no_number(database: str, store: LedgerSeals, owner: Owner) -> None:
    """Only locks that are held count; and those of other tables do not."""
    async with asyncio.TaskGroup() as tasks:
        await owner.execute("BEGIN; LOCK TABLE remediator.ledger IN SHARE MODE")
        other = await asyncpg.connect(database)
        waiting = tasks.create_task(other.execute(QUERIES["append_entries"], entries_json([entry()])))
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.005)
        look = await store.look(0)
        assert (look.newest, look.writers) == (0, frozenset())
        await owner.execute("COMMIT")
        await waiting
        await other.close()


async def test_the_age_of_what_waits(appender: LedgerAppender, store: LedgerSeals, owner: Owner) -> None:
    """That of the oldest entry without a seal, by the database's clock."""
    await appender.append(entry(), entry())
    await forge(owner, "UPDATE remediator.ledger SET at = now() - make_interval(mins => 10 * (3 - seq::int))")
    assert 1200 <= (await store.look(0)).waiting_s < 1260
    await store.seal(1, 10, make)
    assert 600 <= (await store.look(0)).waiting_s < 660


async def test_one_seals_at_a_time(pools: LedgerPools, appender: LedgerAppender, store: LedgerSeals) -> None:
    """Who comes while another seals goes away; and the chain cannot fork, lock or no lock."""
    await appender.append(entry(), entry())
    async with transaction(pools.stages) as connection:
        assert await connection.fetchval(QUERIES["lock_sealing"])
        assert await store.seal(ALL, 1, make) is None
    first = await store.seal(ALL, 1, make)
    assert first is not None
    with pytest.raises(LedgerError, match="conflict"):
        await store.seal(ALL, 1, lambda _head, entries, at: make(None, entries, at))


async def test_sealing_keeps_nobody_from_writing(
    pools: LedgerPools, appender: LedgerAppender, store: LedgerSeals
) -> None:
    """While a seal is being made, and not committed, entries are appended as ever."""
    await appender.append(entry())
    async with transaction(pools.stages) as connection:
        await connection.fetchval(QUERIES["lock_sealing"])
        assert len(await connection.fetch(QUERIES["read_stored"], 0, ALL, 10)) == 1
        await appender.append(entry("meanwhile"))
    assert (await store.look(0)).newest == 2


async def write(database: str, number: int) -> None:
    """Append in fifteen transactions of several statements, some of which are rolled back."""
    endings = itertools.islice(itertools.cycle(("COMMIT", "ROLLBACK", "COMMIT", "COMMIT")), number, None)
    connection = await asyncpg.connect(database)
    try:
        for turn in range(15):
            await connection.execute("BEGIN")
            for part in range(1 + (turn + number) % 3):
                await connection.execute(QUERIES["append_entries"], entries_json([entry()] * (1 + part)))
                await asyncio.sleep(0.001 * ((turn * 7 + number * 3 + part) % 10))
            await connection.execute(next(endings))
    finally:
        await connection.close()


async def seal_until(over: asyncio.Event, store: LedgerSeals) -> None:
    """Seal what is settled, again and again, as a replica does; the last time after all writing is over."""
    last = False
    while not last:
        last = over.is_set()
        look = await store.look(0)
        while look.writers & (await store.look(0)).writers:
            await asyncio.sleep(0.001)
        while await store.seal(look.newest, 5, make):
            await asyncio.sleep(0)


async def test_the_chain_is_whole_whoever_commits_when(
    database: str, store: LedgerSeals, records: LedgerRecords, owner: Owner
) -> None:
    """Writers draw numbers and commit, or not, in any order while two replicas seal: each entry is sealed, once."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as sealing:
        for _ in range(2):
            sealing.create_task(seal_until(over, store))
        async with asyncio.TaskGroup() as writers:
            for number in range(6):
                writers.create_task(write(database, number))
        over.set()
    # The last look of both may have met the other's lock.
    await seal_until(over, store)
    walk, found = await audit(records)
    written = await column(owner, "ledger", "seq")
    assert found == []
    assert walk.sealed == len(written)
    assert walk.unused > 0
    assert sorted(await owner.fetchval("SELECT array_agg(seq) FROM remediator.seals, unnest(seqs) AS seq")) == written


async def test_sealing_without_regard_for_late_commits_would_break(
    database: str, appender: LedgerAppender, store: LedgerSeals, records: LedgerRecords
) -> None:
    """What the test above relies on: an entry that becomes visible under its seal looks like a forged one."""
    async with writing(database) as late:
        await appender.append(entry())
        await store.seal(ALL, 10, make)
        await late.execute("COMMIT")
    _, found = await audit(records)
    assert [finding.message.split(" after ")[0] for finding in found] == ["entry 1 was inserted"]


async def test_entries_are_read_by_time_page_by_page(
    appender: LedgerAppender, records: LedgerRecords, owner: Owner
) -> None:
    """Also where the clock was set back between two of them, and where two have one time."""
    await appender.append(*(entry(str(number)) for number in range(6)))
    await forge(
        owner,
        "UPDATE remediator.ledger SET at = '2026-01-01Z'::timestamptz + make_interval(hours => (seq::int * 7) % 4)",
    )
    begin, place, seen = datetime.fromisoformat("2026-01-01T00:00Z"), 0, []
    after = (begin, place)
    while page := await records.recorded(after, datetime.fromisoformat("2026-01-01T03:00Z"), 2):
        seen += [one.seq for one in page]
        after = (page[-1].at, page[-1].seq)
    assert seen == [4, 3, 2, 6]


async def test_an_entry_s_time_may_be_anything(records: LedgerRecords, owner: Owner, store: LedgerSeals) -> None:
    """A forged infinite time breaks no verification."""
    await owner.execute("INSERT INTO remediator.ledger (kind, summary, at) VALUES ('x', 'y', 'infinity')")
    await store.seal(ALL, 10, make)
    assert (await audit(records))[1] == []
    await forge(owner, "UPDATE remediator.ledger SET at = '-infinity'")
    assert [finding.harm for finding in (await audit(records))[1]] == ["changed"]


async def test_what_has_no_seal_yet_is_counted(
    appender: LedgerAppender, store: LedgerSeals, records: LedgerRecords
) -> None:
    """With the age of the oldest; nothing is nothing."""
    assert await records.unsealed(0) == type(await records.unsealed(0))(count=0, oldest_s=0)
    await appender.append(entry(), entry(), entry())
    await store.seal(1, 10, make)
    unsealed = await records.unsealed(1)
    assert unsealed.count == 2
    assert 0 < unsealed.oldest_s < 60
