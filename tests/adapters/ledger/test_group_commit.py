"""Group commit on a real database: sharing, bounds, poison, loss of connections, draining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from remediator.adapters.ledger.group_commit import GroupCommit, GroupLimits
from remediator.adapters.ledger.pool import Connection, LedgerPool, LedgerPools, Purpose, one_pool
from remediator.model.errors import InvariantBroken, LedgerError

Numbers = GroupCommit[str, int]


class Table:
    """Writes items into a table and keeps count of the transactions."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.free = asyncio.Event()
        self.free.set()
        self.entered = asyncio.Event()

    async def write(self, connection: Connection, items: Sequence[str]) -> list[int]:
        """Store numbers; what is not a number is refused by the server."""
        self.entered.set()
        await self.free.wait()
        self.batches.append(len(items))
        rows = await connection.fetch(
            "INSERT INTO public.numbers SELECT unnest($1::text[])::int RETURNING number", list(items)
        )
        return [row["number"] for row in rows]


@pytest.fixture
async def stored(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection beside the pool, with the table to write into."""
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE public.numbers (number int); GRANT ALL ON public.numbers TO PUBLIC")
    yield connection
    await connection.close()


@asynccontextmanager
async def running(pool: LedgerPool, table: Table, limits: GroupLimits | None = None) -> AsyncIterator[Numbers]:
    """A group commit that runs until the block ends, then drains."""
    commits: Numbers = GroupCommit(pool, table.write, size=len, limits=limits)
    async with asyncio.TaskGroup() as group:
        group.create_task(commits.run())
        try:
            yield commits
        finally:
            table.free.set()
            commits.close()


async def outcome(commits: Numbers, item: str) -> int | str:
    """The result of one item, or the reason why there is none."""
    try:
        return await commits.put(item)
    except LedgerError as error:
        return error.reason


async def outcomes(commits: Numbers, items: Sequence[str]) -> list[int | str]:
    """The outcomes of items put at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(commits, item)) for item in items]
    return [task.result() for task in tasks]


async def count(stored: asyncpg.Connection[asyncpg.Record]) -> int:
    """How many rows there are."""
    found: int = await stored.fetchval("SELECT count(*) FROM public.numbers")
    return found


