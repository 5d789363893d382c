"""A look at the database from outside: what it is, whether it may be used, what it lacks. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from remediator.adapters.ledger.connect import connect, judge
from remediator.adapters.ledger.errors import translated
from remediator.adapters.ledger.migrate import not_applied
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.errors import ConfigError

COMMAND_SECONDS = 5.0
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen. ``faults``: why it cannot be used; ``warnings``: what an operator should know.

    ``missing`` are the migrations that a start would apply. ``at``: the database's time.
    """

    version: str
    synchronous_commit: str
    direct: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    at: datetime


async def look(dsn: str) -> Seen:
    """Look; raises ConfigError where ``dsn`` cannot be understood, LedgerError where nobody answers."""
    connection = await connect(dsn, name="doctor", command_seconds=COMMAND_SECONDS)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    direct = True
    try:
        with translated():
            facts = await connection.fetchrow(QUERIES["server_facts"])
            at: datetime = await connection.fetchval(QUERIES["database_time"])
        try:
            missing = await not_applied(connection)
            server = await judge(connection)
        except ConfigError as error:
            faults = error.problems
        else:
            # What the role may do in a schema that is still to be made says nothing.
            warnings = () if missing else server.warnings
            direct = server.direct
    finally:
        await connection.close(timeout=CLOSE_SECONDS)
    return Seen(
        version=str(facts["version_text"]) if facts is not None else "unknown",
        synchronous_commit=str(facts["synchronous_commit"]) if facts is not None else "unknown",
        direct=direct,
        faults=faults,
        warnings=warnings,
        missing=missing,
        at=at,
    )
