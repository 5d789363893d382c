"""The databases whose connection limits may be raised: whether each can be looked at, and what we may do there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from remediator.adapters.databases.entries import Entry, read_entries
from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.adapters.databases.session import Door, ReadSecret
from remediator.doctor.finding import Finding, Grade, Look
from remediator.model.database import DatabaseFacts
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target

AREA = "databases"
HINT = "--databases, REMEDIATOR_DATABASES"
HOW = "docs/how-to/raise-connections.md"
ACTIONS = frozenset({"raise_connections", "raise_max_connections", "configure_max_connections"})
AT_ONCE = 8
_KINDS = {kind.value.lower(): kind for kind in Kind}
_MAJOR = 10_000


def not_named(rules: Sequence[Rule]) -> Look:
    """Return the finding that none is named, where rules would need one."""
    names = [rule.name for rule in rules if any(rung.action in ACTIONS for rung in rule.ladder)]
    if not names:
        return Look(findings=())
    found = f"none is named, and {', '.join(names)} would look at one"
    return Look(findings=(_finding("file", Grade.NOTE, found, f"name it ({HINT}; {HOW})"),))


async def look(file: Path, read_secret: ReadSecret | None) -> Look:
    """Look at each database of the file, a few at once. Raises ConfigError with the faults of the file."""
    entries = await asyncio.to_thread(read_entries, file)
    door = Door(read_secret=read_secret)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(entry: Entry) -> Finding:
        async with slots:
            return await _one(entry, PostgresDatabases(entries=(entry,), door=door))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(entry), name="doctor-database") for entry in entries]
    return Look(findings=tuple(task.result() for task in tasks))


def needs_cluster(file: Path) -> bool:
    """Tell whether a password of the file is in a Secret. Raises ConfigError with the faults of the file."""
    return any(entry.secret for entry in read_entries(file))


async def _one(entry: Entry, databases: PostgresDatabases) -> Finding:
    kind, namespace, name = entry.workload.split("/")
    view = await databases.look(Target(kind=_KINDS[kind], namespace=namespace, name=name))
    if view is None or view.facts is None:
        found = view.problem if view is not None else f"no database is known for {entry.workload}"
        return _finding(entry.name, Grade.GAP, found, f"its connections cannot be raised until then ({HOW})")
    return judged(entry, view.facts)


def judged(entry: Entry, facts: DatabaseFacts) -> Finding:
    """Return what is to be said of a database by its facts."""
    major, minor = divmod(facts.version, _MAJOR)
    words = f"PostgreSQL {major}.{minor}, {facts.used} of {facts.ordinary} connections in use"
    if facts.in_recovery:
        return _finding(entry.name, Grade.GAP, f"{words}; it is a standby", f"name the primary ({HINT})")
    if facts.managed_by:
        advice = f"raise its connections there: nothing is done by us ({HOW})"
        return _finding(entry.name, Grade.NOTE, f"{words}; {facts.managed_by} decides about its settings", advice)
    if not facts.limits and not facts.server_most:
        advice = f"install the functions and say what may be raised, and how far ({HOW})"
        return _finding(entry.name, Grade.NOTE, f"{words}; no limit may be raised by us", advice)
    return _finding(entry.name, Grade.OK, f"{words}; {len(facts.limits)} limits may be raised")


def _finding(what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=what, grade=grade, found=found, advice=advice)
