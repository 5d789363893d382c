"""Databases that tests of the actions start from: one limit is nearly used up, there is memory for more."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from remediator.model.database import ConnectionLimit, DatabaseFacts, DatabaseView, LimitScope
from remediator.model.facts import ContainerFacts, Facts
from tests.core.given import facts, workload

ROLE = ConnectionLimit(scope=LimitScope.ROLE, name="backstage", limit=50, used=45, most=200)
MIB = 2**20


def database(**changes: Any) -> DatabaseFacts:
    """Return a server with 200 connections of which 60 are in use."""
    base = DatabaseFacts(
        name="backstage",
        version=160004,
        in_recovery=False,
        max_connections=200,
        reserved=3,
        used=60,
        shared_buffers=128 * MIB,
        work_mem=4 * MIB,
        limits=(ROLE,),
        idle=(900, 30),
        memory=4096 * MIB,
        server_most=400,
    )
    return structs.replace(base, **changes)


def about(seen: DatabaseFacts | None = None, *, load: dict[str, Any] | None = None, **changes: Any) -> Facts:
    """Return facts of one pod that runs this database."""
    container = ContainerFacts(name="postgres", memory=2048 * MIB, max_connections="100")
    settings: dict[str, Any] = {"replicas": 1, "containers": (container,), "strategy": "Recreate", **(load or {})}
    return facts(workload(**settings), **{"database": DatabaseView(facts=seen or database()), **changes})
