"""A PostgreSQL that takes max_connections from its files, as a database of somebody's does; ours has it fixed.

Run as a program; speaks the lines of tests/database_server.py, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg

from remediator.adapters.ledger.embedded import cluster, places, process
from tests.database_server import _obey, dsn_of

SECONDS = 60.0
PORT = 5432


@asynccontextmanager
async def plain(data_dir: Path) -> AsyncIterator[tuple[str, int]]:
    """Make a cluster and run a server on it; yield its connection string and process number."""
    where = places.prepare(data_dir)
    made = await cluster.ready(where, os.environ, seconds=SECONDS)
    socket_dir = where.socket_dir()
    if made.identity.kind == "drop":
        os.chown(socket_dir, made.identity.uid, made.identity.gid)
    command = [made.binaries.postgres, "-D", str(made.path), "-k", str(socket_dir), "-p", str(PORT)]
    for setting in ("listen_addresses=", "fsync=off", "shared_buffers=16MB"):
        command += ["-c", setting]
    dsn = f"postgresql://remediator@/remediator?host={quote(str(socket_dir), safe='')}&port={PORT}&sslmode=disable"
    with where.log.open("ab") as log:
        child = await process.spawn(made.identity, command, death_signal=signal.SIGINT, output=log.fileno())
    try:
        async with asyncio.timeout(SECONDS):
            while not await _answers(dsn_of(dsn, "postgres")):
                await asyncio.sleep(0.02)
        yield dsn, child.pid
    finally:
        child.send_signal(signal.SIGINT)
        await child.wait()


async def _answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.CannotConnectNowError):
        return False
    await connection.close()
    return True


async def _serve(data_dir: Path) -> None:
    loop = asyncio.get_running_loop()
    async with plain(data_dir) as (dsn, pid):
        print(json.dumps({"dsn": dsn, "pid": pid}), flush=True)
        administrator = await asyncpg.connect(dsn_of(dsn, "postgres"))
        try:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                await _obey(administrator, dsn, line.split())
        finally:
            await administrator.close()


if __name__ == "__main__":
    # The fixture's class starts "-m tests.database_server FOLDER" behind the program that it is given.
    asyncio.run(_serve(Path(sys.argv[-1])))
