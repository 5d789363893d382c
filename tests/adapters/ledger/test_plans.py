"""The plans of the hot statements on big tables: none reads more rows than its answer is worth.

A statement is executed as often as it takes for the server to choose between a plan for these values and one for any,
as it does for a prepared statement in the daemon. What is counted are the rows that its scans looked at.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from remediator.adapters.ledger.queries import QUERIES
from tests.database_server import DatabaseServer

ROWS = 100_000
ACTIONS = 50_000
CHOSEN = 7
"""Executions after which the server has chosen: five are planned for their own values."""

FILL = f"""
INSERT INTO remediator.signals (source, fingerprint, status, starts_at, labels, annotations)
SELECT 'am', lpad(to_hex(n), 16, '0'), 'firing', '2026-01-01', '{{"a": "b"}}', '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.inbox (signal) SELECT id FROM remediator.signals WHERE id > {ROWS} - 1000;
INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, labels)
SELECT 'am', lpad(to_hex(n), 16, '0'), CASE WHEN n % 100 = 0 THEN 'firing' ELSE 'resolved' END, '2026-01-01', '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.incidents (target_key, severity, state, rule, title, check_at)
SELECT 'deployment/ns/app-' || n, 'P2', CASE WHEN n % 500 = 0 THEN 'open' ELSE 'resolved' END, 'r', 't',
       now() + make_interval(secs => n - 10000)
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
SELECT n, 'am', lpad(to_hex(n), 16, '0') FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, severity, state, incident, not_before)
SELECT 'signal', 'r', 0, 'am', lpad(to_hex(n), 16, '0'), '{{}}', 'P' || (n % 4 + 1),
       CASE WHEN n % 100 = 0 THEN 'held' ELSE 'decided' END, n, now() + make_interval(secs => n % 3 - 1)
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.actions
    (id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
     admitted_at, good_until, lease_until, check_at)
SELECT 'id-' || n, n, n, 'rule-' || n % 50, 0, 'restart', 'enforce', 'deployment/ns/app-' || n, 'ns-' || n % 50,
       '{{}}', '{{}}', true,
       CASE WHEN n % 1000 = 0 THEN 'admitted' WHEN n % 1000 = 1 THEN 'dispatched'
            WHEN n % 1000 = 2 THEN 'verifying' ELSE 'unchanged' END,
       now() - make_interval(mins => {ACTIONS} - n), now(), now() + interval '1 minute', now()
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.ledger (kind, summary, incident, action, at)
SELECT 'alert.firing', 's', n / 10, n / 10, now() - make_interval(mins => {ROWS} - n)
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.outbox (payload, state) SELECT '{{}}', 'sent' FROM generate_series(1, 20000);
INSERT INTO remediator.outbox (payload) SELECT '{{}}' FROM generate_series(1, 5);
ANALYZE;
"""  # noqa: S608 - numbers of this file

SOURCES = "array_fill('am'::text, ARRAY[500])"
PRINTS = "ARRAY(SELECT lpad(to_hex(n * 100), 16, '0') FROM generate_series(1, 500) AS n)"
GIVEN = """(
    SELECT jsonb_agg(jsonb_build_object(
        'source', 'am', 'fingerprint', lpad(to_hex(n * 100), 16, '0'), 'status', 'firing', 'starts_at', '2026-01-01Z',
        'labels', '{}'::jsonb, 'annotations', '{}'::jsonb, 'generator_url', '', 'group_key', '', 'receiver', ''
    ))
    FROM generate_series(1, 500) AS n
)"""
FEW = "ARRAY['deployment/ns/app-1', 'deployment/ns/app-49000', 'deployment/ns/app-none']"
SCOPES = (
    "ARRAY[0, 1, 2, 3]",
    "ARRAY['target', 'rule', 'namespace', 'cluster']",
    "ARRAY['deployment/ns/app-9', 'rule-9', 'ns-9', '']",
)
NONE = "NULL::text"

# The values of each statement, and how many rows all its scans together may look at: what its answer is worth.
HOT: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("put_signals", (GIVEN, "500", "true"), 0),
    ("take_signals", ("500",), 1100),
    ("count_waiting", ("200001",), 1100),
    ("mark_matched", ("ARRAY(SELECT generate_series(99501, 100000))",), 1100),
    ("alert_states", (SOURCES, PRINTS), 1100),
    ("hasten_incidents", (SOURCES, PRINTS), 2100),
    ("hasten_verification", (SOURCES, PRINTS), 2100),
    ("take_candidates", ("64", "60"), 700),
    ("undecided", ("ARRAY(SELECT n * 100 FROM generate_series(1, 64) AS n)", "array_fill(0, ARRAY[64])"), 700),
    ("incidents_of", (FEW, "ARRAY[7, 8]"), 30),
    ("past_actions", (FEW,), 10),
    ("count_windows", (*SCOPES, "ARRAY[3600, 3600, 3600, 3600]", "now()"), 80),
    ("open_actions", (), 200),
    ("last_admission", (), 2),
    ("claim_actions", ("16", "'me'", "90"), 200),
    ("due_actions", ("64", "30"), 600),
    ("due_incidents", ("64", "30"), 400),
    ("resolve_incident", ("500",), 10),
    ("drop_leftovers", ("500",), 10),
    ("fires_again", ("500",), 10),
    ("take_outbox", ("16", "60"), 40),
    ("read_entries", ("0", NONE, "777", NONE, "500"), 30),
    ("read_entries", ("0", NONE, NONE, "777", "500"), 30),
    ("read_entries", ("90000", NONE, NONE, NONE, "500"), 510),
    ("read_last_entries", ("500", NONE, "777", NONE), 30),
    ("read_last_entries", ("500", NONE, NONE, "777"), 30),
    ("read_last_entries", ("500", NONE, NONE, NONE), 510),
    ("read_last_entries", ("500", "now() - interval '1 hour'", NONE, NONE), 200),
    ("read_actions_of_incident", ("777",), 10),
    ("read_evidence", ("777",), 10),
)


@pytest.fixture(scope="module")
def big(postgres_server: DatabaseServer) -> Iterator[str]:
    """A database with the rows of some busy months."""
    yield postgres_server.create("big")
    postgres_server.drop("big")


@pytest.fixture
async def filled(big: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to it, as its owner; filled for whoever comes first."""
    connection = await asyncpg.connect(big)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM remediator.ledger)"):
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '64MB'")
        await connection.execute(FILL)
    yield connection
    await connection.close()


