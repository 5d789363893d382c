"""The loader of named statements."""

from __future__ import annotations

import re

import asyncpg
import pytest

from remediator.adapters.ledger.queries import QUERIES, parse
from remediator.model.errors import InvariantBroken


def test_parts() -> None:
    """Names become keys; comments stay; text of several files comes together."""
    found = parse([("a.sql", "-- about\n-- name: one\n-- why\nSELECT 1;\n\n-- name: two\nSELECT 2"), ("b.sql", "")])
    assert dict(found) == {"one": "-- one\n-- why\nSELECT 1;", "two": "-- two\nSELECT 2"}


def test_frozen() -> None:
    """Nobody adds or changes a statement at run time."""
    with pytest.raises(TypeError):
        QUERIES["new"] = "SELECT 1"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: one\nSELECT 1;\n-- name: one\nSELECT 1;", "is there twice"),
        ("-- name: \nSELECT 1;", "is no name"),
        ("-- name: One Two\nSELECT 1;", "is no name"),
        ("-- name: one\n-- only words\n;\n", "is empty"),
        ("SELECT 0;\n-- name: one\nSELECT 1;", "before the first"),
    ],
)
def test_faults(text: str, complaint: str) -> None:
    """A fault names the file and stops the start."""
    with pytest.raises(InvariantBroken, match=rf"x\.sql: .*{re.escape(complaint)}"):
        parse([("x.sql", text)])


def test_twice_in_two_files() -> None:
    """Names are unique over all files."""
    with pytest.raises(InvariantBroken, match=r"b\.sql: the statement 'one' is there twice"):
        parse([("a.sql", "-- name: one\nSELECT 1"), ("b.sql", "-- name: one\nSELECT 1")])


async def test_every_statement_is_understood(database: str) -> None:
    """PostgreSQL can prepare each of our statements against the present schema."""
    connection = await asyncpg.connect(database)
    faults = {}
    for name in sorted(set(QUERIES) - {"create_schema", "create_migrations"}):
        try:
            await connection.prepare(QUERIES[name])
        except asyncpg.PostgresError as error:
            faults[name] = str(error)
    await connection.close()
    assert len(QUERIES) > 20
    assert faults == {}
