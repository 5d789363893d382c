"""A process that owns an embedded PostgreSQL for the tests, makes databases on demand, and ends when its input does.

Tests have an event loop each, the server one life: so it lives in a process of its own, which also is what the tests
of the life cycle kill. Speaks lines: it first prints ``{"dsn", "pid"}``; ``create NAME TEMPLATE`` is answered by the
database's connection string, ``drop NAME`` by nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from remediator.adapters.ledger.embedded import running
from remediator.adapters.ledger.migrate import migrate

MIGRATED = "remediator"
BLANK = "template0"


class DatabaseServer:
    """The other end, used by fixtures: starts the process and speaks with it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        migrated: bool = True,
        user: int | None = None,
        program: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process and wait until its server is up (60 s at most, its own limit).

        ``user``: the user and group id to run as. ``program``: what runs Python in its own way.
        """
        words = ["-m", "tests.database_server", str(data_dir), *(["migrated"] if migrated else [])]
        self.process = subprocess.Popen(
            [*program, *words],
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            cwd=Path(__file__).parent.parent,
        )
        first = self._read()
        self.dsn: str = first["dsn"]
        self.pid: int = first["pid"]

    def create(self, name: str, template: str = MIGRATED) -> str:
        """Make a database from ``template`` and return its connection string."""
        self._write(f"create {name} {template}")
        dsn: str = self._read()["dsn"]
        return dsn

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it; does not wait."""
        self._write(f"drop {name}")

    def close(self) -> None:
        """End the server and the process, and check that both ended well."""
        alive = self.process.poll() is None
        self.process.communicate(timeout=30)
        assert not alive or self.process.returncode == 0

    def kill(self) -> None:
        """Kill the process as the kernel would, and nothing of its own doing after it."""
        self.process.kill()
        self.process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the database server ended with exit code {self.process.wait(timeout=30)}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def dsn_of(server_dsn: str, database: str) -> str:
    """The connection string of another database of the same server."""
    return server_dsn.replace("/remediator?", f"/{database}?")


async def _serve(data_dir: Path, *, migrated: bool) -> None:
    loop = asyncio.get_running_loop()
    async with running(data_dir) as server:
        if migrated:
            await migrate(server.dsn)
        print(json.dumps({"dsn": server.dsn, "pid": server.pid}), flush=True)
        administrator = await asyncpg.connect(dsn_of(server.dsn, "postgres"))
        try:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                await _obey(administrator, server.dsn, line.split())
        finally:
            await administrator.close()


async def _obey(administrator: asyncpg.Connection[asyncpg.Record], dsn: str, words: list[str]) -> None:
    match words:
        case ["create", name, *template]:
            await administrator.execute(f"CREATE DATABASE {name} TEMPLATE {' '.join(template)}")
            print(json.dumps({"dsn": dsn_of(dsn, name)}), flush=True)
        case ["drop", name]:
            await administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        case _:
            raise ValueError(words)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), migrated="migrated" in sys.argv[2:]))