async def test_callers_share_commits(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """A thousand callers need a handful of transactions, and each gets its own result."""
    table = Table()
    async with running(pool, table) as commits:
        assert await outcomes(commits, [str(number) for number in range(1000)]) == list(range(1000))
        assert commits.waiting == 0
    assert await count(stored) == 1000
    assert len(table.batches) <= 3


async def test_one_caller_does_not_wait(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """Without company an item is its own batch, answered after its commit is visible to others."""
    table = Table()
    async with running(pool, table) as commits:
        for number in range(3):
            assert await commits.put(str(number)) == number
            assert await count(stored) == number + 1
    assert table.batches == [1, 1, 1]


async def test_batches_are_bounded(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """No batch is larger than allowed, by count or by size; one item over the size still goes alone."""
    table = Table()
    async with running(pool, table, GroupLimits(batch_items=3)) as commits:
        await outcomes(commits, ["1"] * 7)
    assert table.batches == [3, 3, 1]
    table = Table()
    async with running(pool, table, GroupLimits(batch_bytes=5)) as commits:
        await outcomes(commits, ["12", "12", "12", "1234567", "1"])
    assert table.batches == [2, 1, 1, 1]


@pytest.mark.parametrize("limits", [GroupLimits(waiting_items=5), GroupLimits(waiting_bytes=5)])
async def test_full(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record], limits: GroupLimits) -> None:
    """Past the bound callers are told at once; what was taken is stored, and then there is room again."""
    table = Table()
    table.free.clear()
    async with running(pool, table, limits) as commits, asyncio.TaskGroup() as group:
        first = group.create_task(commits.put("0"))
        await table.entered.wait()
        others = [group.create_task(outcome(commits, str(number))) for number in range(1, 8)]
        await asyncio.sleep(0)
        assert [task.result() for task in others if task.done()] == ["full", "full"]
        table.free.set()
        assert await first == 0
        while not all(task.done() for task in others):
            await asyncio.sleep(0.001)
        assert await commits.put("9") == 9
    assert await count(stored) == 7


async def test_poison_fails_alone(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """Items that the database refuses fail; their neighbours of the same batch are stored once."""
    items = [str(number) for number in range(100)]
    items[17] = items[93] = "poison"
    table = Table()
    async with running(pool, table) as commits:
        found = await outcomes(commits, items)
    assert [place for place, result in enumerate(found) if result == "data"] == [17, 93]
    assert await count(stored) == 98
    assert len(table.batches) < 40, "halving needs far fewer transactions than one for each item"


async def test_all_poison(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """Nothing but poison ends as well."""
    async with running(pool, Table()) as commits:
        assert await outcomes(commits, ["x"] * 9) == ["data"] * 9
    assert await count(stored) == 0


async def test_lost_connection(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """When the server ends the connection the whole batch is told to retry, and the next one works."""
    table = Table()
    async with running(pool, table) as commits:
        assert await commits.put("1") == 1
        await stored.execute("BEGIN; LOCK TABLE public.numbers")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(outcomes(commits, ["2", "3"]))
            while not await stored.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.001)
        assert waiting.result() == ["unavailable", "unavailable"]
        await stored.execute("COMMIT")
        assert await commits.put("4") == 4
    assert await count(stored) == 2


async def test_lost_connection_costs_one_batch(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """What waits behind the batch that lost its connection is stored on a new one."""
    async with running(pool, Table(), GroupLimits(batch_items=1)) as commits:
        await stored.execute("BEGIN; LOCK TABLE public.numbers")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(outcomes(commits, ["1", "2", "3"]))
            while not await stored.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.001)
            await stored.execute("COMMIT")
    assert waiting.result() == ["unavailable", 2, 3]


async def test_deadline(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """A caller is free after its deadline; what nobody waits for any more is not stored."""
    table = Table()
    table.free.clear()
    async with running(pool, table, GroupLimits(seconds=0.05)) as commits, asyncio.TaskGroup() as group:
        first = group.create_task(outcome(commits, "1"))
        await table.entered.wait()
        second = group.create_task(outcome(commits, "2"))
        assert (await first, await second) == ("timeout", "timeout")
        table.free.set()
        assert await commits.put("3") == 3
    assert await count(stored) == 2, "the first was under way, the second had not begun"


async def test_cancelled_caller(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """A client that hangs up takes its item back, if it is not under way."""
    table = Table()
    table.free.clear()
    async with running(pool, table) as commits, asyncio.TaskGroup() as group:
        group.create_task(commits.put("1"))
        await table.entered.wait()
        gone = group.create_task(commits.put("2"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        table.free.set()
    assert await count(stored) == 1


async def test_close_drains(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """What was taken before the close is stored and answered; nothing is taken after it."""
    table = Table()
    table.free.clear()
    async with asyncio.TaskGroup() as group:
        async with running(pool, table) as commits:
            first = group.create_task(commits.put("1"))
            await table.entered.wait()
            second = group.create_task(commits.put("2"))
            await asyncio.sleep(0)
        with pytest.raises(LedgerError, match="closing"):
            await commits.put("3")
    assert (first.result(), second.result()) == (1, 2)
    assert await count(stored) == 2


async def test_cancelled_writer_tells_everybody(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """When the daemon is torn down nobody is left waiting."""
    table = Table()
    table.free.clear()
    commits: Numbers = GroupCommit(pool, table.write, size=len)
    async with asyncio.TaskGroup() as group:
        runner = group.create_task(commits.run())
        under_way = group.create_task(outcome(commits, "1"))
        await table.entered.wait()
        waiting = group.create_task(outcome(commits, "2"))
        await asyncio.sleep(0)
        runner.cancel()
    assert (under_way.result(), waiting.result()) == ("closing", "closing")
    assert await count(stored) == 0


async def test_bug_in_the_writer_ends_it_loudly(pool: LedgerPool) -> None:
    """A writer that returns too few results is a bug: its caller is told and the task group fails."""

    async def forgetful(_: Connection, __: Sequence[str]) -> list[int]:
        return []

    commits: Numbers = GroupCommit(pool, forgetful, size=len)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(outcome(commits, "1"))
        with pytest.raises(ExceptionGroup) as raised:
            await commits.run()
    assert raised.group_contains(InvariantBroken, match="0 results for 1 items")
    assert waiting.result() == "closing"


@pytest.mark.parametrize(("direct", "single"), [(True, True), (True, False), (False, True), (False, False)])
async def test_one_statement_needs_no_transaction_around_it(
    database: str, pools: LedgerPools, stored: asyncpg.Connection[asyncpg.Record], direct: bool, single: bool
) -> None:
    """Only where nothing else is sent and no pooler stands between: elsewhere the block holds settings and unity."""
    seen: list[bool] = []
    table = Table()

    async def write(connection: Connection, items: Sequence[str]) -> list[int]:
        seen.append(connection.is_in_transaction())
        return await table.write(connection, items)

    async with one_pool(database, replace(pools.server, direct=direct), Purpose.INTAKE) as pool:
        commits: Numbers = GroupCommit(pool, write, size=len, is_one_statement=lambda items: single and len(items) == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(commits.run())
            assert await outcome(commits, "1") == 1
            assert await outcome(commits, "no number") == "data"
            assert await outcomes(commits, ["2", "3"]) == [2, 3]
            commits.close()
    assert seen == [not (direct and single), not (direct and single), True]
    assert await count(stored) == 3


async def test_load_with_poison_and_losses(pool: LedgerPool, stored: asyncpg.Connection[asyncpg.Record]) -> None:
    """Under load, with poison and killed connections, every caller has an answer and every success is one row."""
    limits = GroupLimits(batch_items=16, writers=2)
    async with running(pool, Table(), limits) as commits, asyncio.TaskGroup() as group:
        items = ["poison" if number % 37 == 0 else str(number) for number in range(2000)]
        waiting = group.create_task(outcomes(commits, items))
        while not waiting.done():
            await stored.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.01)
    found = waiting.result()
    assert {result for result in found if isinstance(result, str)} <= {"data", "unavailable", "commit_unknown"}
    successes = {result for result in found if isinstance(result, int)}
    rows = [row["number"] for row in await stored.fetch("SELECT number FROM public.numbers")]
    assert len(rows) == len(set(rows))
    assert successes <= set(rows)
    assert all(item != "poison" or isinstance(result, str) for item, result in zip(items, found, strict=True))
