"""Bells over the database: heard from other replicas, told when lost, hung up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.wakeups import Wakeups
from tests.adapters.ledger.stand import Owner

CONNECTED = "SELECT pid FROM pg_stat_activity WHERE application_name = 'remediator-wakeups'"
LISTENING = f"{CONNECTED} AND state = 'idle' AND (query LIKE '%LISTEN%' OR query = 'SELECT 1')"


@dataclass
class Heard:
    """What was heard."""

    rung: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fails after ten seconds."""
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


async def listening(owner: Owner, *, but: int = 0) -> int:
    """Return the server's process that listens, once there is one (other than ``but``)."""
    async with asyncio.timeout(10.0):
        while True:
            found = [row["pid"] for row in await owner.fetch(LISTENING) if row["pid"] != but]
            if found:
                return int(found[0])
            await asyncio.sleep(0.005)


@asynccontextmanager
async def wakeups(dsn: str, ping_s: float = 30.0) -> AsyncIterator[Heard]:
    """Run the bells while the block runs."""
    heard = Heard()
    bells = Wakeups(dsn=dsn, ring=heard.rung.append, lost=heard.lost.append, ping_s=ping_s, retry_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bells.run())
        yield heard
        task.cancel()


async def ring(pool: LedgerPool, *stages: str) -> None:
    """Ring in one commit, as a stage does."""
    async with transaction(pool) as connection:
        for stage in stages:
            await connection.execute(QUERIES["wake"], stage)


async def test_a_bell_rings_after_the_commit(database: str, pool: LedgerPool, owner: Owner) -> None:
    """Each stage once a commit, however often it was rung for; a rollback rings nothing."""
    async with wakeups(database) as heard:
        await listening(owner)
        with pytest.raises(ZeroDivisionError):
            await fail(pool)
        await ring(pool, "match", "match", "assess")
        await until(lambda: len(heard.rung) >= 2)
        assert heard.rung == ["match", "assess"]
        assert heard.lost == []


async def fail(pool: LedgerPool) -> None:
    """Ring, and then fail."""
    async with transaction(pool) as connection:
        await connection.execute(QUERIES["wake"], "execute")
        raise ZeroDivisionError


async def test_a_killed_connection_is_told_and_made_anew(database: str, pool: LedgerPool, owner: Owner) -> None:
    """And heard on again."""
    async with wakeups(database, ping_s=0.05) as heard:
        first = await listening(owner)
        await owner.execute("SELECT pg_terminate_backend($1)", first)
        second = await listening(owner, but=first)
        assert second != first
        assert len(heard.lost) == 1
        await ring(pool, "match")
        await until(lambda: heard.rung == ["match"])


async def test_a_server_that_is_away_is_tried_again() -> None:
    """Each try is told; none of them ends the daemon."""
    async with wakeups("postgresql://nobody@127.0.0.1:1/nothing") as heard:
        await until(lambda: len(heard.lost) >= 3)
        assert all(words.startswith("unavailable: ") for words in heard.lost)


async def test_nothing_stays_behind(database: str, owner: Owner) -> None:
    """The connection ends with the task."""
    async with wakeups(database):
        await listening(owner)
    async with asyncio.timeout(10.0):
        while await owner.fetch(CONNECTED):
            await asyncio.sleep(0.005)
    assert await owner.fetch(CONNECTED) == []
