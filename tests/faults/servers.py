"""PostgreSQL servers of a test's own, that it may stop, starve, copy and promote."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from remediator.adapters.ledger.embedded import cluster, pidfile, places, process, server
from remediator.adapters.ledger.embedded.cluster import ROLE, Cluster
from remediator.adapters.ledger.embedded.places import PORT, Places
from remediator.adapters.ledger.embedded.server import EmbeddedPostgres
from remediator.adapters.ledger.migrate import migrate

START_S = 60.0


@dataclass(slots=True)
class Server:
    """One server, running or not. Its connection string stays the same over restarts."""

    places: Places
    cluster: Cluster
    running: EmbeddedPostgres

    @classmethod
    @asynccontextmanager
    async def made(cls, folder: Path) -> AsyncIterator[Server]:
        """Make a server in ``folder``, with our schema in it, and run it until the end."""
        where = places.prepare(folder)
        made = await cluster.ready(where, os.environ, seconds=START_S)
        one = cls(where, made, await server.start(where, made, seconds=START_S))
        try:
            await migrate(one.dsn)
            yield one
        finally:
            await one.running.stop()
            shutil.rmtree(folder)

    @property
    def dsn(self) -> str:
        """The connection string, over its socket."""
        return self.running.dsn

    async def end(self, number: signal.Signals) -> None:
        """End it by a signal: SIGINT ends its sessions first, SIGQUIT leaves everything as a power cut does."""
        self.running.process.send_signal(number)
        async with asyncio.timeout(START_S):
            await self.running.process.wait()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.running.process.returncode is None

    async def start(self) -> None:
        """Start it again, whatever state it was left in."""
        await pidfile.retire(self.cluster.path, seconds=START_S)
        self.running = await server.start(self.places, self.cluster, seconds=START_S)

    async def say(self, *statements: str) -> None:
        """Run statements as its administrator, each on its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def standby(self, folder: Path) -> AsyncIterator[Server]:
        """Copy it and run the copy as its standby, which every commit waits for."""
        where = places.prepare(folder)
        copy = [str(self.cluster.binaries.folder / "pg_basebackup"), "--pgdata", str(where.cluster)]
        copy += ["--host", str(self.running.socket_dir), "--port", str(PORT), "--username", ROLE]
        copy += ["--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync"]
        if self.cluster.identity.kind == "drop":
            os.chown(where.root, self.cluster.identity.uid, self.cluster.identity.gid)
        done = await process.run(self.cluster.identity, copy, seconds=START_S)
        assert done.code == 0, done.output
        copied = Cluster(path=where.cluster, binaries=self.cluster.binaries, identity=self.cluster.identity)
        other = Server(where, copied, await server.start(where, copied, seconds=START_S))
        try:
            await self.say("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
            yield other
        finally:
            await other.running.stop()
            shutil.rmtree(folder)
