"""Looks at a real database: named statements that read, and nothing else."""

from __future__ import annotations

from remediator.adapters.databases.looking import DatabaseLooker
from remediator.model.look import Query, Seen, Unseen
from tests.adapters.databases.patient import Patient


async def test_a_statement_is_answered(sick: Patient) -> None:
    """With rows as plain values."""
    found = await DatabaseLooker(entries=(sick.entry,)).look(Query(database=sick.entry.name, statement="connections"))
    assert isinstance(found, Seen)
    assert {"usename", "state", "count"} <= set(found.items[0])


async def test_nothing_can_be_changed(sick: Patient) -> None:
    """Whatever statement came among those that read."""
    looker = DatabaseLooker(entries=(sick.entry,), statements={"bad": "CREATE TABLE gone_wrong ()"})
    found = await looker.look(Query(database=sick.entry.name, statement="bad"))
    assert isinstance(found, Unseen)
    assert "read-only transaction" in found.message


async def test_what_is_not_seen_says_why(sick: Patient) -> None:
    """No such database, no such statement, nobody there."""
    looker = DatabaseLooker(entries=(sick.entry,))
    for look, reason in (
        (Query(database="nobody", statement="connections"), "not_found"),
        (Query(database=sick.entry.name, statement="drop"), "refused"),
        (Query(database=sick.entry.name, statement="set_limits"), "refused"),
    ):
        found = await looker.look(look)
        assert isinstance(found, Unseen)
        assert found.reason == reason


async def test_our_own_store_is_not_looked_at(sick: Patient) -> None:
    """What is repaired must not be what the repair is written down in; not even looked at as if it were."""
    own = frozenset({int(await sick.sql.fetchval("SELECT system_identifier FROM pg_control_system()"))})
    looker = DatabaseLooker(entries=(sick.entry,), own=own)
    found = await looker.look(Query(database=sick.entry.name, statement="connections"))
    assert isinstance(found, Unseen)
    assert found.reason == "own_store"
