"""A real pgbouncer in transaction mode, before the PostgreSQL server of the tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from remediator.adapters.ledger.embedded import identity, process
from tests.acceptance.daemon import LOOK_S, free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
MISSING = "the pgbouncer program is missing: apt-get install pgbouncer (Debian)"
START_S = 20.0
END_S = 10.0
# Round robin: two transactions in a row never meet the same session, so nothing can lean on one by luck.
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
server_round_robin = 1
default_pool_size = 6
max_client_conn = 200
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooler:
    """A running one; ``port`` is on the loopback interface."""

    port: int
    log: Path

    def dsn(self, direct: str) -> str:
        """Return the connection string that reaches the database of ``direct`` through the pooler."""
        parts = urlsplit(direct)
        user = parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{self.port}{parts.path}?sslmode=disable"


@asynccontextmanager
async def pooling(direct: str) -> AsyncIterator[Pooler]:
    """Run one before the server whose (socket) connection string is ``direct``."""
    assert PROGRAM is not None
    where = parse_qs(urlsplit(direct).query)
    socket_dir = Path(where["host"][0])
    # It refuses to run as root, and must reach a socket that only the server's own user may: so it becomes that user.
    who = identity.choose(socket_dir)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    port = free_port()
    (folder / "users.txt").write_text('"remediator" ""\n', encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(host=socket_dir, port=where["port"][0], listen=port, folder=folder), encoding="utf-8"
    )
    if who.kind == "drop":
        identity.hand_over(folder, who)
    log = folder / "log"
    with log.open("wb") as output:
        child = await process.spawn(
            who, [PROGRAM, str(folder / "pgbouncer.ini")], death_signal=signal.SIGTERM, output=output.fileno()
        )
    try:
        await _listening(child, port, log)
        yield Pooler(port=port, log=log)
    finally:
        if child.returncode is None:
            # Its own orderly end waits for every client; what is tested ends before it.
            os.kill(child.pid, signal.SIGTERM)
        async with asyncio.timeout(END_S):
            await child.wait()
        shutil.rmtree(folder)


async def _listening(child: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with asyncio.timeout(START_S):
        while True:
            assert child.returncode is None, log.read_text(encoding="utf-8")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(LOOK_S)
                continue
            writer.close()
            await writer.wait_closed()
            return
