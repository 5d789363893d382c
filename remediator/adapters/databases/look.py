"""What a database says of its connections: one session, a handful of statements, plain facts."""

from __future__ import annotations

from remediator import redaction
from remediator.adapters.databases.entries import Entry
from remediator.adapters.databases.queries import QUERIES
from remediator.adapters.databases.session import Session
from remediator.model.database import ConnectionLimit, DatabaseFacts, Holders, LimitScope
from remediator.model.errors import PortError

OLDEST = 14_00_00
SERVER = "server"


class Unusable(PortError):
    """A database that answers, and cannot be repaired by us; the message says why and what to do."""


async def facts_of(session: Session, entry: Entry, own: frozenset[int]) -> DatabaseFacts:
    """Read the facts; raises Unusable. ``own``: the system identifiers of servers that are our own store."""
    server = await session.fetchrow(QUERIES["server"])
    if server is None:
        raise Unusable("malformed", f"database {entry.name} says nothing of itself: is it PostgreSQL?")
    refuse_own(entry, server["system_identifier"], own)
    if server["version"] < OLDEST:
        raise Unusable("version", f"database {entry.name} is older than PostgreSQL 14")
    if not server["sees_all"]:
        raise Unusable("rights", f"{entry.user} may not see who has connections: GRANT pg_monitor TO {entry.user}")
    installed = server["installed"]
    limits = await session.fetch(QUERIES["limits"]) if installed else []
    idle = await session.fetch(QUERIES["idle"]) if installed else []
    configured = await session.fetchval(QUERIES["configured"]) if installed else server["max_connections"]
    known = [row for row in limits if row["scope"] != SERVER and row["now"] is not None]
    return DatabaseFacts(
        name=entry.name,
        version=server["version"],
        in_recovery=server["in_recovery"],
        max_connections=server["max_connections"],
        reserved=server["reserved"],
        used=server["used"],
        shared_buffers=server["shared_buffers"],
        work_mem=server["work_mem"],
        limits=tuple(
            ConnectionLimit(
                scope=LimitScope(row["scope"]), name=row["name"], limit=row["now"], used=row["used"], most=row["most"]
            )
            for row in known
        ),
        holders=await holders_of(session),
        idle=tuple(row["idle_s"] for row in idle),
        pending=configured if configured != server["max_connections"] else None,
        memory=entry.memory,
        managed_by=_manager(
            f"{server['managers']} {server['manager_settings']}", server["config_file"], based=server["based"]
        ),
        standbys=server["standbys"],
        server_most=next((row["most"] for row in limits if row["scope"] == SERVER), 0),
    )


async def holders_of(session: Session) -> tuple[Holders, ...]:
    """Read who has connections; names that applications give themselves may hold anything, so they are redacted."""
    rows = await session.fetch(QUERIES["holders"])
    return tuple(
        Holders(
            user=row["usename"],
            application=redaction.text(row["application"]),
            database=row["datname"],
            state=row["state"],
            count=row["count"],
            longest_s=row["longest_s"],
        )
        for row in rows
    )


def refuse_own(entry: Entry, identifier: int, own: frozenset[int]) -> None:
    """Refuse the server that our own ledger is on: what is repaired must not be what the repair is written down in."""
    if identifier in own:
        raise Unusable("own_store", f"database {entry.name} is on the server of our own ledger: we never change that")


def _manager(names: str, config_file: str, *, based: bool) -> str:
    if "cnpg" in names.lower():
        return "CloudNativePG"
    if "patroni" in names.lower() or "patroni" in config_file or based:
        return "Patroni"
    return ""