def scans(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what each scan of a plan read from and how many rows of it were looked at."""
    looked = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    # What a bitmap index scan finds is looked at, and counted, in the bitmap heap scan above it.
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        name = f"{node['Node Type']} {node.get('Index Name') or node['Relation Name']}"
        yield name, looked * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from scans(inner)


async def looked_at(
    connection: asyncpg.Connection[asyncpg.Record], name: str, values: tuple[str, ...]
) -> dict[str, float]:
    """Execute a statement until its plan is chosen; return the rows that each scan of the chosen plan looked at."""
    given = [await connection.fetchval(f"SELECT quote_nullable(({value})::text)") for value in values]
    await connection.execute(f"PREPARE it AS {QUERIES[name]}")
    arguments = f"({', '.join(given)})" if given else ""
    found: dict[str, float] = {}
    for _ in range(CHOSEN):
        turn = connection.transaction()
        await turn.start()
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE it{arguments}")
        await turn.rollback()
        found = {}
        for scan, rows in scans(json.loads(text)[0]["Plan"]):
            found[scan] = found.get(scan, 0) + rows
    await connection.execute("DEALLOCATE it")
    return found


@pytest.mark.parametrize(("name", "values", "worth"), HOT, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_hot_statement_looks_at_what_it_needs(
    filled: asyncpg.Connection[asyncpg.Record], name: str, values: tuple[str, ...], worth: int
) -> None:
    """On a hundred thousand rows, by whichever plan the server settles for."""
    found = await looked_at(filled, name, values)
    assert all("Seq Scan" not in scan or rows == 0 for scan, rows in found.items()), found
    assert sum(found.values()) <= worth, found


async def test_a_statement_without_an_index_is_found_so(filled: asyncpg.Connection[asyncpg.Record]) -> None:
    """What the test above relies on."""
    turn = filled.transaction()
    await turn.start()
    await filled.execute("DROP INDEX remediator.ledger_by_incident")
    found = await looked_at(filled, "read_last_entries", ("500", NONE, "777", NONE))
    await turn.rollback()
    assert sum(found.values()) > ROWS / 2
